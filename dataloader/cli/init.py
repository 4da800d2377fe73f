"""``dataloader init``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from dataloader.base.errors import UsageError
from dataloader.cli.command import command
from dataloader.cli.console import Style, make_reporter, write_result
from dataloader.cli.options import CommonOptions, Operand, own_option

DEFAULT_CHANNELS = ("conda-forge",)


@command(example="dataloader init --from environment.yml", takes=("channels", "platform", "Output"))
def init(
    options: CommonOptions,
    directory: Annotated[Path, Operand("DIR", "Where to write it; else here.")] = Path(),
    pixi: Annotated[bool, own_option("--pixi", about="Write a pixi.toml, ours under tool.dataloader.")] = False,
    sources: Annotated[
        list[Path] | None,
        own_option("--from", metavar="FILE", about="Take over a requirements.txt or environment.yml. May be repeated."),
    ] = None,
) -> int:
    """Write a manifest: dataloader.toml, or pixi.toml with --pixi."""
    from dataloader.machine.detect import detect_platform
    from dataloader.request.manifest import parse_manifest
    from dataloader.request.manifest_edit import new_manifest
    from dataloader.request.read import read_input

    style = Style.of(options)
    reporter = make_reporter(style)
    path = directory / ("pixi.toml" if pixi else "dataloader.toml")
    if path.exists():
        raise UsageError(
            f"{path} is there already",
            code="manifest-exists",
            suggestions=("`dataloader install SPEC` adds to it.", "`dataloader init DIR` writes one elsewhere."),
        )
    inputs = tuple(read_input(source) for source in sources or ())
    for one in inputs:
        for note in one.notes:
            reporter.warn(note)
    text = new_manifest(
        name=directory.resolve().name or "environment",
        channels=options.channels or DEFAULT_CHANNELS,
        platform=options.platform or detect_platform(),
        pixi=pixi,
        inputs=inputs,
    )
    parse_manifest(text, path)
    directory.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
    reporter.info(f"Wrote {path}")
    reporter.info("Next: `dataloader install --cuda --torch`, say, adds to it and installs.")
    write_result(style, {"status": "ok", "manifest": str(path.resolve())}, f"{path}\n")
    return 0
