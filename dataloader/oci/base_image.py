"""The image below an environment: its layers come first, and its configuration is added to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from dataloader.base.errors import UsageError
from dataloader.base.tasks import in_thread, together
from dataloader.base.values import dataclass
from dataloader.install.switch.owner import signed
from dataloader.oci.image import fetch_manifest
from dataloader.oci.model import (
    DOCKER_LAYER,
    LAYER,
    Descriptor,
    digest_of,
    malformed,
    read_manifest,
    read_object,
)
from dataloader.oci.reference import Reference
from dataloader.oci.registry import Registry

_MOST_LAYERS = 40
"""Of a base image: a runtime takes 127, and an environment has up to 85."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseImage:
    """An image to stand on."""

    reference: Reference
    digest: str
    """Of its manifest."""
    config: Descriptor
    layers: tuple[Descriptor, ...]


async def find_base(registry: Registry, reference: Reference, platform: str) -> BaseImage:
    """What a registry has under a name, for a platform (conda's name).

    Raises:
        UsageError: there is no such image (``image-missing``), or it has too many layers.
        IntegrityError, IndexUnavailable: as ``Registry.manifest`` has it.
    """
    what = f"the base image {reference}"
    data = await fetch_manifest(registry, reference, platform, what)
    manifest = read_manifest(data, what)
    if len(manifest.layers) > _MOST_LAYERS:
        raise UsageError(
            f"{what} has {len(manifest.layers)} layers; with the environment's it would have more than runtimes take",
            suggestions=("squash it, or take a smaller one",),
        )
    layers = tuple(replace(layer, media_type=_oci_type(layer.media_type), annotations={}) for layer in manifest.layers)
    return BaseImage(reference=reference, digest=digest_of(data), config=manifest.config, layers=layers)


def _oci_type(media_type: str) -> str:
    return f"{LAYER}+gzip" if media_type == DOCKER_LAYER else media_type


async def bring_base(registry: Registry, base: BaseImage, target: Reference, cache: Path) -> tuple[dict[str, Any], int]:
    """Make sure that the target's repository has the layers of a base image; its configuration, and bytes sent."""
    config = read_object(await registry.small_blob(base.reference, base.config), f"the base image {base.reference}")
    if len((config.get("rootfs") or {}).get("diff_ids") or ()) != len(base.layers):
        raise malformed(f"the base image {base.reference}", "its configuration is of other layers than its manifest")

    async def bring(layer: Descriptor) -> int:
        if await in_thread(registry.has, target, layer.digest):
            return 0
        if await in_thread(registry.mount, target, layer.digest, base.reference):
            return 0
        path = cache / "packed" / signed(".new-")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            await registry.fetch(base.reference, layer, path)
            await in_thread(registry.upload, target, layer, path)
        finally:
            path.unlink(missing_ok=True)
        return layer.size

    return config, sum(await together(bring(layer) for layer in base.layers))
