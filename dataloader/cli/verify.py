"""``dataloader verify``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from dataloader.cli.command import VERIFY, command
from dataloader.cli.options import CommonOptions, Operand, own_option


@command(example="dataloader verify -p /opt/env", takes=VERIFY)
def verify(
    options: CommonOptions,
    path: Annotated[
        Path | None,
        Operand("PREFIX", "Environment to check, ours or not; or a wheel or conda package before it is installed."),
    ] = None,
    tree: Annotated[
        str | None,
        own_option("--tree", metavar="FILE", about="Show where every library of this file comes from, and why."),
    ] = None,
    form: Annotated[
        Literal["text", "json", "sarif", "junit", "github", "markdown"],
        own_option("--format", metavar="FORMAT", about="text, json, sarif, junit, github or markdown."),
    ] = "text",
    fail_on: Annotated[
        Literal["error", "warning", "note"],
        own_option("--fail-on", metavar="SEVERITY", about="Exit with 1 on findings at least this bad."),
    ] = "error",
    rehash: Annotated[
        bool, own_option("--rehash", about="Read every file again, also those whose size and times are as they were.")
    ] = False,
) -> int:
    """Check that what is installed can load, without running it."""
    from dataloader.cli import prove

    return prove.verify(options, path, tree=tree, form=form, fail_on=fail_on, rehash=rehash)
