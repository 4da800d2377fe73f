"""What every command works with: its options, a way to speak, the environment and the cache."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from dataloader.base.errors import DataloaderError, ExitCode, UsageError
from dataloader.base.reporter import Reporter, Reporters
from dataloader.base.values import dataclass
from dataloader.cli.line.options import CommonOptions
from dataloader.cli.telling.console import Style, known_error, write_result
from dataloader.cli.telling.render import error_document
from dataloader.cli.telling.reporters import make_reporter

if TYPE_CHECKING:
    from dataloader.cli.telling.telemetry import Telemetry
    from dataloader.locking.lock import Locked


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What every command works with."""

    options: CommonOptions
    style: Style
    reporter: Reporter
    environ: Mapping[str, str]
    here: Path
    cache: Path
    is_elsewhere: bool = False
    """Whether it is about another platform than the command's own: what would mend it there is not looked for."""
    is_of_manifest: bool = False
    """Whether the platform of the options is one of the manifest's, and nobody named it."""
    solved: dict[str, dict[str, Locked]] = field(default_factory=dict)
    """What was found for solve-groups, with what was known of package files then."""

    def write(self, document: Mapping[str, object], text: str, *, fold: bool = False) -> None:
        """Write the result, ``fold``: as :func:`write_result` has it; where events go to stdout, they alone do."""
        if self.options.events != "-":
            write_result(self.style, document, text, fold=fold)


@contextmanager
def open_session(options: CommonOptions, command: str = "", name: str | None = None) -> Iterator[Session]:
    """Open what a command works with; bars are taken away at the end.

    Args:
        options: The shared flags.
        command: Its name, in events, status and metrics.
        name: The environment's name there, where it is not the manifest's.
    """
    from dataloader.base.cache import cache_root

    style = Style.of(options)
    with make_reporter(style) as lines, _watched(options, lines, command, name) as reporter:
        _check_environment(options)
        yield Session(
            options=options,
            style=style,
            reporter=reporter,
            environ=os.environ,
            here=Path.cwd(),
            cache=cache_root(os.environ),
        )


def _check_environment(options: CommonOptions) -> None:
    """Refuse an environment that the manifest does not have, whatever the command makes of it.

    Raises:
        UsageError: ``environment-unknown``.
    """
    if options.environment is None:
        return
    if "/" in options.environment or options.environment in {".", ".."}:  # what pip's -e takes
        raise _of_pip(options.environment)
    from dataloader.request.places import find

    if (manifest := find(options, Path.cwd())) is not None:
        manifest.check_environment(options.environment)


def _of_pip(location: str) -> UsageError:
    """Return the refusal of what pip reads behind ``-e``, with the ways to say it here."""
    name, folder, named = "NAME", "DIR", "DIR"
    cloning: tuple[str, ...] = ()
    if location.startswith("git+"):
        from dataloader.request.specs.sources import checkout_of, name_of, source_at

        source = source_at(location)
        name = name_of(location, source)
        line, folder, named = checkout_of(name, source)
        cloning = (f"`{line}`, and name that folder in one of these ways",)
    return UsageError(
        f"-e names an environment of the manifest, and {location} is a place",
        code="environment-unknown",
        suggestions=(
            *cloning,
            f'below [pypi-dependencies] of the manifest: {name} = {{ path = "{folder}", editable = true }}',
            f"or in a requirements.txt that -r reads: -e {named}",
        ),
    )


@contextmanager
def _watched(options: CommonOptions, lines: Reporter, command: str, name: str | None) -> Iterator[Reporter]:
    """Tell the event stream, the status file and the metrics too, if any is asked for."""
    asked = {"events": options.events, "status_file": options.status_file, "metrics_file": options.metrics_file}
    if not any(asked.values()):
        yield lines
        return
    if options.events == "-" and options.json:
        raise UsageError(
            "--json and --events=- would both write to standard output",
            suggestions=("write the events to a file, or to standard error: --events=2",),
        )
    from dataloader.cli.stages.outputs import check_output
    from dataloader.cli.telling.run import Run
    from dataloader.cli.telling.telemetry import Telemetry, files_of

    for option, path in files_of(asked):
        check_output(option, path, options, Path.cwd())
    telemetry = Telemetry(asked, Run(command, name or options.environment or "default"), lines.warn)
    try:
        yield Reporters((lines, telemetry))
    except BaseException as error:
        _close_after(error, telemetry)
        raise
    telemetry.close(ExitCode.OK)


def _close_after(error: BaseException, telemetry: Telemetry) -> None:
    """End the run with the exit code that the process will end with."""
    if isinstance(error, KeyboardInterrupt):
        known: DataloaderError | None = DataloaderError("interrupted", code="interrupted")
        code = int(ExitCode.INTERRUPTED)
    else:
        known = known_error(error)
        code = int(known.exit_code if known else ExitCode.BUG)
    sys.stdout.flush()
    document = error_document(known or DataloaderError(f"{type(error).__name__}: {error}"))
    telemetry.close(code, document["error"])  # type: ignore[arg-type]
