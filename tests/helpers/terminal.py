"""A shell at a pseudo-terminal, as somebody sits before it: keys go in, and what is shown is waited for.

with Terminal(["bash", "--norc"], cwd, environ) as terminal:
    terminal.type("echo $((1 + 1))")
    terminal.until("2")
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import final

SECONDS = 90
"""How long something is waited for: a machine may have much else to do."""
INTERRUPT = "\x03"
_COLOURS = re.compile(r"\x1b(?:\[[0-9;?<>=]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][0-9A-B]|[=>78DM])")


@final
class Terminal:
    """One session."""

    def __init__(
        self,
        command: Sequence[str],
        cwd: Path,
        environ: Mapping[str, str],
        *,
        columns: int = 100,
        lines: int = 24,
        hear: Callable[[bytes], None] | None = None,
    ) -> None:
        """Start a session; ``hear`` is told all that comes, as it comes."""
        self._hear = hear
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.shown = ""
        """All that was shown, without colours and movements."""
        self._seen = 0

        def take_terminal() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            command, cwd=cwd, env=dict(environ), stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=take_terminal
        )
        os.close(theirs)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._ours)

    def keys(self, text: str) -> None:
        """Press keys."""
        os.write(self._ours, text.encode())

    def type(self, line: str) -> None:
        """Type a line."""
        self.keys(f"{line}\r")

    def until(self, pattern: str) -> re.Match[str]:
        """Wait until something is shown that was not waited for before, and return it."""
        end = time.monotonic() + SECONDS
        while not (found := re.compile(pattern).search(self.shown, self._seen)):
            assert self._read(end), f"{pattern!r} is not shown:\n{self.shown[self._seen :]}"
        self._seen = found.end()
        return found

    def ended(self) -> int:
        """Wait for the end of the session; its exit code."""
        end = time.monotonic() + SECONDS
        while self._read(end):
            pass
        return self.process.wait(timeout=SECONDS)

    def _read(self, end: float) -> bool:
        """Read what comes; say whether there may be more."""
        ready, _, _ = select.select([self._ours], [], [], max(end - time.monotonic(), 0))
        try:
            data = os.read(self._ours, 1 << 16) if ready else b""
        except OSError:  # who had the other side is gone
            data = b""
        self._answer(data)
        if self._hear is not None:
            self._hear(data)
        self.shown += _COLOURS.sub("", data.decode("utf-8", "replace")).replace("\r", "")
        return bool(data)

    def _answer(self, data: bytes) -> None:
        """Say what a terminal says when it is asked: fish waits for it."""
        for asked, answer in ((b"\x1b[c", b"\x1b[?62;22c"), (b"\x1b[0c", b"\x1b[?62;22c"), (b"\x1b[6n", b"\x1b[1;1R")):
            for _ in range(data.count(asked)):
                os.write(self._ours, answer)
