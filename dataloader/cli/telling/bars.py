"""Bars for whoever sits at a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from dataloader.cli.telling.console import LineReporter, Style
from dataloader.cli.telling.render import human_size

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_NAME = 24
"""Columns that the name of an archive may take."""
_FETCHING = {"download": "wheels fetched", "download-conda": "conda packages fetched"}
"""Stage -> what its bar says."""


class BarReporter(LineReporter):
    """Lines as above, and below them a bar for each piece of work: bytes, rate, time left. Nothing of it stays."""

    def __init__(self, style: Style, stream: TextIO | None = None) -> None:
        super().__init__(style, stream)
        self._progress: Progress | None = None
        self._bars: dict[str, TaskID] = {}

    def start(self, task: str, label: str, total: int | None, unit: str = "bytes") -> None:
        """Draw a bar."""
        with self._lock:
            progress = self._progress = self._progress or self._draw()
            label = _short(label) if unit == "bytes" else label
            self._bars[task] = progress.add_task(label, total=total, counted=unit != "bytes")

    def advance(self, task: str, amount: int) -> None:
        """Move the bar."""
        if self._progress and task in self._bars:
            self._progress.advance(self._bars[task], amount)

    def finish(self, task: str) -> None:
        """Take the bar away; with the last one, the display."""
        with self._lock:
            if self._progress and task in self._bars:
                self._progress.remove_task(self._bars.pop(task))
                if not self._bars:
                    self._close()

    def event(self, event: str, **facts: object) -> None:
        """Draw one bar for all packages that are fetched, and move it with each that is there."""
        of = {"pypi": "download", "conda": "download-conda"}.get(str(facts.get("kind")), str(facts.get("stage")))
        if event == "stage-started" and of in _FETCHING and isinstance(facts.get("total"), int):
            self.start(of, _FETCHING[of], int(str(facts["total"])), "packages")
        elif event == "package":
            self.advance(of, 1)
        elif event == "stage-finished" and of in _FETCHING:
            self.finish(of)

    def __exit__(self, *_: object) -> None:
        """Take all bars away, after an error too."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._progress:
            self._progress.stop()
        self._progress = None
        self._bars.clear()

    def _put(self, line: str) -> None:
        if self._progress is None:
            super()._put(line)
            return
        from rich.text import Text

        self._progress.console.print(Text.from_ansi(line), soft_wrap=True)

    def _draw(self) -> Progress:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, Task, TextColumn, TimeRemainingColumn

        class Amount(TextColumn):
            """Bytes and rate, or items."""

            def render(self, task: Task) -> object:  # type: ignore[override]
                from rich.text import Text

                if task.fields["counted"]:
                    return Text(f"{task.completed:.0f}/{task.total or 0:.0f}")
                rate = f"  {human_size(int(task.speed))}/s" if task.speed else ""
                total = f"/{human_size(int(task.total))}" if task.total else ""
                return Text(f"{human_size(int(task.completed))}{total}{rate}")

        console = Console(file=self._stream, no_color=not self.style.colour)
        # Of 80 columns, names take 24, amounts 31 and times 7; what more there is the bar has.
        bar = BarColumn(bar_width=max(8, min(40, console.width - 70)))
        columns = (TextColumn("{task.description}", markup=False), bar, Amount(""), TimeRemainingColumn())
        progress = Progress(*columns, console=console, transient=True)
        progress.start()
        return progress


def _short(label: str) -> str:
    """Name an archive by its package and version, as far as there is room.

    >>> _short("numpy-1.26.4-cp311-cp311-manylinux_2_17_x86_64.whl"), _short("ca-certificates-2025.1-hb_0.conda")
    ('numpy 1.26.4', 'ca-certificates 2025.1')
    """
    if label.endswith(".whl"):
        label = " ".join(label.split("-")[:2])
    elif label.endswith((".conda", ".tar.bz2")) and label.count("-") > 1:
        label = " ".join(label.rsplit("-", 2)[:2])
    return label if len(label) <= _NAME else f"{label[: _NAME - 1]}…"
