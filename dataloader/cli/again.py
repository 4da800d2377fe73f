"""A plain ``verify`` of a prefix, before typer is imported: the last report again where nothing has changed.

Whatever is unusual about the command line is left to the full command.
"""

# ruff: noqa: PTH109, PTH112, PTH113, PTH118, PTH120
# As dataloader.cli.fast: importing pathlib would cost more than most of the answers here.

from __future__ import annotations

import os
import sys

from dataloader.base.cache import cache_folder
from dataloader.prefix.locate import ACTIVATION, DEFAULT_PREFIX, LOCK_NAME, STATE, locate_manifest
from dataloader.verify.memory.answer import keep_answer, plain_question, read_answer
from dataloader.verify.memory.changed import CheckAhead

TYPE_CHECKING = False  # typing takes 10 ms to import
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from dataloader.lockfile.model import Lockfile
    from dataloader.prefix.walk import Tree
    from dataloader.verify.findings import Severity
    from dataloader.verify.memory.memo import Verification
    from dataloader.verify.report import VerifyReport

_FORMS = {"text", "json", "sarif", "junit", "github", "markdown"}
_SEVERITIES = {"error", "warning", "note"}
_KNOWN_VARIABLES = {"DATALOADER_PREFIX", "DATALOADER_LOCKFILE", "DATALOADER_CACHE_DIR"}


def plain_verify(
    arguments: Sequence[str], environ: Mapping[str, str], prepare: Callable[[], object] = lambda: None
) -> int | None:
    """Verify as the arguments of the process say, write the report, and return the exit code.

    Args:
        arguments: With ``verify`` itself.
        prepare: Called before much is done.

    Returns:
        ``None``, with nothing done, for all that is not plain.
    """
    asked = _read(arguments, environ)
    if asked is None:
        return None
    root = os.path.dirname(locate_manifest(os.getcwd()) or "") or os.getcwd()
    prefix = os.path.join(os.getcwd(), asked["--prefix"] or os.path.join(root, DEFAULT_PREFIX))
    if not os.path.isdir(prefix):
        return None
    lock = lock_held(prefix, asked["--lockfile"] or os.path.join(root, LOCK_NAME))
    handler = _Handler(arguments)
    with handler:
        facts = os.path.join(cache_folder(environ), "facts")
        said = _say_again(facts, prefix, lock, environ, asked)
        if said is not None:
            return said
    if not handler.code:
        prepare()
        with handler:
            handler.code = _say_anew(facts, prefix, lock, environ, asked)
    return handler.code


def _say_again(facts: str, prefix: str, lock: str, environ: Mapping[str, str], asked: Mapping[str, str]) -> int | None:
    """Write the last report, and return the exit code; ``None`` where anything has changed, or nothing was said yet."""
    answer = read_answer(facts, prefix)
    if answer is None:
        return None
    check = CheckAhead(prefix, answer.parts)
    try:
        question = plain_question(prefix, lock, environ)
        if not question or not answer.stands(question) or not check.is_same():
            return None
    finally:
        check.close()
    sys.stdout.write(answer.forms[asked["--format"]])
    return int(asked["--fail-on"] in answer.failing.split())


def _say_anew(facts: str, prefix: str, lock: str, environ: Mapping[str, str], asked: Mapping[str, str]) -> int:
    """Verify, write the report, and keep it with what it depends on. Returns the exit code."""
    from dataloader.prefix.walk import walk
    from dataloader.process.beside import BEHIND, Beside

    with Beside(lambda: walk(prefix), niceness=BEHIND) as tree:
        question = plain_question(prefix, lock, environ)
        said = _verify(facts, prefix, lock, environ, tree.result)
    code = _write(said.reports[0], asked)
    if question:
        keep_answer(facts, prefix, question, said.outside, said.tree, said.reports[0])
    return code


class _Handler:
    """As the commands' handler of errors, which is imported where there is one: it takes 20 ms."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._arguments = arguments
        self.code = 0

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> bool:
        if error is None:
            return False
        from dataloader.cli.console import ErrorHandler, Style

        handler = ErrorHandler(Style.before_parsing(self._arguments))
        known = handler.__exit__(kind, error, at)
        self.code = handler.code
        return known


def _verify(facts: str, prefix: str, lock: str, environ: Mapping[str, str], walked: Callable[[], Tree]) -> Verification:
    from pathlib import Path

    from dataloader.machine.detect import FOR_VERDICTS, detect_target
    from dataloader.verify.options import VerifyOptions
    from dataloader.verify.run import verify_targets

    options = VerifyOptions(cache=Path(facts), library_path=activated_path(prefix), reuse=True, asked=digest_of(lock))
    targets = [detect_target(None, environ, ask=FOR_VERDICTS)]
    return verify_targets(
        Path(prefix), targets=targets, read_lock=lambda: read_held(lock), options=options, walked=walked
    )


def _write(report: VerifyReport, asked: Mapping[str, str]) -> int:
    from dataloader.verify.output import FORMATS, fails

    fail_on: Severity = asked["--fail-on"]  # type: ignore[assignment]  # it was looked at when it was read
    sys.stdout.write(FORMATS[asked["--format"]](report))
    return int(fails(report, fail_on))


def _read(arguments: Sequence[str], environ: Mapping[str, str]) -> dict[str, str] | None:
    """Return the options of a plain ``verify``; None for anything that takes more reading."""
    if any(name.startswith("DATALOADER_") and name not in _KNOWN_VARIABLES for name in environ):
        return None
    values = {
        "--prefix": environ.get("DATALOADER_PREFIX", ""),
        "--lockfile": environ.get("DATALOADER_LOCKFILE", ""),
        "--format": "text",
        "--fail-on": "error",
    }
    rest, places = iter(arguments[1:]), []
    for word in rest:
        name, equals, value = word.partition("=")
        name = "--prefix" if name == "-p" else name
        if name in values:
            values[name] = value if equals else next(rest, "")
            if not values[name]:
                return None
        elif word == "--json":
            values["--format"] = "json"
        elif word.startswith("-"):
            return None
        else:
            places.append(word)
    if len(places) > 1 or values["--format"] not in _FORMS or values["--fail-on"] not in _SEVERITIES:
        return None
    return values | ({"--prefix": places[0]} if places else {})


def lock_held(prefix: str | os.PathLike[str], path: str | os.PathLike[str]) -> str:
    """The lock that ``prefix`` is held against: ``path``, if the prefix is one of ours; ``""`` where there is none."""
    return os.fspath(path) if os.path.isfile(os.path.join(prefix, STATE)) and os.path.isfile(path) else ""


def read_held(lock: str) -> Lockfile | None:
    """What :func:`lock_held` found.

    Raises:
        LockfileError: it is not a lock.
    """
    if not lock:
        return None
    from pathlib import Path

    from dataloader.lockfile.yaml import read_lock

    return read_lock(Path(lock))


def digest_of(lock: str) -> str:
    """What stands for a lock file; ``none`` for no file."""
    if not lock:
        return "none"
    from dataloader.prefix.unchanged import lock_digest

    with open(lock, "rb") as stream:
        return lock_digest(stream.read())


def activated_path(prefix: str | os.PathLike[str]) -> tuple[str, ...]:
    """What activation puts on LD_LIBRARY_PATH: an environment of ours runs activated."""
    if not os.path.isfile(os.path.join(prefix, ACTIVATION)):
        return ()
    from pathlib import Path

    from dataloader.prefix.activate import activation

    return activation(Path(prefix)).library_path
