"""``dataloader config``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, NamedTuple

from dataloader.cli.line.command import LOCK, command
from dataloader.cli.line.options import CommonOptions, StackFlags, declared, own_option
from dataloader.cli.telling.render import table

if TYPE_CHECKING:
    from dataloader.cli.stages.session import Session
    from dataloader.request.request import Request


_SOLVING = ("platform", "target", "prerelease", "only_binary", "no_binary", "build", "exclude_newer", "matrix")
"""Options of solving that are settings; the others are of one run."""


class Setting(NamedTuple):
    """One thing that is set."""

    name: str
    value: object
    source: str
    """``--option``, a variable, a file, or ``default``."""


@command(example="dataloader config", takes=(*LOCK, "prefix", "Sources", *_SOLVING))
def config(
    options: CommonOptions,
    every: Annotated[bool, own_option("--all", about="Show defaults too.")] = False,
) -> int:
    """Show what is set, and where it comes from: options, variables, manifest, pip's files, defaults."""
    from dataloader.cli.stages.session import open_session
    from dataloader.request.request import make_request

    with open_session(options) as session:
        request = make_request(options, (), None, environ=session.environ, here=session.here)
        found = [
            setting
            for setting in _settings(session, request)
            if every or setting.source != "default" or setting.name in _PLACES
        ]
        document = {
            "status": "ok",
            "settings": [{"name": setting.name, "value": setting.value, "source": setting.source} for setting in found],
        }
        rows = [(setting.name, _shown(setting.value), setting.source) for setting in found]
        session.write(document, table(rows, ("setting", "value", "from")))
    return 0


def _shown(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def _settings(session: Session, request: Request) -> Iterator[Setting]:
    """Paths, then how packages are found, then how they are chosen."""
    manifest = request.manifest
    yield Setting("manifest", str(manifest.path) if manifest else None, _said(session, "manifest") or "found here")
    yield Setting("lockfile", str(request.lockfile), _said(session, "lockfile") or "default")
    yield Setting("prefix", str(request.prefix), _said(session, "prefix") or "default")
    yield Setting("cache", str(session.cache), _cache_source(session))
    yield from _of_network(session, request)
    held = f"{manifest.path.name}" if manifest else "default"
    values: dict[str, tuple[object, bool]] = {
        "channels": (list(request.channels), request.channels_said),
        "channel-priority": (request.channel_priority, bool(manifest and manifest.channel_priority)),
        "conda": (request.conda_mode, bool(manifest and manifest.resolution.conda)),
        "prerelease": (request.prerelease, request.prerelease != "if-necessary"),
        "exclude-newer": (request.exclude_newer, request.exclude_newer is not None),
        "no-binary": (list(request.no_binary), bool(request.no_binary)),
        "only-binary": (list(request.only_binary), bool(request.only_binary)),
        "build": (list(request.built), bool(request.built)),
        "require-hashes": (request.require_hashes, request.require_hashes),
        "matrix": (str(request.matrix) if request.matrix else None, request.matrix is not None),
        "platform": (request.platform, False),
        "target": (str(request.target_file) if request.target_file else None, False),
        **{f"stack.{axis}": (value or "any version", True) for axis, value in request.stack.items()},
    }
    for name, (value, is_held) in values.items():
        yield Setting(name, value, _said(session, name.replace("-", "_")) or (held if is_held else "default"))


def _of_network(session: Session, request: Request) -> Iterator[Setting]:
    from dataloader.index.settings import IndexSettings
    from dataloader.index.web.credentials import without_credentials

    settings, plain = request.settings, IndexSettings()
    for name in _NETWORK:
        value = getattr(settings, name)
        if isinstance(value, tuple):
            value = [without_credentials(address) if "://" in address else address for address in value]
        elif isinstance(value, str) and "://" in value:
            value = without_credentials(value)
        elif not isinstance(value, str | int | float | bool | None):
            value = [f"{key}={content}" for key, content in value.items()]
        is_default = getattr(settings, name) == getattr(plain, name)
        source = _said(session, _ALSO.get(name, name)) or settings.origins.get(name)
        source = source or ("default" if is_default else "manifest")
        yield Setting(name.replace("_", "-"), value, source)


_ALSO = {"attestations": "require_attestation"}
"""Setting -> the option of another name."""
_PLACES = ("manifest", "lockfile", "prefix", "cache")
"""Shown always."""
_NETWORK = (
    *("index_url", "extra_index_urls", "find_links", "mirrors", "cert", "client_cert", "trusted_hosts", "proxy"),
    *("timeout", "retries", "limit_rate", "attestations", "trusted_root", "strict_records", "offline", "refresh"),
)


def _said(session: Session, name: str) -> str | None:
    """The option or variable that says something, if one does."""
    for kind in (CommonOptions, StackFlags):
        for spec in declared(kind):
            if spec.name != name and f"{spec.name}s" != name:
                continue
            flag = spec.metadata["flag"]
            if spec.name in session.options.typed:
                return str(flag.names[0])
            if session.environ.get(flag.envvar):
                return str(flag.envvar)
    return None


def _cache_source(session: Session) -> str:
    for name in ("DATALOADER_CACHE_DIR", "XDG_CACHE_HOME"):
        if session.environ.get(name):
            return name
    return "default"
