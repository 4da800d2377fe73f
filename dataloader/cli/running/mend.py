"""``verify --fix N``: run the command of a finding, judge again, and leave all as it was if that is no better."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dataloader.base.errors import PrefixError, UsageError
from dataloader.base.files import remove_tree, replace_file
from dataloader.base.links import link_or_copy
from dataloader.verify.output import SEVERITIES, commands

if TYPE_CHECKING:
    from dataloader.base.reporter import Reporter
    from dataloader.verify.report import VerifyReport

_INSTALLERS: Final = frozenset({"dataloader", "uv", "pip", "conda", "pixi"})
_PLACES: Final = ("--lockfile", "--manifest")
"""Options of a command of ours that name what it changes beside the environment."""
_LARGE: Final = 1 << 20
"""Bytes from which a file is kept by a hard link: installers put another in its place, and never write into it."""
_TAIL: Final = 12
"""Lines of a command that failed, as they are told."""


def mend(
    prefix: Path,
    number: int,
    look: Callable[[], VerifyReport],
    environ: Mapping[str, str],
    reporter: Reporter,
) -> VerifyReport:
    """Carry out a fix and return what verify says then.

    Args:
        number: As the text of the report counts them.
        look: Verifies the environment.

    Raises:
        UsageError: there is no such fix, or it is none that changes the environment.
        PrefixError: the command failed, or mended nothing (``fix-failed``); everything is as it was.
    """
    before = look()
    command = _command(before, number)
    if prefix.resolve().is_mount():
        raise PrefixError(
            f"{prefix} is a mount point, and could not be put back as a whole: nothing was done",
            code="fix-failed",
            suggestions=(f"type it: {command}",),
        )
    with _as_it_was(prefix, command) as undo:
        reporter.info(f"fix {number}: {command}")
        _run(command, environ, reporter)
        after = look()
        if _score(after) >= _score(before):
            undo()
            left = [f"{finding.path}: {finding.message}" for finding in after.findings[:_TAIL]]
            raise PrefixError(
                f"fix {number} did not mend the environment, and was undone",
                code="fix-failed",
                causes=(command, *left),
                suggestions=("try another one: `dataloader verify` numbers them",),
            )
    reporter.info(f"fix {number} is applied: {_told(before)} before, {_told(after)} now")
    return after


def _command(report: VerifyReport, number: int) -> str:
    found = commands(report)
    if not 1 <= number <= len(found):
        has = f"there are {len(found)}" if found else "verify knows none"
        raise UsageError(f"there is no fix {number}: {has}", suggestions=("`dataloader verify` numbers them",))
    command = found[number - 1]
    for part in command.split(" && "):
        program = Path(shlex.split(part)[0]).name
        if program not in _INSTALLERS and not program.startswith("python"):
            raise UsageError(
                f"fix {number} changes this shell or this machine, and is for you to type",
                suggestions=(command,),
            )
    return command


def _run(command: str, environ: Mapping[str, str], reporter: Reporter) -> None:
    for part in command.split(" && "):
        words = shlex.split(part)
        if words[0] == "dataloader":
            words[:1] = [sys.executable, "-m", "dataloader"]
            words += ["--yes"] if words[3] in ("install", "sync") else []
        try:
            done = subprocess.run(
                words, env=dict(environ), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
            )
        except OSError as error:
            raise PrefixError(
                f"{words[0]} cannot be run: {error.strerror}", code="fix-failed", causes=(command,)
            ) from error
        if done.returncode:
            raise PrefixError(
                f"the command of the fix failed ({done.returncode}), and nothing is changed",
                code="fix-failed",
                causes=(part, *done.stdout.splitlines()[-_TAIL:]),
            )
        for line in done.stdout.splitlines():
            reporter.debug(line)


@contextmanager
def _as_it_was(prefix: Path, command: str) -> Iterator[Callable[[], None]]:
    """Keep what a command may change; on an error, or when asked, it is put back."""
    real = prefix.resolve()
    files = {path: _content(path) for path in _beside(shlex.split(command))}
    folder = Path(tempfile.mkdtemp(prefix=f".{real.name}-", suffix=".before", dir=real.parent))
    kept, is_undone = folder / "kept", False

    def undo() -> None:
        nonlocal is_undone
        is_undone = True
        real.rename(folder / "gone")
        kept.rename(real)
        for path, content in files.items():
            if content is not None:
                replace_file(path, content)
            else:
                path.unlink(missing_ok=True)

    try:
        _keep_all(real, kept)  # who interrupts this has changed nothing
        try:
            yield undo
        except BaseException:
            if not is_undone:
                undo()
            raise
    finally:
        remove_tree(folder)


def _keep_all(real: Path, kept: Path) -> None:
    try:
        shutil.copytree(real, kept, symlinks=True, copy_function=_keep)
        if os.geteuid() == 0:
            _give_owners(real, kept)
    except OSError as error:  # shutil.Error is one
        raise PrefixError(
            f"what is in {real} cannot be kept meanwhile: nothing was done", code="fix-failed", causes=_reasons(error)
        ) from error


def _keep(source: str, copy: str) -> str:
    status = os.stat(source)  # noqa: PTH116
    if stat.S_ISREG(status.st_mode) and status.st_size < _LARGE:
        return shutil.copy2(source, copy)
    if stat.S_ISREG(status.st_mode):
        link_or_copy(source, copy)
    else:
        os.link(source, copy)  # pipes and sockets have no content to copy
    return copy


def _give_owners(real: Path, kept: Path) -> None:
    """Whose each file is: as root one mends the environments of others."""
    for folder, folders, files in os.walk(real):
        for name in (".", *folders, *files):
            path = kept / os.path.relpath(folder, real) / name
            whose, now = os.lstat(f"{folder}/{name}"), os.lstat(path)
            if (whose.st_uid, whose.st_gid) != (now.st_uid, now.st_gid):
                os.chown(path, whose.st_uid, whose.st_gid, follow_symlinks=False)
                if stat.S_ISREG(whose.st_mode):
                    path.chmod(stat.S_IMODE(whose.st_mode))  # chown takes setuid away


def _reasons(error: OSError) -> tuple[str, ...]:
    """One line for each file, of shutil.Error too."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        return tuple(str(failure[-1]) for failure in error.args[0][:_TAIL])
    return (str(error),)


def _beside(words: Sequence[str]) -> Iterator[Path]:
    for option, value in pairwise(words):
        if option in _PLACES:
            yield Path(value)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _score(report: VerifyReport) -> list[int]:
    return [sum(finding.severity == level for finding in report.findings) for level in SEVERITIES]


def _told(report: VerifyReport) -> str:
    errors, warnings, _ = _score(report)
    return f"{errors} error{'' if errors == 1 else 's'} and {warnings} warning{'' if warnings == 1 else 's'}"
