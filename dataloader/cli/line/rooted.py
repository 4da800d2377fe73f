"""The options of commands that work on a prefix, or on a generation below a root."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from dataloader.base.errors import UsageError
from dataloader.cli.line.advice import exclusive
from dataloader.cli.line.options import CommonOptions, own_option

Name = Annotated[str | None, own_option("--name", metavar="NAME", about="Name of the environment below --root.")]
CacheLayers = Annotated[
    list[Path] | None,
    own_option("--cache-layer", metavar="DIR", about="A read-only cache below the writable one. May be repeated."),
]
Timeout = Annotated[
    float | None,
    own_option("--timeout", metavar="SECONDS", about="How long to wait for another sync of the same environment."),
]


def check_root(root: Path | None, name: str | None, options: CommonOptions, verb: str) -> None:
    """Refuse half of ``--root`` and ``--name``, and a prefix beside them."""
    if (root is None) != (name is None):
        raise UsageError(
            "--root and --name belong together", suggestions=(f"dataloader {verb} --root /mnt/envs --name train",)
        )
    if root is not None and "prefix" in options.typed:
        raise exclusive("--root", "--prefix")
