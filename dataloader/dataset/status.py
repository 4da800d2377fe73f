"""What came of a round, as the controller would write it into the resource's status."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Literal, TypeAlias, get_args

from dataloader.base.redaction import redact
from dataloader.base.values import dataclass
from dataloader.dataset.resource import Resource

Stage: TypeAlias = Literal["Config", "PVC", "ConfigMap", "Job", "JobStatus"]

STAGES: tuple[Stage, ...] = get_args(Stage)
"""Types of conditions, in the order in which the controller sets them: the first that fails is the last one there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusCondition:
    """One of ``status.conditions``."""

    kind: Stage
    holds: bool
    reason: str
    message: str
    since: str
    """RFC 3339."""


class Round:
    """The conditions of one round, as they come."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self.conditions: list[StatusCondition] = []
        self.started = self._now()

    def _now(self) -> str:
        return self._clock().strftime("%Y-%m-%dT%H:%M:%SZ")

    @contextmanager
    def stage(self, kind: Stage) -> Iterator[None]:
        """Run what a condition stands for; its failure becomes the condition's, and goes on."""
        try:
            yield
        except Exception as error:
            self.note(kind, redact(str(error)), holds=False)
            raise
        self.note(kind, "")

    def note(self, kind: Stage, message: str, *, holds: bool = True) -> None:
        """Set a condition."""
        reason = f"{kind}{'Ready' if holds else 'Failed'}"
        self.conditions.append(
            StatusCondition(kind=kind, holds=holds, reason=reason, message=message, since=self._now())
        )

    @property
    def phase(self) -> Literal["READY", "FAILED"]:
        """How it ended."""
        done = {condition.kind for condition in self.conditions if condition.holds}
        return "READY" if done >= set(STAGES) else "FAILED"

    def document(self, resource: Resource | None) -> dict[str, Any]:
        """``status`` of the resource, by the controller's names."""
        ready, ended = self.phase == "READY", self._now()
        status: dict[str, Any] = {
            "phase": self.phase,
            "conditions": [
                {
                    "type": condition.kind,
                    "status": "True" if condition.holds else "False",
                    "reason": condition.reason,
                    "message": condition.message,
                    "lastTransitionTime": condition.since,
                }
                for condition in self.conditions
            ],
            "inProcessing": False,
        }
        if resource is not None:
            status["pvcName"] = resource.claim
            status["syncRoundStatuses"] = [
                {
                    "round": resource.round,
                    "jobName": f"dataset-{resource.name}-round-{resource.round}",
                    "startTime": self.started,
                    "endTime": ended,
                    "succeed": ready,
                }
            ]
            if ready:
                status |= {"lastSucceedRound": resource.round, "lastSyncTime": ended}
        return status
