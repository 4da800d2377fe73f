"""Bars for whoever sits at a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from dataloader.cli.telling.console import LineReporter, Style
from dataloader.cli.telling.fetching import amount_of, short
from dataloader.cli.telling.render import human_size

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_ALL = "all that is fetched"
"""The bar of all downloads together."""
_WIDE = 110
"""Columns from which on bars do not grow."""


class BarReporter(LineReporter):
    """Lines as above, and below them a bar for each piece of work: bytes, rate, time left. Nothing of it stays."""

    def __init__(self, style: Style, stream: TextIO | None = None) -> None:
        super().__init__(style, stream)
        self._progress: Progress | None = None
        self._bars: dict[str, TaskID] = {}

    def start(self, task: str, label: str, total: int | None, unit: str = "bytes") -> None:
        """Draw a bar, where there is a way to go: not for what only goes along with the downloads."""
        if total is None and unit == "bytes":
            return
        with self._lock:
            progress = self._progress = self._progress or self._draw()
            label = short(label) if unit == "bytes" else label
            self._bars[task] = progress.add_task(label, total=total, unit=unit)

    def advance(self, task: str, amount: int) -> None:
        """Move the bar, and that of all downloads with it."""
        if not self._progress or task not in self._bars:
            return
        self._progress.advance(self._bars[task], amount)
        if self.fetched.moved(task, amount):
            self._move_all()

    def finish(self, task: str) -> None:
        """Take the bar away; with the last one, the display."""
        with self._lock:
            if self._progress and task in self._bars:
                self._progress.remove_task(self._bars.pop(task))
                if not self._bars:
                    self._close()

    def event(self, event: str, **facts: object) -> None:
        """Draw one bar for all packages that are fetched, of their bytes where sizes are known."""
        if not self.fetched.heard(event, facts):
            return
        if not self.fetched.is_under_way:
            self.finish(_ALL)
            return
        if _ALL not in self._bars:
            self.start(_ALL, self.fetched.count, self.fetched.of_packages, "packages")
        self._move_all()

    def _move_all(self) -> None:
        if (bar := self._bars.get(_ALL)) is None or self._progress is None:
            return
        all_of_it = self.fetched
        if all_of_it.is_sized:
            done, total, unit = all_of_it.bytes, all_of_it.of_bytes, "bytes"
        else:
            done, total, unit = all_of_it.packages, all_of_it.of_packages, "packages"
        self._progress.update(bar, description=all_of_it.count, completed=done, total=total, unit=unit)

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

                if task.fields["unit"] != "bytes":
                    return Text(f"{task.completed:.0f} of {task.total:.0f}" if task.total else "")
                rate = f"  {human_size(int(task.speed))}/s" if task.speed else ""
                return Text(f"{amount_of(int(task.completed), int(task.total) if task.total else None)}{rate}")

        console = Console(file=self._stream, no_color=not self.style.colour)
        console.width -= 3  # what a terminal shows of Ctrl-C has room in the last line, or not all could be taken away
        # Names take 24 columns, amounts 30 and times 7; the bar has what is left, but no one looks along 100 columns.
        bar = BarColumn(bar_width=None if console.width <= _WIDE else 40)
        columns = (TextColumn("{task.description}", markup=False), bar, Amount(""), TimeRemainingColumn())
        progress = Progress(*columns, console=console, transient=True, expand=console.width <= _WIDE)
        progress.start()
        return progress
