"""Before something runs: its environment is brought in step with its manifest."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from dataloader.base.errors import PrefixError, ResolutionFailure, UsageError
from dataloader.base.values import dataclass
from dataloader.prefix.locate import as_seen, same_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dataloader.cli.line.options import CommonOptions
    from dataloader.cli.stages.session import Session

_FIX = re.compile(r"^--fix (\d+):")

_OF_SYNC = (
    *("channels", "conda", "index_url", "extra_index_url", "find_links", "offline", "mirror", "require_attestation"),
    *("trusted_root", "limit_rate", "refresh", "yes"),
)
"""Options that matter where the environment is changed, and nowhere else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How far a manifest is heeded before something runs."""

    frozen: bool = False
    """The lock is taken as it is."""
    locked: bool = False
    """A lock that does not fit is an error."""
    no_sync: bool = False
    """The prefix is taken as it is."""

    def spelled(self) -> Iterator[str]:
        """What of it was said."""
        yield from (f"--{name.replace('_', '-')}" for name in ("frozen", "locked", "no_sync") if getattr(self, name))


def in_step(session: Session, way: Way) -> Path:
    """Return the prefix to run in, brought in step where a manifest says what it is made of.

    An environment that was named with ``--prefix`` is brought in step if it was made from the manifest that is here;
    any other is taken as it is, and so is a generation, which never changes.

    Raises:
        UsageError: ``usage``; something was said that can have no effect.
        DataloaderError: whatever a sync may raise.
    """
    from dataloader.cli.stages.use import prefix_of
    from dataloader.request.places import manifest_path

    manifest = manifest_path(session.options, session.here)
    if manifest is None or way.no_sync or not _is_changed(session.options.prefix, manifest):
        _check_no_effect(
            session.options, way, "there is no manifest" if manifest is None else "the prefix stays as it is"
        )
        return prefix_of(session)
    if not _is_in_step(session, manifest, way):
        _sync(session, way)
    prefix = prefix_of(session)
    if not prefix.exists():  # and not for want of a sync
        raise PrefixError(
            f"{manifest} asks for nothing yet, so that there is no environment",
            code="prefix-missing",
            suggestions=("`dataloader add NAME` makes one",),
        )
    return prefix


def is_made_from(prefix: Path | None, manifest: Path) -> bool:
    """Whether an environment that was named, if one was, is this manifest's."""
    if prefix is None:
        return True
    from dataloader.prefix.state import read_state

    state = read_state(prefix)
    return state is not None and state.manifest is not None and same_file(state.manifest, manifest)


def _is_changed(prefix: Path | None, manifest: Path) -> bool:
    """Whether an environment that was named, if one was, is brought in step: not a generation, whoever made it."""
    from dataloader.prefix.pin import generation_of

    if prefix is None:
        return True
    absolute = os.path.abspath(prefix)  # noqa: PTH100  (the link is what is asked about)
    return generation_of(absolute) is None and is_made_from(prefix, manifest)


def _check_no_effect(options: CommonOptions, way: Way, why: str) -> None:
    said = [*options.spelled(_OF_SYNC), *(name for name in way.spelled() if name != "--no-sync")]
    if said:
        raise UsageError(
            f"{why}, and nothing is synced: {', '.join(said)} can have no effect", suggestions=("leave it out",)
        )


def _is_in_step(session: Session, manifest: Path, way: Way) -> bool:
    """Whether a sync has nothing to do: seen in milliseconds."""
    from dataloader.cli.stages.agreement import agreement, stands
    from dataloader.prefix.unchanged import fast_status, has_remains
    from dataloader.request.places import lock_path, prefix_path

    if session.options.spelled(_OF_SYNC):
        return False
    lock, prefix = lock_path(session.options, session.here), str(prefix_path(session.options, session.here))
    try:
        data = lock.read_bytes()
    except OSError:
        return False
    now = agreement(os.fspath(manifest), data, session.environ, fits=not way.frozen)
    return fast_status(prefix, data) and not has_remains(prefix) and stands(prefix, now)


def _sync(session: Session, way: Way) -> None:
    from dataloader.cli.line.allow import advised_by_install
    from dataloader.cli.stages.flow import Destination, synced, to_the_end
    from dataloader.request.request import make_request

    try:
        with advised_by_install():
            request = make_request(session.options, (), None, environ=session.environ, here=session.here)
            result, _ = to_the_end(synced(session, request, Destination(), frozen=way.frozen, locked=way.locked))
    except ResolutionFailure as failure:  # the changes that were found are made by sync: here there is no --fix
        failure.suggestions = tuple(
            _FIX.sub(r"`dataloader sync --fix \1`:", suggestion) for suggestion in failure.suggestions
        )
        raise
    if result.changed:
        where = as_seen(request.prefix)
        session.reporter.info(f"{where} is ready: {result.plan.summary(done=True)} ({result.seconds:.1f} s)")
