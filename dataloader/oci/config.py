"""The configuration of an image: what a container of it is started with. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from dataloader.oci.content import EPOCH
from dataloader.oci.image import ARCHITECTURES
from dataloader.prefix.activate import Activation

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def make_config(
    activation: Activation,
    prefix: str,
    diff_ids: Sequence[str],
    history: Sequence[str],
    *,
    platform: str,
    base: Mapping[str, Any],
    labels: Mapping[str, str],
    entrypoint: Sequence[str],
    command: Sequence[str],
) -> dict[str, Any]:
    """The configuration.

    Args:
        activation: Of the environment, where it is on this machine.
        prefix: Where it is in the image.
        diff_ids: Digests of its layers without their compression.
        history: What made each of them.
        platform: conda's name.
        base: The configuration of the image below it; empty without one.
        labels: Added to the base's.
        entrypoint: The program that each container starts; none for the base's.
        command: What it starts unless told otherwise.
    """
    below = dict(base.get("config") or {})
    environ = dict(line.partition("=")[::2] for line in below.get("Env") or ())
    made = moved(activation, prefix).environ({"PATH": environ.get("PATH", _PATH), **environ})
    below["Env"] = [f"{name}={value}" for name, value in made.items()]
    below["Labels"] = {**(below.get("Labels") or {}), **labels}
    if entrypoint:
        below["Entrypoint"] = list(entrypoint)
    if command:
        below["Cmd"] = list(command)
    created = datetime.fromtimestamp(EPOCH, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "created": created,
        "architecture": base.get("architecture") or ARCHITECTURES.get(platform, platform.partition("-")[2]),
        "os": "linux",
        "config": below,
        "rootfs": {"type": "layers", "diff_ids": [*(base.get("rootfs") or {}).get("diff_ids", ()), *diff_ids]},
        "history": [
            *(base.get("history") or ()),
            *({"created": created, "created_by": f"push of {entry}"} for entry in history),
        ],
    }


def moved(activation: Activation, prefix: str) -> Activation:
    """The activation of the environment as it is in the image. Scripts of packages need a shell: they are left out."""
    old = str(activation.prefix)

    def there(path: str) -> str:
        return prefix + path[len(old) :] if path == old or path.startswith(f"{old}/") else path

    variables = {name: there(value) for name, value in activation.variables.items()}
    if "CONDA_DEFAULT_ENV" in variables:
        variables["CONDA_DEFAULT_ENV"] = Path(prefix).name
    return replace(
        activation,
        prefix=Path(prefix),
        path=tuple(there(folder) for folder in activation.path),
        library_path=tuple(there(folder) for folder in activation.library_path),
        variables=variables,
        scripts=(),
    )
