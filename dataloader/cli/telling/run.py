"""What is known of a run, from its events. Imports next to nothing, as what tells of it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

_WARNINGS_KEPT = 20


class Run:
    """What is known of a run, from the events so far."""

    def __init__(self, command: str, environment: str) -> None:
        self.command = command
        self.environment = environment
        self.id = os.urandom(4).hex()
        self.began = time.monotonic()
        self.started = time.time()
        self.state = "running"
        self.stages: list[str] = []
        """Those under way, in the order they began."""
        self.stage_seconds: dict[str, float] = {}
        self.facts: dict[str, object] = {"prefix": None, "generation": None, "lock": None, "changed": None}
        self.packages: dict[str, int | None] = {"done": 0, "total": None}
        self.bytes: dict[str, int | None] = {"done": 0, "total": 0}
        """Of downloads; the total is unknown where an index gives no sizes."""
        self.downloaded_bytes = 0
        self.cached_bytes = 0
        self.retries = 0
        self.warnings: list[str] = []
        self.warning_count = 0
        self.exit_code: int | None = None
        self.error: Mapping[str, object] | None = None
        self.finished: float | None = None

    def hear(self, event: str, facts: Mapping[str, object]) -> None:
        """Take one event into account."""
        if event == "stage-started":
            self.stages.append(str(facts["stage"]))
        elif event == "stage-finished":
            self._stage_finished(str(facts["stage"]), facts.get("seconds"))
        elif event == "planned":
            self.packages["total"] = _number(facts.get("packages"))
            self.packages["done"] = _number(facts.get("keep")) if not facts.get("rebuild") else 0
        elif event == "package":
            self._package(facts)
        elif event == "address-failed":
            self.retries += 1
        elif event == "warning":
            self.warning_count += 1
            self.warnings = [*self.warnings, str(facts["message"])][-_WARNINGS_KEPT:]
        elif event == "run-finished":
            self._finished(facts)
        for name in self.facts.keys() & facts.keys():
            self.facts[name] = facts[name]
        self.state = self._state()

    def seconds(self) -> float:
        """Since the run began, or as long as it took."""
        return round((time.monotonic() if self.finished is None else self.finished) - self.began, 3)

    def _state(self) -> str:
        if self.exit_code is not None:
            return "done" if self.exit_code == 0 else "failed"
        return "waiting" if self.stages and self.stages[-1] == "wait" else "running"

    def _stage_finished(self, stage: str, seconds: object) -> None:
        if stage in self.stages:
            self.stages.remove(stage)
        if isinstance(seconds, int | float):
            self.stage_seconds[stage] = round(self.stage_seconds.get(stage, 0) + seconds, 3)

    def _package(self, facts: Mapping[str, object]) -> None:
        self.packages["done"] = (self.packages["done"] or 0) + 1
        size = _number(facts.get("bytes")) or 0
        if facts.get("source") == "cache":
            self.cached_bytes += size
        else:
            self.downloaded_bytes += size

    def _finished(self, facts: Mapping[str, object]) -> None:
        self.finished = time.monotonic()
        self.exit_code = _number(facts.get("exit_code"))
        error = facts.get("error")
        self.error = error if isinstance(error, dict) else None
        if self.exit_code == 0 and self.packages["total"] is not None:
            self.packages["done"] = self.packages["total"]


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None
