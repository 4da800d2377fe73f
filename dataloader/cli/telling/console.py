"""What reaches the terminal: the result on stdout, the talk on stderr, and the one error handler.

rich is imported only when a bar is drawn on a terminal.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from dataloader.base.errors import DataloaderError, DiskFull, ExitCode, InternalError, TryAgain, UsageError
from dataloader.base.redaction import redact
from dataloader.base.reporter import Reporter
from dataloader.base.values import dataclass
from dataloader.cli.telling.fetching import Fetching, amount_of, short
from dataloader.cli.telling.folding import columns_of, folded
from dataloader.cli.telling.render import (
    advice_text,
    error_document,
    error_text,
    human_size,
    human_time,
    refusal_text,
    to_json,
)
from dataloader.process.leaving import STANDARD_OUTPUT

if TYPE_CHECKING:
    from typing_extensions import Self

    from dataloader.cli.line.options import CommonOptions

_COLOURS = {"INFO": "32", "WARN": "33", "DEBUG": "2", "error": "1;31"}
_LARGE = 20 * 1024 * 1024
"""Bytes from which a download is announced where no bar can be drawn."""
_TELL_EVERY = 5.0
"""Seconds between two lines about downloads, where no bar can be drawn."""
_NO_SUCH_PLACE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP}
"""What the system says of a path that cannot be what was meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How to speak: chosen by flags, else by the environment and the terminal."""

    json: bool = False
    verbosity: int = 0
    colour: bool = False
    progress: bool = False
    """Draw bars."""
    columns: int | None = None
    """Of the terminal that hears the talk; ``None``: it is none, and lines stay whole."""

    @classmethod
    def of(cls, options: CommonOptions, environ: Mapping[str, str] | None = None) -> Style:
        """The style that a command's options ask for."""
        environ = os.environ if environ is None else environ
        terminal = sys.stderr.isatty() and environ.get("TERM") != "dumb"
        return cls(
            json=options.json,
            verbosity=options.verbosity,
            colour=wants_colour(options.color, environ, terminal=terminal),
            progress=terminal and not environ.get("CI") and options.verbosity >= 0,
            columns=columns_of(sys.stderr),
        )

    @classmethod
    def before_parsing(cls, arguments: Sequence[str], environ: Mapping[str, str] | None = None) -> Style:
        """The style for errors in the arguments themselves."""
        environ = os.environ if environ is None else environ
        ours = arguments[: arguments.index("--")] if "--" in arguments else arguments
        as_json = "--json" in ours or environ.get("DATALOADER_JSON", "") not in {"", "0", "false"}
        colour = wants_colour(None, environ, terminal=sys.stderr.isatty())
        return cls(json=as_json, colour=colour, columns=columns_of(sys.stderr))


def wants_colour(flag: bool | None, environ: Mapping[str, str], *, terminal: bool) -> bool:
    """--color, then NO_COLOR and FORCE_COLOR (no-color.org: any value that is not empty), then the terminal."""
    if flag is not None:
        return flag
    if environ.get("NO_COLOR"):
        return False
    return bool(environ.get("FORCE_COLOR")) or terminal


def write_result(style: Style, document: Mapping[str, object], text: str, *, fold: bool = False) -> None:
    """Write the result of a command to stdout: the document under ``--json``, else the text.

    Args:
        style: How to speak.
        document: For programs.
        text: For people.
        fold: Fold its long lines on a terminal: it is to be read, and not to be used as it is.
    """
    if fold and not style.json:
        text = folded(text, columns_of(sys.stdout))
    sys.stdout.write(to_json(document) if style.json else text)


