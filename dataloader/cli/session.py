"""What every command works with: its options, a way to speak, the environment and the cache."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dataloader.cli.console import Style, make_reporter, write_result
from dataloader.cli.options import CommonOptions
from dataloader.reporter import Reporter


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What every command works with."""

    options: CommonOptions
    style: Style
    reporter: Reporter
    environ: Mapping[str, str]
    here: Path
    cache: Path

    def write(self, document: Mapping[str, object], text: str) -> None:
        """Write the result."""
        write_result(self.style, document, text)


@contextmanager
def session(options: CommonOptions) -> Iterator[Session]:
    """Open what a command works with; bars are taken away at the end."""
    from dataloader.cache import cache_root

    style = Style.of(options)
    with make_reporter(style) as reporter:
        yield Session(
            options=options,
            style=style,
            reporter=reporter,
            environ=os.environ,
            here=Path.cwd(),
            cache=cache_root(os.environ),
        )
