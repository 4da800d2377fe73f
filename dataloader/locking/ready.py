"""What is known of a request before a package is looked at: the stack, and what matrix and machines say to packages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from dataloader.compat.model import StackNeeds
from dataloader.index.web.credentials import without_credentials
from dataloader.locking.stacks import planned, stack_request
from dataloader.stack.problem import needs_of
from dataloader.trial.model import rules_of

if TYPE_CHECKING:
    from dataloader.compat.matrix import Matrix
    from dataloader.index.settings import IndexSettings
    from dataloader.machine.target import Target
    from dataloader.request.request import Request
    from dataloader.stack.model import Stack, StackRequest
    from dataloader.trial.model import Contradiction


class Ready(NamedTuple):
    """What is known over a choice of channels."""

    asked: StackRequest
    is_planned: bool
    """Whether anything is asked of the stack itself: ``stack`` is what the planner takes for it, if there is that."""
    stack: Stack | None
    needs: StackNeeds
    """What the matrix, the machines and what was learned of package files say to the packages."""


def made_ready(
    matrix: Matrix,
    request: Request,
    targets: tuple[Target, ...],
    channels: tuple[str, ...],
    learned: Sequence[Contradiction],
    settings: IndexSettings,
) -> Ready:
    """Read the matrix for a request; asks no index."""
    asked = stack_request(matrix, request, frozenset({"conda", "pypi"} if channels else {"pypi"}), channels)
    is_planned = bool(asked.frameworks or asked.cuda or asked.cudnn or asked.nccl or asked.gcc)
    stack = planned(matrix, asked, targets) if is_planned else None
    placed = {r.name for r in request.pypi if r.index or r.url} | set(settings.index_for)
    needs = needs_of(
        matrix,
        asked,
        targets,
        insisted={r.name: "pypi" for r in request.pypi if r.world == "pypi"},
        extra_indexes=frozenset(map(without_credentials, settings.extra_index_urls)),
        planned=stack,
        placed=frozenset(placed),
        conda={r.name for r in request.conda},
    )
    of_files = rules_of(learned, targets)
    needs = replace(needs, rules=(*needs.rules, *of_files.rules), axes={**needs.axes, **of_files.axes})
    return Ready(asked, is_planned, stack, needs)