class LineReporter(Reporter):
    """Plain lines, ``[INFO] ...``: one for each stage, large download, and anything that took over a second."""

    def __init__(self, style: Style, stream: TextIO | None = None) -> None:
        self.style = style
        self._stream = stream or sys.stderr
        self._lock = threading.Lock()
        self._tasks: dict[str, _Task] = {}
        self.fetched = Fetching()
        self._told = time.monotonic()

    def info(self, message: str) -> None:
        """Shown unless -q."""
        if self.style.verbosity >= 0:
            self._write("INFO", message)

    def warn(self, message: str) -> None:
        """Shown unless -qq."""
        if self.style.verbosity >= -1:
            self._write("WARN", message)

    def debug(self, message: str) -> None:
        """Shown with -v."""
        if self.style.verbosity >= 1:
            self._write("DEBUG", message)

    def refused(self, error: DataloaderError) -> None:
        """Shown always, as the error handler would."""
        with self._lock:
            self._put(_painted_error(redact(refusal_text(error)), self.style))
        error.told = True

    def start(self, task: str, label: str, total: int | None, unit: str = "bytes") -> None:
        """Announce stages (counted in items) and large downloads."""
        self._tasks[task] = _Task(label, unit, total)
        if unit != "bytes":
            self.info(label)
        elif total is not None and total >= _LARGE:
            self.info(f"{label} ({human_size(total)})")
        else:
            self.debug(label)

    def advance(self, task: str, amount: int) -> None:
        """Count; of downloads say every few seconds how far they are."""
        if (moved := self._tasks.get(task)) is None:
            return
        moved.done += amount
        if self.fetched.moved(moved.label, amount) and time.monotonic() - self._told >= _TELL_EVERY:
            self._told = time.monotonic()
            self.info(f"fetched {self.fetched.line()}{self._largest()}")

    def finish(self, task: str) -> None:
        """Say what took over a second."""
        if (ended := self._tasks.pop(task, None)) is None:
            return
        seconds = time.monotonic() - ended.began
        message = f"{ended.label}: {ended.amount()}{human_time(seconds)}"
        if seconds >= 1:
            self.info(message)
        else:
            self.debug(message)

    def event(self, event: str, **facts: object) -> None:
        """Follow what is fetched."""
        began = self.fetched.is_under_way
        self.fetched.heard(event, facts)
        if not began:
            self._told = time.monotonic()

    def _largest(self) -> str:
        """How far the largest file is of those that come now."""
        large = [task for task in self._tasks.values() if task.unit == "bytes" and (task.total or 0) >= _LARGE]
        if not large:
            return ""
        largest = max(large, key=lambda task: task.total or 0)
        return f" ({short(largest.label)}: {amount_of(largest.done, largest.total)})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to take away."""

    def _write(self, level: str, message: str) -> None:
        with self._lock:
            said = folded(f"[{level}] {redact(message)}", self.style.columns)
            self._put(f"{paint(f'[{level}]', level, self.style)}{said.removeprefix(f'[{level}]')}")

    def _put(self, line: str) -> None:
        self._stream.write(f"{line}\n")
        self._stream.flush()


class _Task:
    def __init__(self, label: str, unit: str, total: int | None) -> None:
        self.label = label
        self.unit = unit
        self.total = total
        self.began = time.monotonic()
        self.done = 0

    def amount(self) -> str:
        """What was done, as the beginning of a phrase."""
        if not self.done:
            return ""
        return f"{human_size(self.done)} in " if self.unit == "bytes" else f"{self.done} {self.unit} in "


def paint(text: str, kind: str, style: Style) -> str:
    """``text`` in the colour of its kind, if there is colour."""
    return f"\x1b[{_COLOURS[kind]}m{text}\x1b[0m" if style.colour and kind in _COLOURS else text


def _painted_error(text: str, style: Style) -> str:
    first, _, rest = folded(text, style.columns).partition(": ")
    return f"{paint(first, 'error', style)}: {rest}"


