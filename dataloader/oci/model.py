"""Manifests, configurations and descriptors of the OCI image specification, as far as they are needed. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal, TypeAlias

from dataloader.base.errors import IntegrityError
from dataloader.base.values import dataclass

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
ACCEPT = f"{MANIFEST}, {INDEX}, {DOCKER_MANIFEST}, {DOCKER_INDEX}"
MOST_BYTES = 4 << 20
"""Of a manifest; what registries take, too."""

Compression: TypeAlias = Literal["zstd", "gzip"]

OURS = "dev.dataloader."
"""Before the names of our annotations."""
FORMAT = "1"
"""Of what an image of ours holds; another one is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """What names a blob or a manifest, and vouches for its bytes."""

    media_type: str
    digest: str
    size: int
    """Bytes."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str | None = None

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        found: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.artifact_type:
            found["artifactType"] = self.artifact_type
        if self.annotations:
            found["annotations"] = dict(self.annotations)
        return found

    @property
    def hexadecimal(self) -> str:
        """The digest without its algorithm."""
        return self.digest.partition(":")[2]


def descriptor_of(data: bytes, media_type: str, **more: Any) -> Descriptor:
    """The descriptor of bytes at hand."""
    return Descriptor(media_type=media_type, digest=digest_of(data), size=len(data), **more)


def digest_of(data: bytes) -> str:
    """``sha256:`` and the hash."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def read_descriptor(value: Any) -> Descriptor:
    """A descriptor of somebody's JSON.

    Raises:
        ValueError: it is none, or names its blob by another hash than sha256.
    """
    if not isinstance(value, dict):
        raise ValueError("a descriptor is no object")  # noqa: TRY004 -- one kind of failure for whatever JSON may hold
    digest, size, kind = value.get("digest"), value.get("size"), value.get("mediaType")
    if not isinstance(digest, str) or not re.fullmatch("sha256:[0-9a-f]{64}", digest):
        raise ValueError(f"{digest!r} is no sha256 digest")
    if not isinstance(size, int) or size < 0 or not isinstance(kind, str):
        raise ValueError(f"the descriptor of {digest} has no size or no media type")
    notes = value.get("annotations") or {}
    if not isinstance(notes, dict):
        raise ValueError(f"the annotations of {digest} are no object")  # noqa: TRY004 -- as above
    artifact = value.get("artifactType")
    return Descriptor(
        media_type=kind,
        digest=digest,
        size=size,
        annotations={str(key): str(note) for key, note in notes.items()},
        artifact_type=artifact if isinstance(artifact, str) else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageManifest:
    """One image, or one artefact."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str | None = None
    subject: Descriptor | None = None

    def to_bytes(self) -> bytes:
        """JSON; the same manifest always gives the same bytes."""
        document: dict[str, Any] = {"schemaVersion": 2, "mediaType": MANIFEST}
        if self.artifact_type:
            document["artifactType"] = self.artifact_type
        document["config"] = self.config.document()
        document["layers"] = [layer.document() for layer in self.layers]
        if self.subject:
            document["subject"] = self.subject.document()
        if self.annotations:
            document["annotations"] = dict(sorted(self.annotations.items()))
        return to_json(document)

    def note(self, name: str) -> str | None:
        """An annotation of ours."""
        return self.annotations.get(OURS + name)


def to_json(document: object) -> bytes:
    """JSON without blanks, in the order that it has."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def read_manifest(data: bytes, what: str) -> ImageManifest:
    """The manifest of an image.

    Raises:
        IntegrityError: it is none that can be read (``image-malformed``).
    """
    document = read_object(data, what)
    try:
        layers = document.get("layers")
        if not isinstance(layers, list):
            raise ValueError("it has no layers")  # noqa: TRY004 -- as above
        notes = document.get("annotations") or {}
        return ImageManifest(
            config=read_descriptor(document.get("config")),
            layers=tuple(read_descriptor(layer) for layer in layers),
            annotations={str(key): str(note) for key, note in notes.items()},
            artifact_type=document.get("artifactType"),
        )
    except (ValueError, AttributeError) as error:
        raise malformed(what, str(error)) from error


def read_object(data: bytes, what: str) -> dict[str, Any]:
    """A JSON object; IntegrityError for anything else."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise malformed(what, f"it is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise malformed(what, "it is no JSON object")
    return document


def malformed(what: str, fact: str) -> IntegrityError:
    """The error for what a registry serves that is no image of ours, or no image."""
    return IntegrityError(
        f"{what} is not an image that can be used: {fact}",
        code="image-malformed",
        suggestions=("push it again",),
    )
