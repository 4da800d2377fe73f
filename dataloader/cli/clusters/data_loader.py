"""``data-loader TYPE URI``, as the Dataset controller's Job calls it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from dataloader.base.errors import DataloaderError
from dataloader.base.redaction import redact
from dataloader.dataset.request import SECRETS, Mount, make_source, parse_options
from dataloader.process.leaving import leave

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def data_loader(
    kind: Annotated[str, typer.Argument(metavar="TYPE", help="CONDA or PIXI.")],
    uri: Annotated[str, typer.Argument(metavar="URI", help="conda://NAME?version=3.11, say.")],
    mount_path: Annotated[str, typer.Option(help="What below --mount-root gets mode and owner.")],
    mount_mode: Annotated[str, typer.Option(help="Permission bits, octal.")] = "0755",
    mount_uid: Annotated[int, typer.Option(help="Owner.")] = 1000,
    mount_gid: Annotated[int, typer.Option(help="Group.")] = 1000,
    mount_root: Annotated[Path, typer.Option(help="The volume.")] = Path(),
    mount_secrets: Annotated[Path, typer.Option(help="Folder with a file for each secret.")] = SECRETS,
    options: Annotated[list[str] | None, typer.Option("-o", "--options", help="KEY=VALUE. May be repeated.")] = None,
) -> None:
    """Load the environment of a Dataset onto its volume: locked, verified, and switched to at once."""
    from dataloader.cli.app import main as run_line
    from dataloader.dataset.load import load

    try:
        mode = int(mount_mode, 8)
    except ValueError:
        raise typer.BadParameter(f"{mount_mode} is no octal number", param_hint="--mount-mode") from None
    if not kind or not uri:
        raise typer.BadParameter("TYPE and URI may not be empty")
    try:
        source = make_source(kind, uri, parse_options(options or ()))
        mount = Mount(root=mount_root.absolute(), path=mount_path, mode=mode, uid=mount_uid, gid=mount_gid)
        load(source, mount, mount_secrets, run_line)
    except (DataloaderError, OSError) as error:
        sys.stderr.write(f"failed to load data: {redact(str(error))}\n")
        for hint in getattr(error, "suggestions", ()):
            sys.stderr.write(f"  {hint}\n")
        raise typer.Exit(1) from error


def main() -> None:
    """The console script."""
    try:
        app(prog_name="data-loader")
    except SystemExit as end:  # how typer tells the exit code
        leave(int(end.code or 0))


if __name__ == "__main__":
    main()
