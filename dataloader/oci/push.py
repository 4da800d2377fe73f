"""An environment becomes an image in a registry: layers that it lacks are packed and sent, then the manifest."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dataloader.base.files import keep_file, read_kept
from dataloader.base.reporter import Reporter
from dataloader.base.tasks import in_thread, together
from dataloader.install.switch.owner import signed
from dataloader.lockfile.model import DEFAULT, Lockfile
from dataloader.oci.archive import HOW, packed
from dataloader.oci.attach import Attachment, attach
from dataloader.oci.base_image import BaseImage, bring_base
from dataloader.oci.config import make_config
from dataloader.oci.content import Group, ImageContent
from dataloader.oci.index import join
from dataloader.oci.model import (
    CONFIG,
    FORMAT,
    MANIFEST,
    OURS,
    Compression,
    Descriptor,
    ImageManifest,
    descriptor_of,
    digest_of,
    read_descriptor,
    to_json,
)
from dataloader.oci.reference import Reference
from dataloader.oci.registry import Registry
from dataloader.prefix.activate import Activation


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushing:
    """One environment on its way to a registry."""

    reference: Reference
    tree: Path
    """Where it is on disk."""
    prefix: str
    """Where it is in the image; the path that its files name."""
    content: ImageContent
    lock: Lockfile
    lock_bytes: bytes
    activation: Activation
    base: BaseImage | None = None
    compression: Compression = "zstd"
    entrypoint: tuple[str, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    multi_platform: bool = False
    """Whether the name is to lead to images of several platforms, this one among them."""


@dataclass(slots=True)
class Pushed:
    """What came of it."""

    digest: str = ""
    """Of the manifest."""
    index: str | None = None
    """The digest of the index that the name leads to, where it leads to one."""
    layers: list[Descriptor] = field(default_factory=list)
    sent: int = 0
    """Bytes of blobs that the registry did not have."""
    sent_layers: int = 0


async def push(registry: Registry, pushing: Pushing, cache: Path, reporter: Reporter) -> Pushed:
    """Bring an image to a registry, the manifest last: a name never leads to half an image.

    Raises:
        IntegrityError: a file is not what its package recorded, or the registry keeps something else than was sent.
        IndexUnavailable, UsageError: as ``Registry.upload`` has it.
    """
    done = Pushed()
    base: Mapping[str, Any] = {}
    if pushing.base is not None:
        base, done.sent = await bring_base(registry, pushing.base, pushing.reference, cache)
    groups = pushing.content.groups
    reporter.start("push", "Pushing layers", len(groups), "layers")
    try:
        made = await together(_layer(registry, pushing, group, cache, done, reporter) for group in groups)
    finally:
        reporter.finish("push")
    done.layers = [_annotated(blob, group) for (blob, _), group in zip(made, groups, strict=True)]
    config = to_json(_config(pushing, base, [diff for _, diff in made]))
    blob = descriptor_of(config, CONFIG)
    done.sent += await in_thread(registry.send, pushing.reference, blob, config)
    manifest = ImageManifest(
        config=blob,
        layers=(*(pushing.base.layers if pushing.base else ()), *done.layers),
        annotations=_annotations(pushing),
    )
    data = manifest.to_bytes()
    done.digest = digest_of(data)
    subject = descriptor_of(data, MANIFEST)
    name = done.digest if pushing.multi_platform else pushing.reference.named
    await in_thread(registry.put_manifest, pushing.reference, name, data, MANIFEST)
    if pushing.multi_platform:
        done.index = await join(registry, pushing.reference, subject, pushing.lock.platform)
    done.sent += await attach(registry, pushing.reference, subject, pushing.attachments)
    return done


async def _layer(
    registry: Registry, pushing: Pushing, group: Group, cache: Path, done: Pushed, reporter: Reporter
) -> tuple[Descriptor, str]:
    """Make sure that the registry has a layer; its descriptor, and the digest of its archive."""
    note = cache / "packed" / group.key(pushing.prefix, HOW[pushing.compression])
    known = _noted(note)
    async with registry.uploads:
        if known is None or not await in_thread(registry.has, pushing.reference, known[0].digest):
            made, size = await in_thread(_packed_and_sent, registry, pushing, group, note)
            done.sent += size
            done.sent_layers += bool(size)
        else:
            made = known
    reporter.advance("push", 1)
    return made


def _packed_and_sent(
    registry: Registry, pushing: Pushing, group: Group, note: Path
) -> tuple[tuple[Descriptor, str], int]:
    note.parent.mkdir(parents=True, exist_ok=True)
    path = note.with_name(signed(".new-"))
    try:
        with open(path, "wb") as file:
            blob, diff = packed(group, pushing.tree, pushing.prefix, pushing.compression, file)
        size = registry.send(pushing.reference, blob, path)
    finally:
        path.unlink(missing_ok=True)
    keep_file(note, json.dumps([blob.document(), diff]).encode())
    return (blob, diff), size


def _noted(note: Path) -> tuple[Descriptor, str] | None:
    data = read_kept(note)
    if data is None:
        return None
    blob, diff = json.loads(data)
    os.utime(note)
    return read_descriptor(blob), str(diff)


def _annotated(blob: Descriptor, group: Group) -> Descriptor:
    notes = {f"{OURS}layer": group.name, f"{OURS}packages": ", ".join(group.packages)}
    return replace(blob, annotations={key: value for key, value in notes.items() if value})


def _config(pushing: Pushing, base: Mapping[str, Any], diff_ids: Sequence[str]) -> dict[str, Any]:
    has_python = pushing.lock.python.source != "none"
    return make_config(
        pushing.activation,
        pushing.prefix,
        diff_ids,
        [", ".join(group.packages) or group.name for group in pushing.content.groups],
        platform=pushing.lock.platform,
        base=base,
        labels={f"{OURS}prefix": pushing.prefix, f"{OURS}lock": _sha256(pushing.lock_bytes)},
        entrypoint=pushing.entrypoint,
        command=[f"{pushing.prefix}/bin/python"] if has_python and not pushing.entrypoint else (),
    )


def _annotations(pushing: Pushing) -> dict[str, str]:
    found = {
        f"{OURS}format": FORMAT,
        f"{OURS}prefix": pushing.prefix,
        f"{OURS}lock": _sha256(pushing.lock_bytes),
        f"{OURS}platform": pushing.lock.platform,
        **({f"{OURS}environment": pushing.lock.environment} if pushing.lock.environment != DEFAULT else {}),
        **{f"{OURS}stack.{axis}": value for axis, value in pushing.lock.stack.items()},
    }
    if pushing.base is not None:
        found["org.opencontainers.image.base.name"] = str(replace(pushing.base.reference, digest=None))
        found["org.opencontainers.image.base.digest"] = pushing.base.digest
    return found


def _sha256(data: bytes) -> str:
    return digest_of(data).partition(":")[2]
