"""The environment variables that containers of an image are started with, from what tools write of an image."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dataloader.base.errors import UsageError

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
"""What ``uname -m`` says -> GOARCH."""


def image_environment(path: Path) -> dict[str, str]:
    """The variables of an image.

    Args:
        path: An image's configuration (OCI, ``config.Env``), what ``docker inspect`` or ``podman inspect`` writes
            (``[{"Config": {"Env": ...}}]``), or a folder of OCI's image layout, of which this machine's image counts.

    Raises:
        UsageError: it is none of these (``image-config-invalid``).
    """
    try:
        document = _of_layout(path) if path.is_dir() else _read(path)
        if isinstance(document, list):
            (document,) = document
        config = document.get("config") or document.get("Config") or {}
        lines = config.get("Env") or []
        if not ({"config", "Config", "rootfs", "RootFS"} & document.keys()):
            raise ValueError("it has no configuration of containers")
        return {name: value for name, equals, value in (line.partition("=") for line in lines) if equals}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} is no configuration of an image",
            code="image-config-invalid",
            causes=(str(error),),
            suggestions=("name the output of `docker inspect IMAGE`, an image's configuration, or an OCI layout",),
        ) from error


def _of_layout(folder: Path) -> Any:
    """The configuration of this machine's image in an OCI layout."""
    document = _read(folder / "index.json")
    while "manifests" in document:
        document = _read(_blob(folder, _chosen(document["manifests"])))
    return _read(_blob(folder, document["config"]))


def _chosen(manifests: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    machine = platform.machine()
    wanted = _MACHINES.get(machine, machine)
    fitting = [manifest for manifest in manifests if manifest.get("platform", {}).get("architecture", wanted) == wanted]
    if len(fitting) != 1:
        raise ValueError(f"it has {len(fitting)} images for {wanted}")
    return fitting[0]


def _blob(folder: Path, descriptor: Mapping[str, Any]) -> Path:
    kind, _, digest = str(descriptor["digest"]).partition(":")
    if not (kind.isalnum() and digest.isalnum()):
        raise ValueError(f"{descriptor['digest']} is no digest")
    return folder / "blobs" / kind / digest


def _read(path: Path) -> Any:
    document: Any = json.loads(path.read_bytes())
    return document
