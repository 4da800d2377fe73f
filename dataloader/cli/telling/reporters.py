"""Who talks to the user: lines, or bars below them."""

from __future__ import annotations

from dataloader.cli.telling.console import LineReporter, Style


def make_reporter(style: Style) -> LineReporter:
    """The reporter for a style. Use it as a context manager where it may draw bars, so that they are taken away."""
    if not style.progress:
        return LineReporter(style)
    from dataloader.cli.telling.bars import BarReporter

    return BarReporter(style)
