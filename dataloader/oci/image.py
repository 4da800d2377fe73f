"""An environment's image as a registry has it: what of it is ours, where it belongs, which lock it was made from."""

from __future__ import annotations

from dataloader.base.errors import UsageError
from dataloader.base.values import dataclass
from dataloader.oci.model import (
    FORMAT,
    OURS,
    Descriptor,
    ImageManifest,
    digest_of,
    malformed,
    read_descriptor,
    read_manifest,
    read_object,
)
from dataloader.oci.reference import Reference
from dataloader.oci.registry import Registry

ARCHITECTURES = {"linux-64": "amd64", "linux-aarch64": "arm64", "linux-ppc64le": "ppc64le", "linux-s390x": "s390x"}
"""conda's name of a platform -> Go's of its architecture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image of an environment."""

    reference: Reference
    """By its digest."""
    manifest: ImageManifest
    prefix: str
    """Where the environment is in it; absolute."""
    lock_sha256: str
    """Of the bytes of its lock."""
    layers: tuple[Descriptor, ...]
    """Those of the environment, not of a base image; what no package brought comes last."""

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"the image {self.reference}"


async def fetch_image(registry: Registry, reference: Reference, platform: str) -> Image:
    """What a registry has under a name; of an index, the image for ``platform`` (conda's name).

    Raises:
        UsageError: there is none, it is not ours (``image-foreign``), or it is none for this platform.
        IntegrityError, IndexUnavailable: the registry serves something else, or nothing.
    """
    what = f"the image {reference}"
    data = await fetch_manifest(registry, reference, platform, what)
    manifest = read_manifest(data, what)
    if manifest.note("format") is None:
        raise UsageError(
            f"{what} holds no environment that `dataloader push` made",
            code="image-foreign",
            suggestions=("look for a slip in its name",),
        )
    if manifest.note("format") != FORMAT:
        raise UsageError(
            f"{what} was made by another version of this program",
            code="image-foreign",
            suggestions=("push it again with this version",),
        )
    prefix, lock = manifest.note("prefix"), manifest.note("lock")
    layers = tuple(layer for layer in manifest.layers if f"{OURS}layer" in layer.annotations)
    if not prefix or not prefix.startswith("/") or not lock or not layers:
        raise malformed(what, "it does not say where its environment is, or has none")
    return Image(
        reference=reference.at(digest_of(data)), manifest=manifest, prefix=prefix, lock_sha256=lock, layers=layers
    )


async def fetch_manifest(registry: Registry, reference: Reference, platform: str, what: str) -> bytes:
    """The manifest that a registry has under a name; of an index, that of its image for ``platform`` (conda's name).

    Raises:
        UsageError: there is none, or none for this platform (``image-missing``).
        IntegrityError, IndexUnavailable: as ``Registry.manifest`` has it.
    """
    data = await registry.manifest(reference)
    index = read_object(data, what)
    return await registry.manifest(reference.at(_of_platform(index, platform, what))) if "manifests" in index else data


def _of_platform(index: dict[str, object], platform: str, what: str) -> str:
    """The digest of the image for a platform."""
    wanted = ARCHITECTURES.get(platform, platform)
    manifests = index.get("manifests")
    there = []
    for entry in manifests if isinstance(manifests, list) else ():
        try:
            machine = entry.get("platform") or {}
            there.append(f"{machine.get('os')}/{machine.get('architecture')}")
            if there[-1] == f"linux/{wanted}":
                return read_descriptor(entry).digest
        except (AttributeError, ValueError) as error:
            raise malformed(what, str(error)) from error
    raise UsageError(
        f"{what} has no part for linux/{wanted}",
        code="image-missing",
        causes=(f"it has {', '.join(there) or 'none'}",),
        suggestions=("name another tag, or push one from such a machine",),
    )
