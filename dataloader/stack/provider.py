"""The delegate that resolvelib asks: an axis is an identifier, a value of it a candidate, a ``Need`` a requirement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from resolvelib import AbstractProvider

from dataloader.stack.needs import AxisValue, Need
from dataloader.stack.space import MACHINE_AXES, Space

if TYPE_CHECKING:
    from resolvelib.providers import Preference

_ORDER = {axis: rank for rank, axis in enumerate((*MACHINE_AXES, "gcc", "python"))}
_LAST = {"cuda": 1, "cudnn": 2, "nccl": 3}


class StackProvider(AbstractProvider[Need, AxisValue, str]):
    """Finds candidates in a ``Space``, best first."""

    def __init__(self, space: Space, forbidden: Mapping[str, frozenset[tuple[str, str | None]]]) -> None:
        self._space = space
        self._forbidden = forbidden

    def identify(self, requirement_or_candidate: Need | AxisValue) -> str:
        return requirement_or_candidate.axis

    def get_preference(
        self,
        identifier: str,
        resolutions: Mapping[str, AxisValue],  # noqa: ARG002
        candidates: Mapping[str, Iterator[AxisValue]],  # noqa: ARG002
        information: Mapping[str, Iterator[Any]],  # noqa: ARG002
        backtrack_causes: Sequence[Any],  # noqa: ARG002
    ) -> Preference:
        """The order in which axes are settled.

        1. What the machine and the person have fixed: a conflict with it shows at once.
        2. Frameworks: the newest is what people want, and everything else follows from it.
        3. CUDA, then the libraries that go with it.
        """
        if identifier in _ORDER:
            return (0, _ORDER[identifier], identifier)
        return (2, _LAST[identifier], identifier) if identifier in _LAST else (1, 0, identifier)

    def find_matches(
        self,
        identifier: str,
        requirements: Mapping[str, Iterator[Need]],
        incompatibilities: Mapping[str, Iterator[AxisValue]],
    ) -> Iterable[AxisValue]:
        needs = list(requirements[identifier])
        bad = {id(candidate) for candidate in incompatibilities[identifier]}
        forbidden = self._forbidden.get(identifier, frozenset())
        found = [
            candidate
            for candidate in self._space.candidates.get(identifier, ())
            if id(candidate) not in bad
            and candidate.identity not in forbidden
            and not any(need.objection(candidate) for need in needs)
        ]
        preferred = {need.prefers for need in needs if need.prefers}
        if identifier == "cuda":
            # A runtime whose wheels the matrix can name is the safer choice among equals.
            preferred = preferred or set(self._space.matrix.components)
        found.sort(key=lambda candidate: candidate.value not in preferred)
        return found

    def is_satisfied_by(self, requirement: Need, candidate: AxisValue) -> bool:
        return requirement.objection(candidate) is None

    def get_dependencies(self, candidate: AxisValue) -> Iterable[Need]:
        return self._space.needs(candidate)
