"""Solve, build, prove; where the files contradict one another, solve again with what they taught."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dataloader.base.errors import PrefixError, ResolutionFailure, WouldNotLoad

if TYPE_CHECKING:
    from dataloader.cli.stages.session import Session
    from dataloader.install.model import Prover
    from dataloader.lockfile.model import Lockfile
    from dataloader.machine.interpreters import Interpreter
    from dataloader.machine.target import Target
    from dataloader.request.request import Request
    from dataloader.trial.aside import JudgeHere
    from dataloader.trial.judge import Contradicted
    from dataloader.trial.memory import Learned

T = TypeVar("T")

MOST = 24
"""Environments built in one command: each that does not go together costs its downloads. What was learnt is kept, so
the next command goes on from there."""


class Proof:
    """What one command learns of package files, and how it sees to it that only what loads is installed."""

    def __init__(self, session: Session, layers: Sequence[Path] = ()) -> None:
        """``layers`` are read-only caches that know more. Under ``--no-verify`` nothing is known, and nothing kept."""
        self._session, self._layers = session, layers

    @cached_property
    def learned(self) -> Learned:
        """What binds a solve."""
        from dataloader.trial.memory import Learned

        session = self._session
        return Learned(None if session.options.no_verify else session.cache, self._layers, session.reporter)

    @property
    def left_out(self) -> list[str]:
        """What this command found out, for its document."""
        # A sync of what is known to load asks for nothing that was learnt, and does not import it.
        return list(self.learned.found_here) if "learned" in vars(self) else []

    def prover(
        self, request: Request, lock: Lockfile, python: Interpreter | None
    ) -> Callable[[], AbstractContextManager[Prover]] | None:
        """Return what judges the tree of a lock before it is switched to; ``None`` where that is not needed."""
        from dataloader.trial.proofs import Proofs, proof_key

        if self._session.options.no_verify or not lock.packages:
            return None
        proofs, key = Proofs(self._session.cache, self._layers), proof_key(lock, python, _machines(request))

        @contextmanager
        def ready() -> Iterator[Prover]:
            from dataloader.trial.aside import prepared

            with prepared(lock) as judge:
                yield _Prover(self._session, request, lock, judge, lambda: proofs.add(key, self._session.reporter))

        return None if proofs.has(key) else ready

    async def until_it_loads(
        self,
        attempt: Callable[[], Awaitable[T]],
        lock_of: Callable[[], Lockfile],
        *,
        again: bool,
    ) -> T:
        """Run ``attempt``, which solves and installs, until nothing that it builds contradicts itself.

        Args:
            attempt: Solves anew each time, bound by :attr:`learned`.
            lock_of: The lock that the last attempt built from.
            again: Whether other packages may be chosen; else what is found is only learnt.

        Raises:
            Declined: somebody was asked, and said no.
            Contradicted: no other choice of packages is left, or too many were tried.
        """
        last: Contradicted | None = None
        for _ in range(MOST):
            try:
                return await self._once(attempt, lock_of)
            except WouldNotLoad as error:
                from dataloader.trial.judge import Contradicted  # most attempts raise nothing, and need not know it

                if not isinstance(error, Contradicted):
                    raise
                found = error
                known = last.contradictions if last else ()
                last = found
                self.learned.add(found.contradictions)
                if not again or set(found.contradictions) <= set(known):
                    raise  # nobody may choose, or the solver knew and could not heed it
                for contradiction in found.contradictions:
                    self._session.reporter.warn(f"{contradiction.why}: choosing again")
            except ResolutionFailure as failure:
                if last is None:
                    raise
                raise _no_other_choice(last, failure) from failure
        assert last is not None
        last.suggestions = ("run the command again to go on looking", *last.suggestions)
        raise last

    async def _once(self, attempt: Callable[[], Awaitable[T]], lock_of: Callable[[], Lockfile]) -> T:
        """Run ``attempt``; two packages that want one path teach something too."""
        try:
            return await attempt()
        except PrefixError as error:
            from dataloader.install.tree.tree import PathClash
            from dataloader.trial.judge import of_clash

            if not isinstance(error, PathClash) or self._session.options.no_verify:
                raise
            found = of_clash(error, lock_of())
            if found is None:
                raise
            raise found from error


class _Prover:
    """Proves trees of one lock, and notes those of which there was nothing to tell."""

    def __init__(
        self, session: Session, request: Request, lock: Lockfile, judge: JudgeHere, note: Callable[[], None]
    ) -> None:
        self._session, self._request, self._lock, self._judge, self._note = session, request, lock, judge, note
        self._facts = session.cache / "facts"

    def foresee(self, libraries: Mapping[str, str]) -> None:
        self._judge.foresee(libraries, self._facts)

    def prove(self, tree: Path, libraries: Mapping[str, str]) -> None:
        from dataloader.trial.judge import BuiltTree, prove

        targets = targets_of(self._session, self._request)
        question = BuiltTree(tree, self._lock, targets, self._facts, libraries)
        if prove(question, self._judge.judge, self._session.reporter):
            self._note()  # else it is told again the next time, unless it was mended


def _no_other_choice(found: Contradicted, failure: ResolutionFailure) -> Contradicted:
    found.causes = (*found.causes, failure.message, *failure.causes)
    found.suggestions = (*failure.suggestions, "install it as it is with --no-verify")
    return found


def _machines(request: Request) -> str:
    """Stands for the machines that a request is for."""
    from dataloader.machine.host import machine_key

    said = [repr(request.system), repr(request.gpus), repr(request.platform)]
    if request.target_file is not None:
        return "\n".join([*said, request.target_file.read_text(encoding="utf-8")])
    return "\n".join([*said, machine_key()])


def targets_of(session: Session, request: Request) -> tuple[Target, ...]:
    """The machines that a request is for."""
    from dataloader.compat.matrix import matrix_with
    from dataloader.locking.targets import make_targets

    return make_targets(request, matrix_with(request.matrix), session.environ)