class ErrorHandler:
    """The one place where failures become words and exit codes::

    handler = ErrorHandler(style)
    with handler:
        handler.code = work()
    return handler.code
    """

    def __init__(self, style: Style) -> None:
        self.style = style
        self.code: int = ExitCode.OK

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        if error is None or isinstance(error, SystemExit | GeneratorExit):
            return False
        if isinstance(error, BrokenPipeError):
            # The reader has seen enough (`dataloader list | head`). Nothing more may be flushed there.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return True
        if isinstance(error, KeyboardInterrupt):
            self.code = ExitCode.INTERRUPTED
            self._say(
                DataloaderError("interrupted; what was there before is unchanged or complete", code="interrupted")
            )
            return True
        known = self._translate(error)
        self.code = known.exit_code
        self._say(known)
        if self.style.verbosity >= 2:
            import traceback

            sys.stderr.write(redact("".join(traceback.format_exception(error))))
        return True

    def _say(self, error: DataloaderError) -> None:
        if self.style.json:
            with suppress(OSError):  # nobody hears it there; standard error has it too
                sys.stdout.write(redact(to_json(error_document(error))))
        if error.told:
            sys.stderr.write(f"{folded(redact(advice_text(error)), self.style.columns)}\n")
            return
        said = refusal_text(error) if error.code == "interrupted" else error_text(error)
        sys.stderr.write(f"{_painted_error(redact(said), self.style)}\n")

    def _translate(self, error: BaseException) -> DataloaderError:
        """Our own error, or the one that says what a foreign error means."""
        if known := known_error(error):
            return known
        log = _write_log(error)
        return InternalError(
            f"a bug in dataloader: {type(error).__name__}: {error}",
            causes=(f"the traceback is in {log}",) if log else (),
            suggestions=("report it with that file, or repeat the command with -vv to see the traceback",),
        )


def known_error(error: BaseException) -> DataloaderError | None:
    """Our own error, or the one that says what a foreign error means; ``None`` for what must be a bug in us."""
    if isinstance(error, DataloaderError):
        return error
    if isinstance(error, UnicodeEncodeError) and any("\udc80" <= letter <= "\udcff" for letter in error.object):
        return UsageError(
            f"a path that is not UTF-8 cannot be written down: {error.object[: error.end][-80:]!a}",
            code="path-unusable",
            suggestions=("give it a name in UTF-8",),
        )
    if isinstance(error, OSError) and error.filename == STANDARD_OUTPUT:
        return unwritten(error)
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFull(
            f"there is no room left{_on(error)}",
            suggestions=("free some room, or put caches elsewhere: DATALOADER_CACHE_DIR",),
        )
    if isinstance(error, OSError) and error.errno in _NO_SUCH_PLACE and error.filename:
        return UsageError(
            f"{os.fsdecode(error.filename)}: {error.strerror}",
            code="path-unusable",
            suggestions=("look at the path that was named",),
        )
    if isinstance(error, PermissionError) or (isinstance(error, OSError) and error.errno == errno.EROFS):
        return _denied(error)
    if isinstance(error, FileNotFoundError) and "temporary directory" in (error.strerror or ""):
        return UsageError(  # what tempfile raises
            "permission denied: no folder for temporary files can be written",
            code="permission-denied",
            causes=(str(error.strerror),),
            suggestions=("name one that can be with TMPDIR",),
        )
    return None


def _denied(error: OSError) -> UsageError:
    """Name a file that is there, else the folder in which none can be made: its name may be one of ours for a while."""
    path = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes, os.PathLike)) else ""
    if not path or os.path.lexists(path):
        return UsageError(
            f"permission denied{_on(error)}: {error.strerror}",
            code="permission-denied",
            suggestions=("look who owns it, and who may read and write it",),
        )
    folder = os.path.dirname(os.path.abspath(path))  # noqa: PTH100, PTH120  (links are what was named)
    return UsageError(
        f"permission denied: nothing can be written in {folder}: {error.strerror}",
        code="permission-denied",
        suggestions=("work in a folder that you may write to, or name another place",),
    )


def unwritten(error: OSError) -> TryAgain:
    """What it means that standard output cannot be written."""
    return TryAgain(
        f"standard output cannot be written: {error.strerror}",
        code="output-unwritable",
        suggestions=("what the command does is done; ask again for what it says, elsewhere",),
    )


def _on(error: OSError) -> str:
    return f": {error.filename}" if error.filename else ""


def _write_log(error: BaseException) -> str | None:
    """Keep the traceback, without secrets, in a file of its own; ``None`` when nothing can be written."""
    import tempfile
    import traceback

    text = "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="dataloader-bug-", suffix=".log", delete=False, encoding="utf-8"
        ) as log:
            log.write(redact(text))
    except OSError:
        return None
    return log.name
