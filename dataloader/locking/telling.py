"""What is told of a request before it is solved, of what did not answer, and of what was chosen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from dataloader.base.errors import ResolutionFailure, UsageError
from dataloader.compat.model import StackNeeds
from dataloader.index.web.credentials import redact
from dataloader.locking.asking import said_in_several_places
from dataloader.request.request import Request
from dataloader.request.specs.requirements import CondaRequirement

if TYPE_CHECKING:
    from dataloader.base.reporter import Reporter
    from dataloader.index.client import IndexClient
    from dataloader.index.settings import IndexSettings
    from dataloader.stack.model import Stack


async def explain(request: Request, client: IndexClient, failure: ResolutionFailure) -> None:
    """Say where else what is refused was said, and what each place has of a project that nobody knows."""
    failure.causes = (*failure.causes, *said_in_several_places(request, failure))
    if failure.code == "unknown-package":
        unknown = [r.name for r in request.pypi if f" {r.name} " in f"{failure.message} "]
        failure.causes += tuple([line for name in dict.fromkeys(unknown) for line in await client.account(name)])


def say_silent(channels: Sequence[str], answering: Sequence[str], reporter: Reporter) -> None:
    """Say which channels did not answer."""
    silent = ", ".join(url for url in channels if url not in answering)
    reporter.warn(f"going on without what did not answer: {silent} (--conda=always refuses this)")
    if not answering:
        reporter.warn("no channel is left: building on this machine's Python from package indexes alone")


def say_request(request: Request, settings: IndexSettings, reporter: Reporter) -> None:
    """Say what was noticed while a request was read."""
    from dataloader.index.others import unheeded

    for note in (*request.notes, *_missing_places(settings), *unheeded(settings)):
        reporter.warn(note)
    if request.unused:
        reporter.info(f"not used here: {', '.join(request.unused)}")
    for line in request.told:
        reporter.info(line)


def _missing_places(settings: IndexSettings) -> Iterator[str]:
    """Yield what is to be said of places that are not there, whoever named them."""
    from dataloader.index.web.addresses import local_path

    for place in (settings.index_url, *settings.extra_index_urls, *settings.find_links):
        path = local_path(place) if place else None
        if path is not None and not path.exists():
            yield f"{redact(str(place))} is not there: nothing is looked for in it"


def without_channels(request: Request, needed: Sequence[CondaRequirement]) -> UsageError:
    """Return the refusal of conda packages where no channel may be asked."""
    never = request.conda_mode == "never"
    return UsageError(
        f"conda packages are asked for, and {'--conda=never forbids channels' if never else 'there is no channel'}",
        code="conda-excluded",
        causes=tuple(f"{r.match_spec} is asked for by {r.origin}" for r in needed),
        suggestions=(
            "use channels: --conda=auto" if never else "name a channel: -c conda-forge",
            "or ask for the Python distributions instead, without conda:",
        ),
    )


OF_THE_MACHINE = ("platform", "glibc", "driver", "gpu")
"""Axes that a lock does not hold."""


def say_chosen(stack: Stack, needs: StackNeeds, reporter: Reporter) -> None:
    """Say what was chosen in a line, and why where somebody asks."""
    if stack.reasons:
        chosen = (f"{axis} {value}" for axis, value in stack.axes.items() if axis not in OF_THE_MACHINE)
        reporter.info(f"stack: {', '.join(chosen)} (-v says why)")
    for reason in stack.reasons:
        reporter.debug(f"{reason.axis}: {reason.text}")
    doubts = (doubt.text for doubt in stack.doubts)
    for warning in dict.fromkeys((*stack.warnings, *needs.warnings, *doubts)):
        reporter.warn(warning)
