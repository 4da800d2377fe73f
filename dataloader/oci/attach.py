"""What goes with an image: its lock, bill of materials and report, as artefacts that refer to it (OCI 1.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from dataloader.base.tasks import in_thread
from dataloader.oci.model import EMPTY, INDEX, MANIFEST, Descriptor, ImageManifest, descriptor_of, read_object, to_json
from dataloader.oci.reference import Reference
from dataloader.oci.registry import Registry


class Attachment(NamedTuple):
    """One document."""

    kind: str
    """What it is looked for by: the artefact's type."""
    title: str
    """As a file would be called."""
    data: bytes
    media_type: str | None = None
    """Of the document, where that is another one than the artefact's type."""


async def attach(
    registry: Registry, reference: Reference, subject: Descriptor, attachments: Sequence[Attachment]
) -> int:
    """Let documents refer to an image; bytes that were sent.

    Where the list of them is ours to keep, an older one of the same kind leaves it. Registries keep theirs themselves.
    """
    if not attachments:
        return 0
    sent = 0
    made: list[Descriptor] = []
    keeps_them = True
    for attachment in attachments:
        layer = descriptor_of(
            attachment.data,
            attachment.media_type or attachment.kind,
            annotations={"org.opencontainers.image.title": attachment.title},
        )
        manifest = ImageManifest(
            config=descriptor_of(b"{}", EMPTY), layers=(layer,), artifact_type=attachment.kind, subject=subject
        )
        data = manifest.to_bytes()
        for blob, content in ((manifest.config, b"{}"), (layer, attachment.data)):
            sent += await in_thread(registry.send, reference, blob, content)
        made.append(descriptor_of(data, MANIFEST, artifact_type=attachment.kind))
        headers = await in_thread(registry.put_manifest, reference, made[-1].digest, data, MANIFEST)
        keeps_them = keeps_them and "OCI-Subject" in headers
    if not keeps_them:
        await _note_in_tag(registry, reference, subject, made)
    return sent


async def _note_in_tag(registry: Registry, reference: Reference, subject: Descriptor, made: list[Descriptor]) -> None:
    """Keep the list of referrers where the registry does not: under the tag of the specification's fallback."""
    tag = subject.digest.replace(":", "-")
    there = await registry.manifest(replace(reference, tag=tag, digest=None), absent_is=b"{}")
    kinds = {descriptor.artifact_type for descriptor in made}
    others = [manifest for manifest in _manifests(there, tag) if manifest.get("artifactType") not in kinds]
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": sorted(
            [*others, *(document.document() for document in made)], key=lambda document: str(document.get("digest"))
        ),
    }
    await in_thread(registry.put_manifest, reference, tag, to_json(index), INDEX)


def _manifests(data: bytes, what: str) -> list[dict[str, Any]]:
    found = read_object(data, what).get("manifests") or []
    return [entry for entry in found if isinstance(entry, dict)]
