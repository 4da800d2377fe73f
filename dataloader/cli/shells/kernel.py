"""``dataloader kernel``: environments as kernels of Jupyter, wherever that is installed."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from dataloader.base.errors import UsageError
from dataloader.cli.line.command import PREFIX, command
from dataloader.cli.line.options import CommonOptions, Operand, own_option
from dataloader.cli.telling.render import table

if TYPE_CHECKING:
    from dataloader.cli.stages.session import Session

_NAME = re.compile(r"[A-Za-z0-9._-]+")
"""What Jupyter takes for the name of a kernel."""
_OURS = "dataloader"
"""The key of a kernel's metadata that says that it is ours."""


@command(example="dataloader kernel install --name train", takes=PREFIX)
def kernel(
    options: CommonOptions,
    action: Annotated[
        Literal["install", "list", "remove"],
        Operand("ACTION", "install: make the environment a kernel; list: those there are; remove: one of them."),
    ],
    name: Annotated[
        str | None, own_option("--name", metavar="NAME", about="Name of the kernel; else the project's folder.")
    ] = None,
    title: Annotated[
        str | None, own_option("--display-name", metavar="TEXT", about="What Jupyter shows; else the name.")
    ] = None,
) -> int:
    """Make the environment a kernel of Jupyter, activated when it starts.

    Jupyter itself may be installed anywhere; the environment needs ipykernel.
    """
    from dataloader.cli.stages.session import open_session

    with open_session(options) as session:
        if action == "install":
            _install(session, name, title)
        elif action == "list":
            _list(session)
        else:
            _remove(session, name)
    return 0


def kernels_folder(environ: Mapping[str, str]) -> Path:
    """Where this user's kernels are, as jupyter_core has it."""
    if chosen := environ.get("JUPYTER_DATA_DIR"):
        return Path(chosen) / "kernels"
    home = Path(environ.get("HOME") or Path.home())
    if sys.platform == "darwin":
        return home / "Library" / "Jupyter" / "kernels"
    return Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "jupyter" / "kernels"


def _install(session: Session, name: str | None, title: str | None) -> None:
    from dataloader.base.files import replace_file
    from dataloader.cli.stages.use import check_python, prefix_of
    from dataloader.install.sync import absolute
    from dataloader.prefix.state import installed

    prefix = absolute(prefix_of(session))  # a link to generations stays one: the kernel follows it
    if not any(package.name == "ipykernel" for package in installed(prefix).packages):
        raise UsageError(
            f"{prefix} has no ipykernel, which a kernel is run by",
            code="kernel-unusable",
            suggestions=("`dataloader add ipykernel`", f"`dataloader install ipykernel -p {shlex.quote(str(prefix))}`"),
        )
    check_python(prefix)
    name = (name or _project_of(prefix)).lower()
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of a kernel: letters, digits, dots, dashes and underscores can",
            code="kernel-unusable",
            suggestions=("name it: `dataloader kernel install --name train`",),
        )
    path = kernels_folder(session.environ) / name / "kernel.json"
    if path.is_file() and not _is_ours(path):
        raise UsageError(
            f"there is a kernel {name} that another program made: {path}",
            code="kernel-unusable",
            suggestions=("choose another name: `dataloader kernel install --name mine`",),
        )
    words = (sys.executable, "-m", "dataloader", "run", "--prefix", str(prefix), "--no-sync", "--")
    spec = {
        "argv": [*words, "python", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": title or name,
        "language": "python",
        "metadata": {"debugger": True, _OURS: {"prefix": str(prefix)}},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, (json.dumps(spec, indent=1) + "\n").encode())
    session.write({"status": "ok", "name": name, "kernel": str(path), "prefix": str(prefix)}, f"{path}\n")
    session.reporter.info(f"Jupyter has the kernel {name} now, for {prefix}")


def _project_of(prefix: Path) -> str:
    from dataloader.prefix.locate import DEFAULT_ENVIRONMENT, ENVIRONMENTS

    if prefix.parts[-3:-1] == Path(ENVIRONMENTS).parts:
        project = prefix.parents[2].name
        return project if prefix.name == DEFAULT_ENVIRONMENT else f"{project}-{prefix.name}"
    return prefix.name


def _content(path: Path) -> dict[str, object] | None:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None  # another program's, which says itself what is wrong with it
    return content if isinstance(content, dict) else None


def _is_ours(path: Path) -> bool:
    metadata = (_content(path) or {}).get("metadata")
    return isinstance(metadata, dict) and _OURS in metadata


def _ours(session: Session) -> dict[str, Path]:
    return {
        path.parent.name: path
        for path in sorted(kernels_folder(session.environ).glob("*/kernel.json"))
        if _is_ours(path)
    }


def _list(session: Session) -> None:
    found = []
    for name, path in _ours(session).items():
        prefix = (_content(path) or {})["metadata"][_OURS]["prefix"]  # type: ignore[index]
        found.append({"name": name, "kernel": str(path), "prefix": prefix, "works": os.path.isdir(prefix)})  # noqa: PTH112
    rows = [(str(k["name"]), str(k["prefix"]), "" if k["works"] else "gone") for k in found]
    session.write(
        {"status": "ok", "kernels": found}, table(rows, ("kernel", "environment", "")) if rows else "no kernels\n"
    )


def _remove(session: Session, name: str | None) -> None:
    from dataloader.base.files import remove_tree

    ours = _ours(session)
    if name not in ours:
        raise UsageError(
            f"there is no kernel {name} of ours" if name else "which kernel is to be removed?",
            code="kernel-unusable",
            suggestions=("`dataloader kernel list` shows them", "`dataloader kernel remove --name NAME`"),
        )
    remove_tree(ours[name].parent)
    session.write({"status": "ok", "name": name, "kernel": str(ours[name])}, f"{ours[name]} is removed\n")
