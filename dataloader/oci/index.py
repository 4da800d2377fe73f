"""One name for the images of several platforms: each is put in its place among those that are there."""

from __future__ import annotations

from typing import Any

from dataloader.base.errors import UsageError
from dataloader.base.tasks import in_thread
from dataloader.oci.image import ARCHITECTURES
from dataloader.oci.model import (
    INDEX,
    MANIFEST,
    Descriptor,
    descriptor_of,
    digest_of,
    malformed,
    read_descriptor,
    read_manifest,
    read_object,
    to_json,
)
from dataloader.oci.reference import Reference
from dataloader.oci.registry import Registry


async def join(registry: Registry, reference: Reference, image: Descriptor, platform: str) -> str:
    """Let a tag lead to an image where its platform is asked for; the digest of the index that it names then.

    Args:
        platform: conda's name.

    Raises:
        UsageError: the tag names an image that is neither an index nor ours (``image-foreign``).
        IntegrityError, IndexUnavailable: as ``Registry.manifest`` and ``Registry.put_manifest`` have it.
    """
    own = _entry(image, platform)
    others = [entry for entry in await _there(registry, reference) if entry.get("platform") != own["platform"]]
    entries = sorted([*others, own], key=lambda entry: str(entry.get("digest")))
    data = to_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
    await in_thread(registry.put_manifest, reference, reference.named, data, INDEX)
    return digest_of(data)


async def _there(registry: Registry, reference: Reference) -> list[dict[str, Any]]:
    """What the tag leads to already, as entries of an index; an image of ours that stands alone is one."""
    what = f"the image {reference}"
    data = await registry.manifest(reference, absent_is=b"")
    if not data:
        return []
    document = read_object(data, what)
    if "manifests" in document:
        try:
            for entry in document["manifests"]:
                read_descriptor(entry)
        except (TypeError, ValueError) as error:
            raise malformed(what, str(error)) from error
        return list(document["manifests"])
    platform = read_manifest(data, what).note("platform")
    if platform is None:
        raise UsageError(
            f"{what} is there already, for one platform, and `dataloader push` did not make it",
            code="image-foreign",
            suggestions=("name another tag",),
        )
    return [_entry(descriptor_of(data, MANIFEST), platform)]


def _entry(image: Descriptor, platform: str) -> dict[str, Any]:
    architecture = ARCHITECTURES.get(platform, platform.partition("-")[2])
    return {**image.document(), "platform": {"architecture": architecture, "os": "linux"}}
