"""Names of images: ``ghcr.io/team/train:2026-11``, ``localhost:5000/train@sha256:...``. Pure."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import replace

from dataloader.base.errors import UsageError
from dataloader.base.values import dataclass
from dataloader.index.web.credentials import url_fault

_PART = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HOST = re.compile(r"(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::\d{1,5})?")
_HUB = "docker.io"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Where an image is."""

    host: str
    """With its port."""
    repository: str
    tag: str | None = None
    digest: str | None = None
    """``sha256:`` and 64 hexadecimal digits."""
    plain_http: bool = False

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.host}/{self.repository}{tag}{f'@{self.digest}' if self.digest else ''}"

    @property
    def origin(self) -> str:
        """Scheme and host of the registry."""
        host = "registry-1.docker.io" if self.host == _HUB else self.host
        return f"{'http' if self.plain_http else 'https'}://{host}"

    @property
    def base(self) -> str:
        """Where the registry's API has the repository."""
        return f"{self.origin}/v2/{self.repository}"

    @property
    def named(self) -> str:
        """What a manifest is asked for by: the digest, which binds, else the tag."""
        return self.digest or self.tag or "latest"

    def at(self, digest: str) -> Reference:
        """The same repository, one exact image."""
        return replace(self, tag=None, digest=digest)


def parse_reference(text: str, *, plain_http: bool = False) -> Reference:
    """Read a name as Docker reads it; without a host it is Docker Hub's.

    Args:
        plain_http: Speak http whatever the host; loopback is spoken to so anyway.

    Raises:
        UsageError: it is no name of an image (``image-name-invalid``).
    """
    rest = re.sub(r"^(oci|docker)://", "", text)
    rest, _, digest = rest.partition("@")
    first, slash, below = rest.partition("/")
    has_host = bool(slash) and (any(mark in first for mark in ".:[") or first == "localhost")
    host, path = (first, below) if has_host else (_HUB, rest)
    path, _, tag = path.partition(":")
    if host == _HUB and "/" not in path:
        path = f"library/{path}"
    why = None
    if "://" in rest:
        why = "it has a scheme; oci:// may stand before it, or nothing"
    elif not _HOST.fullmatch(host):
        why = f"{host} is no host"
    elif fault := url_fault(f"http://{host}/"):
        why = f"{host} is no host: {fault}"
    elif not _REPOSITORY.fullmatch(path):
        why = f"{path!r} is no repository: small letters, digits and . _ - between slashes"
    elif tag and not _TAG.fullmatch(tag):
        why = f"{tag} is no tag"
    elif (digest and not _DIGEST.fullmatch(digest)) or text.endswith(("@", ":")):
        why = "what stands behind the last sign is no digest (sha256:...) and no tag"
    if why:
        raise UsageError(
            f"{text} is no name of an image: {why}",
            code="image-name-invalid",
            suggestions=("registry.example.org/team/train:1", "localhost:5000/train"),
        )
    plain = plain_http or _is_loopback(host)
    return Reference(host=host, repository=path, tag=tag or None, digest=digest or None, plain_http=plain)


def _is_loopback(host: str) -> bool:
    name = re.sub(r":\d+$", "", host).strip("[]")
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
