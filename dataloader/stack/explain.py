"""Say why there is no stack, in the user's terms."""

from __future__ import annotations

from resolvelib import ResolutionImpossible

from dataloader.errors import ResolutionFailure
from dataloader.stack.needs import Candidate, Need
from dataloader.stack.space import Space


class StackFailure(ResolutionFailure):
    """No stack fits."""

    default_code = "no-stack"


def failure_of(space: Space, error: ResolutionImpossible[Need, Candidate]) -> StackFailure:
    causes = dict.fromkeys(cause.requirement.text for cause in error.causes if cause.requirement.text)
    return StackFailure("no stack fits what was asked for", causes=tuple(causes))
