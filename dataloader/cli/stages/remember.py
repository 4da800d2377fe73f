"""What a command leaves for the next one, or finds of an earlier one: the lock that it adds to, the agreement."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataloader.base.errors import UsageError
from dataloader.base.platforms import detect_platform
from dataloader.base.values import dataclass
from dataloader.cli.line.options import CommonOptions, declared
from dataloader.lockfile.parts import meant_environment, part_for
from dataloader.lockfile.yaml import read_locks
from dataloader.prefix.locate import SYNCED, prefix_in
from dataloader.request.places import environment_in, lock_path, manifest_path, prefix_path
from dataloader.request.request import make_request

if TYPE_CHECKING:
    from dataloader.cli.stages.session import Session
    from dataloader.lockfile.model import Lockfile
    from dataloader.prefix.state import State
    from dataloader.request.request import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What an environment without a manifest was asked for before."""

    inputs: Mapping[str, object]
    """As ``Request.inputs`` has it."""


def remembered_lock(session: Session) -> Remembered | None:
    """Return what was asked for before, where no manifest says it: installs add up.

    It is what the lock says that the command is about. An environment named with ``--prefix`` says it itself: the lock
    that lies here may be another one's.

    Raises:
        UsageError: ``environment-of-project``; a manifest elsewhere says what the environment is made of.
    """
    from dataloader.prefix.state import read_state

    if manifest_path(session.options, session.here) is not None:
        return None
    path, prefix = lock_path(session.options, session.here), prefix_path(session.options, session.here)
    state = read_state(prefix)
    if state is not None and state.manifest and Path(state.manifest).is_file():
        raise UsageError(
            f"{state.manifest} says what {prefix} is made of",
            code="environment-of-project",
            suggestions=(
                f"add to that project: --manifest {shlex.quote(state.manifest)}",
                "or name another directory with --prefix",
            ),
        )
    if path.is_file() and _is_its_own(session, path, state):
        return Remembered(inputs=_nearest(session, path).inputs)
    return Remembered(inputs=state.inputs or _by_name(state)) if state is not None else None


def _nearest(session: Session, path: Path) -> Lockfile:
    """Return a file's lock for the platform that a command is about; where it has none, another says what it is of."""
    named = environment_in(session.options, session.here, path) if session.options.environment is not None else None
    parts = meant_environment(read_locks(path), named, path)
    return part_for(parts, session.options.platform or detect_platform(), parts[0].environment) or parts[0]


def _by_name(state: State) -> dict[str, object]:
    """What an environment of an earlier version knows: names alone."""
    conda = [name.removeprefix("conda:") for name in state.requested if name.startswith("conda:")]
    return {"requirements": [name for name in state.requested if ":" not in name], "conda": conda}


def refuse_to_replace(session: Session, request: Request) -> None:
    """Refuse to write a new environment's lock over one that asks for more: it is another environment's.

    Raises:
        UsageError: ``lock-of-another``.
    """
    from dataloader.prefix.state import read_state

    path = request.lockfile
    if session.options.prefix is None or not path.is_file() or _is_its_own(session, path, read_state(request.prefix)):
        return
    lost = sorted({name for part in read_locks(path) for name in part.requested} - set(request.requested))
    if lost:
        own = f"{request.prefix.name or 'other'}.lock"
        raise UsageError(
            f"{path} is not the lock of {request.prefix}: it asks for {', '.join(lost)}",
            code="lock-of-another",
            suggestions=(
                f"give {request.prefix} a lock of its own: --lockfile {shlex.quote(own)}",
                f"or make it from this one first: `dataloader sync -p {shlex.quote(str(request.prefix))}`",
            ),
        )


def say_another_lock(session: Session, request: Request) -> None:
    """Say that an environment is about to follow another lock than it was made from: what that asked for goes."""
    from dataloader.prefix.state import read_state

    state, path = read_state(request.prefix), request.lockfile
    if request.manifest is not None or state is None or state.lockfile is None or not path.is_file():
        return
    if state.manifest is None and not Path(state.lockfile).exists() and not _is_its_own(session, path, state):
        session.reporter.warn(f"{request.prefix} was made from {state.lockfile}, which is gone: it follows {path} now")


def _is_its_own(session: Session, path: Path, state: State | None) -> bool:
    """Whether a lock is the environment's: it was named, lies where it would, or the environment was made from it."""
    from dataloader.prefix.unchanged import lock_digest

    named, prefix = session.options.lockfile is not None, session.options.prefix
    if named or prefix is None or prefix.absolute() == Path(prefix_in(str(session.here))):
        return True
    if state is None:
        return False
    return state.lockfile == str(path.absolute()) or state.lock_digest == lock_digest(path.read_bytes())


def remember_agreement(session: Session, request: Request, lock: bytes, *, fits: bool) -> None:
    """Note in the prefix what it agrees with, so that the next sync with nothing to do is quick.

    Args:
        fits: Whether the lock was seen to fit the request.
    """
    from dataloader.cli.stages.agreement import agreement, stands

    if fits and request.manifest:
        # The next command may say less, and then it asks for less; variables are compared by themselves.
        names = {spec.name for spec in declared(CommonOptions)} & {*session.options.typed, "environment"}
        unsaid: dict[str, Any] = {name: getattr(CommonOptions(), name) for name in names - {"prefix", "lockfile"}}
        plain = replace(session.options, **{**unsaid, "manifest": request.manifest.path})
        next_request = make_request(plain, (), None, environ=session.environ, here=session.here)
        fits = next_request.inputs() == request.inputs()
    now = agreement(request.manifest.path if request.manifest else None, lock, session.environ, fits=fits)
    if stands(str(request.prefix), now):
        return
    path = request.prefix / SYNCED
    try:
        path.write_text(json.dumps(now), encoding="utf-8")
    except OSError as error:
        session.reporter.debug(f"{path} cannot be written, so every sync takes the long way: {error.strerror}")
