"""The process: fast answers first, then the command line, then a clean way out."""

from __future__ import annotations

import gc
import os
import sys


def main() -> None:
    """Run the command line of this process and end it with its exit code."""
    arguments = sys.argv[1:]
    # The command line takes 40 ms to import; these answers need none of it.
    if arguments == ["--version"]:
        from dataloader import __version__

        sys.stdout.write(f"dataloader {__version__}\n")
        return
    # What is imported and read lives to the end: walking it over and over would cost a tenth of a plan.
    gc.set_threshold(100_000, 20, 20)
    try:
        code = _run(arguments)
    except KeyboardInterrupt:
        sys.stderr.write("error[interrupted]: Interrupted\n")
        code = 130
    _leave(code)


def _run(arguments: list[str]) -> int:
    """The exit code of a command line, found in the shortest way that there is."""
    from dataloader.cli.quick import answer

    code = answer(arguments, os.environ)
    if code is None:
        _prepare()
        from dataloader.cli.app import main as run

        code = int(run(arguments))
    return code


def _prepare() -> None:
    """Get ready for more than a glance."""
    import signal  # 4 ms

    # glibc gives a large block back as soon as it is freed, and for the next one the kernel clears all its pages again,
    # until it has seen how large they are. From this one on, which nobody touches, it keeps them (mallopt(3),
    # M_MMAP_THRESHOLD).
    bytes(31 << 20)

    # A pod that is stopped gets SIGTERM; it ends as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _leave(code: int) -> None:
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        # The reader has gone; the interpreter would flush again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    # Everything is written by now. Tearing the interpreter down takes 15 ms more, and py-rattler's threads can abort it
    # meanwhile ("PyGILState_Release: thread state must be current when releasing").
    os._exit(code)


if __name__ == "__main__":
    main()
