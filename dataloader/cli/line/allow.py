"""The question whether a project may be built, where a command was refused for want of that. Only a person is asked."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from dataloader.base.redaction import redact

if TYPE_CHECKING:
    from dataloader.base.errors import DataloaderError
    from dataloader.cli.line.options import CommonOptions

_ADVICE = re.compile(r"--build (?P<name>[A-Za-z0-9._-]+) builds it\b")
"""How whoever refuses a source says what would allow it."""

_OPTION = re.compile(r"(^|: )(--build [A-Za-z0-9._-]+(?= builds it\b)|--skip-unbuildable$)")
"""Options among advice that a manifest holds."""


@contextmanager
def advised_by_install() -> Iterator[None]:
    """Put advice in words of the command that writes it into a manifest: a sync asks for what stands there alone."""
    from dataloader.base.errors import DataloaderError

    try:
        yield
    except DataloaderError as error:
        error.suggestions = tuple(_OPTION.sub(r"\1`dataloader install \2`", text) for text in error.suggestions)
        raise


def allowed_now(error: DataloaderError, options: CommonOptions, environ: Mapping[str, str]) -> CommonOptions | None:
    """Return options with what a person at a terminal allows to be built; ``None`` where that changes nothing.

    Enter is no: a build runs what the project brings. ``--yes`` is no answer to this.
    """
    found = (_ADVICE.match(text) for text in error.suggestions)
    names = [name for name in dict.fromkeys(match["name"] for match in found if match) if name not in options.build]
    silent = options.json or options.yes or options.quiet or environ.get("CI")
    if not names or silent or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    asked = f"Build {' and '.join(names)}? This runs code of it on this machine. [y/N] "
    sys.stderr.write(f"{redact(error.message)}\n{asked}")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        return None
    return replace(options, build=(*options.build, *names), typed=options.typed | {"build"})
