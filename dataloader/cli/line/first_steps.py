"""What to do first where a lock or an environment is missing: it depends on what lies in the place."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataloader.cli.line.options import CommonOptions

TAKEN_OVER = {
    "requirements.txt": "dataloader install -r requirements.txt",
    "environment.yml": "dataloader install -f environment.yml",
    "environment.yaml": "dataloader install -f environment.yaml",
    "pyproject.toml": "dataloader install -r pyproject.toml",
}
"""File that may lie in a project's folder -> what takes it over into a manifest that is there."""

WRITING = ("`dataloader init` writes a manifest.",)
"""For who has nothing yet."""
_VERBS = {"prefix-missing": "sync", "lockfile-missing": "lock"}
"""Error of something that is missing -> the command that makes it, of a manifest."""


def taking_over(here: Path) -> tuple[str, ...]:
    """Return advice for who has files of another tool, and no manifest; empty where none lie here."""
    found = [name for name in TAKEN_OVER if (here / name).is_file()]
    files = shlex.join(word for name in found for word in ("--from", name))
    return (f"`dataloader init {files}` takes over what is here.",) if found else ()


def without_manifest(here: Path, verb: str, *words: str) -> tuple[str, ...]:
    """Return advice for who needs a manifest, where a folder has none, with what was typed behind a command."""
    from dataloader.request.project import project_here

    if project := project_here(here):
        line = shlex.join([verb, "--manifest", project.name, *words])
        return (f"`dataloader {line}` takes the project that is here.",)
    return taking_over(here) or WRITING


def first_steps(code: str, options: CommonOptions, here: Path) -> tuple[str, ...]:
    """Return advice for an error whose maker knew only what is missing, and not what it could be made of.

    Args:
        code: The error's; for others there is none.
        options: What the command was told of its place.
        here: Where the command is carried out.
    """
    verb = _VERBS.get(code)
    if verb is None:
        return ()
    from dataloader.request.places import lock_path, manifest_path

    if manifest_path(options, here) is not None or (verb == "sync" and lock_path(options, here).is_file()):
        return (f"`dataloader {verb}` makes it.",)
    ways = without_manifest(here, verb)
    if ways != WRITING:
        return ways
    making = "lock NAME" if verb == "lock" else f"install NAME{'' if options.prefix else ' -p DIR'}"
    return (f"`dataloader {making}` makes one.", *ways)
