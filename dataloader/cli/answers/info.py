"""``dataloader info``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from dataloader import __version__
from dataloader.cli.line.command import command
from dataloader.cli.line.options import CommonOptions
from dataloader.cli.telling.console import Style, write_result
from dataloader.cli.telling.render import table

if TYPE_CHECKING:
    from dataloader.machine.interpreters import Interpreter
    from dataloader.machine.target import Target


@command(example="dataloader info --json", takes=("manifest", "platform", "target", "matrix", "Output"))
def info(options: CommonOptions) -> int:
    """Show this machine: platform, driver, GPUs, compilers, virtual packages, Pythons, caches."""
    from dataloader.base.cache import cache_root
    from dataloader.locking.targets import named_targets
    from dataloader.machine.detect import EVERYTHING
    from dataloader.machine.interpreters import find_interpreters
    from dataloader.request.places import manifest_path

    targets = named_targets(options, os.environ, EVERYTHING)
    cache = cache_root()
    pythons = find_interpreters(cache)
    manifest = manifest_path(options, Path.cwd())
    document = {
        "status": "ok",
        "dataloader": __version__,
        "cache": str(cache),
        "manifest": str(manifest) if manifest else None,
        "targets": [_target_document(target) for target in targets],
        "pythons": [_python_document(python) for python in pythons],
    }
    text = _text(document, targets, pythons)
    write_result(Style.of(options), document, text)
    return 0


def _target_document(target: Target) -> dict[str, object]:
    values = target._asdict() | {"gpus": [gpu._asdict() for gpu in target.gpus]}
    packages = [
        {"name": name, "version": version, "build": build} for name, version, build in target.virtual_packages()
    ]
    return values | {"virtual_packages": packages}


def _python_document(python: Interpreter) -> dict[str, object]:
    values = asdict(python)
    return values | {"path": str(python.path), "prefix": str(python.prefix), "abi": python.abi}


def _text(document: Mapping[str, object], targets: tuple[Target, ...], pythons: tuple[Interpreter, ...]) -> str:
    general = [
        ("dataloader", __version__),
        ("manifest", str(document["manifest"] or "none found")),
        ("cache", str(document["cache"])),
    ]
    parts = [table(general)]
    parts += [_target_text(target) for target in targets]
    rows = [(python.version, python.abi, _remarks(python), str(python.path)) for python in pythons]
    parts.append(table(rows, ("python", "abi", "", "path")) if rows else "No usable Python was found.\n")
    return "\n".join(parts)


def _target_text(target: Target) -> str:
    def said(value: str | None, missing: str) -> str:
        return value or missing

    libc = f"glibc {target.glibc}" if target.glibc else f"musl {target.musl}" if target.musl else "unknown"
    rows = [
        ("target", said(target.name, "this machine")),
        ("platform", f"{target.platform} ({said(target.archspec, target.arch)})"),
        ("C library", libc),
        ("kernel", said(target.kernel, "unknown")),
        ("libstdc++", f"GLIBCXX_{target.libstdcxx}" if target.libstdcxx else "none found"),
        ("gcc", said(target.gcc, "none found")),
        ("NVIDIA driver", said(target.driver, "unknown" if target.driver_cuda else "none found")),
        ("CUDA of driver", said(target.driver_cuda, "none")),
        *(("GPU", f"{gpu.name} (compute capability {gpu.capability})") for gpu in target.gpus),
        *(("assumed", name) for name in target.assumed),
        *(("virtual package", "=".join(package)) for package in target.virtual_packages()),
    ]
    return table(rows)


def _remarks(python: Interpreter) -> str:
    remarks = {
        "free-threaded": python.free_threaded,
        "debug": python.debug,
        "pre-release": python.prerelease,
        "musl": python.musl,
    }
    return ", ".join(remark for remark, is_so in remarks.items() if is_so)
