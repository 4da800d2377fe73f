"""The process: fast answers first, then the command line, then a clean way out."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # "signal" takes 4 ms, for names
import gc
import io
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType


def main() -> None:
    """Run the command line of this process and end it with its exit code."""
    try:
        # A pod that is stopped gets SIGTERM; it ends as Ctrl-C does.
        _signal.signal(_signal.SIGTERM, _interrupt)
        _mend_streams()
        code = _run(sys.argv[1:])
    except KeyboardInterrupt:
        for number in (_signal.SIGTERM, _signal.SIGINT):
            _signal.signal(number, _signal.SIG_IGN)  # it is on its way out
        sys.stderr.write("error[interrupted]: interrupted\n")
        code = 130
    except OSError as error:  # the commands say themselves what theirs mean
        code = _unwritten(error)
    _leave(code)


def _run(arguments: list[str]) -> int:
    """The exit code of a command line, found in the shortest way that there is."""
    # The command line takes 40 ms to import; these answers need none of it.
    if arguments in (["--version"], ["-V"]):
        from dataloader import __version__

        sys.stdout.write(f"dataloader {__version__}\n")
        return 0
    # What is imported and read lives to the end: walking it over and over costs 25 of a lock's 700 ms of processor
    # time, and 30 of the 950 of a verify without facts.
    gc.set_threshold(100_000, 20, 20)
    from dataloader.cli.quick import answer

    code = answer(arguments, os.environ)
    if code is None:
        # glibc gives a large block back as soon as it is freed, and for the next one the kernel clears all its pages
        # again, until it has seen how large they are. From this one on, which nobody touches, it keeps them
        # (mallopt(3), M_MMAP_THRESHOLD): 20 ms of either.
        bytes(31 << 20)
        from dataloader.cli.app import main as run

        code = int(run(arguments))
    return code


def _interrupt(number: int, _frame: FrameType | None) -> None:
    """End as Ctrl-C does, once: who is told to end again is at it, and may be clearing up."""
    _signal.signal(number, _signal.SIG_IGN)
    raise KeyboardInterrupt


class _Unheard(io.FileIO):
    """Standard error: what cannot be written there can be said nowhere, and is no reason to end otherwise."""

    def write(self, data: object) -> int:
        """Write, if that can be done."""
        try:
            return super().write(data)  # type: ignore[arg-type]
        except OSError:
            return memoryview(data).nbytes  # type: ignore[arg-type]


class _Heard(io.FileIO):
    """Standard output: an error in writing it says that it was there, and not on a volume that is full."""

    def write(self, data: object) -> int:
        """Write, or raise OSError with the stream's name."""
        try:
            return super().write(data)  # type: ignore[arg-type]
        except BrokenPipeError:
            raise
        except OSError as error:
            from dataloader.process.leaving import STANDARD_OUTPUT

            raise OSError(error.errno, error.strerror, STANDARD_OUTPUT) from error


def _mend_streams() -> None:
    """Have three standard streams: one that was closed leads to nothing, before a file of ours gets its number."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            found = os.open(os.devnull, os.O_RDWR)
            if found != number:
                os.dup2(found, number)
                os.close(found)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    out, at_once = sys.stdout, bool(getattr(sys.stdout, "write_through", False))
    heard = _Heard(1, "w", closefd=False)
    sys.stdout = io.TextIOWrapper(
        heard if at_once else io.BufferedWriter(heard),
        out.encoding,
        "surrogateescape" if out.errors == "strict" else out.errors,  # paths are written as they are
        line_buffering=bool(out.line_buffering),
        write_through=at_once,
    )
    unheard = io.BufferedWriter(_Unheard(2, "w", closefd=False))
    sys.stderr = io.TextIOWrapper(unheard, sys.stderr.encoding, "backslashreplace", line_buffering=True)


def _leave(code: int) -> None:
    from dataloader.process.leaving import leave

    try:
        sys.stdout.flush()
    except OSError as error:
        code = code or _unwritten(error)
        sys.stderr.flush()
        os._exit(code)  # what is left for standard output would fail again
    leave(code)


def _unwritten(error: OSError) -> int:
    if isinstance(error, BrokenPipeError):
        return 0  # the reader has seen enough
    from dataloader.cli.telling.console import ErrorHandler, Style, unwritten

    with ErrorHandler(Style.before_parsing(sys.argv[1:])) as handler:
        raise unwritten(error) from error
    return int(handler.code)


if __name__ == "__main__":
    main()
