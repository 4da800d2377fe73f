"""One file in a registry, under a tag: an artefact (OCI 1.1) that is given once, and taken by whoever knows its tag."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from dataloader.base.digests import hex_digest
from dataloader.base.tasks import in_thread
from dataloader.oci.model import (
    EMPTY,
    MANIFEST,
    Descriptor,
    ImageManifest,
    descriptor_of,
    malformed,
    read_manifest,
)
from dataloader.oci.reference import Reference
from dataloader.oci.registry import Registry

TITLE = "org.opencontainers.image.title"


class SharedFile(NamedTuple):
    """What a registry has under a tag."""

    title: str
    """The file's name."""
    blob: Descriptor
    """The file's bytes."""
    annotations: Mapping[str, str]


async def find_artefact(registry: Registry, reference: Reference, kind: str) -> SharedFile | None:
    """Return the artefact under a tag; ``None`` where there is none.

    Args:
        kind: Its type, which is that of its file too.

    Raises:
        IntegrityError: ``image-malformed``; something else is there, or nothing that names a file.
        IndexUnavailable, UsageError: as ``Registry.manifest`` has it.
    """
    data = await registry.manifest(reference, absent_is=b"")
    if not data:
        return None
    what = str(reference)
    manifest = read_manifest(data, what)
    if manifest.artifact_type != kind or len(manifest.layers) != 1:
        raise malformed(what, f"it is no artefact of the type {kind}")
    (blob,) = manifest.layers
    title = blob.annotations.get(TITLE, "")
    if not title or Path(title).name != title:
        raise malformed(what, f"{title!r} is no name of a file")
    return SharedFile(title, blob, manifest.annotations)


async def give_artefact(
    registry: Registry, reference: Reference, kind: str, file: Path, annotations: Mapping[str, str]
) -> tuple[Descriptor, int]:
    """Bring a file to a registry under a tag; return what names it there, and the bytes that were sent.

    Raises:
        IndexUnavailable, UsageError, IntegrityError: as ``Registry.upload`` and ``Registry.put_manifest`` have it.
    """
    digest = f"sha256:{await in_thread(hex_digest, file)}"
    blob = Descriptor(media_type=kind, digest=digest, size=file.stat().st_size, annotations={TITLE: file.name})
    empty = descriptor_of(b"{}", EMPTY)
    sent = await in_thread(registry.send, reference, empty, b"{}")
    sent += await in_thread(registry.send, reference, blob, file)
    data = ImageManifest(config=empty, layers=(blob,), artifact_type=kind, annotations=annotations).to_bytes()
    await in_thread(registry.put_manifest, reference, reference.named, data, MANIFEST)
    return blob, sent
