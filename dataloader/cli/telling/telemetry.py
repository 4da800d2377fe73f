"""What a run tells programs: events as they happen, its state in a file, metrics at its end. Formats: docs/sync.md.

Imports next to nothing: a sync with nothing to do writes them too, in a few milliseconds.
"""

# ruff: noqa: PTH118, PTH119, PTH120, PTH105, PTH108
# As dataloader.prefix.locate: importing pathlib would cost more than the work.

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping

from dataloader.base.redaction import redact
from dataloader.base.reporter import Reporter
from dataloader.cli.telling.run import Run

VERSION = 1
OUTLETS = ("events", "status_file", "metrics_file")
"""The options, as fields of CommonOptions have them."""

_STAGE_OF_TASK = {
    "solve": "solve",
    "unpack": "unpack",
    "link": "link",
    "conda-download": "download-conda",
    "conda-link": "link-conda",
    "verify-cache": "verify-cache",
}
"""Tasks of the reporter that are stages of the work; others are single files."""
_EVERY = 1.0
"""Seconds between two writings of the status file within a stage, at least."""


def files_of(asked: Mapping[str, object]) -> list[tuple[str, str]]:
    """Return which of the outlets are files: option, path. ``-`` and numbers are streams that are open already."""
    said = [(f"--{name.replace('_', '-')}", str(asked.get(name) or "")) for name in OUTLETS]
    return [(option, path) for option, path in said if path and not (option == "--events" and _is_stream(path))]


def _is_stream(where: str) -> bool:
    return where == "-" or where.isdigit()


class Telemetry(Reporter):
    """Writes the events, the status file and the metrics of one run; what cannot be written is said once.

    Args:
        asked: The values of ``OUTLETS``; ``None`` or an empty text means not asked for.
        complain: Told, in words, of an outlet that does not work. The run goes on.
    """

    def __init__(self, asked: Mapping[str, object], run: Run, complain: Callable[[str], object]) -> None:
        self.run = run
        self._status_file = str(asked.get("status_file") or "")
        self._metrics_file = str(asked.get("metrics_file") or "")
        self._complain = complain
        self._lock = threading.RLock()
        self._written = 0.0
        self._tasks: dict[str, tuple[str, float]] = {}
        self._sizes: set[str] = set()
        self._events = self._open(str(asked.get("events") or ""))
        self.event("run-started", command=run.command, environment=run.environment, pid=os.getpid())

    def info(self, message: str) -> None:
        """An event."""
        self.event("info", message=message)

    def warn(self, message: str) -> None:
        """An event, and the last ones stand in the status file."""
        self.event("warning", message=message)

    def start(self, task: str, label: str, total: int | None, unit: str = "bytes") -> None:  # noqa: ARG002
        """Begin a stage; or count the bytes of a file."""
        if stage := _STAGE_OF_TASK.get(task):
            self._tasks[task] = (stage, time.monotonic())
            self.event("stage-started", stage=stage, **({"total": total, "unit": unit} if total else {}))
        if unit == "bytes" and task != "unpack":
            with self._lock:
                self._sizes.add(task)
                known = self.run.bytes["total"]
                self.run.bytes["total"] = None if known is None or total is None else known + total

    def advance(self, task: str, amount: int) -> None:
        """Count bytes on their way."""
        if task in self._sizes:
            with self._lock:
                self.run.bytes["done"] = (self.run.bytes["done"] or 0) + amount
                self._write_status(at_once=False)

    def finish(self, task: str) -> None:
        """End a stage."""
        if task in self._tasks:
            stage, began = self._tasks.pop(task)
            self.event("stage-finished", stage=stage, seconds=round(time.monotonic() - began, 3))

    def event(self, event: str, **facts: object) -> None:
        """Take it into account, write it, and the files that it changes."""
        with self._lock:
            self.run.hear(event, facts)
            self._write_event(event, facts)
            self._write_status(at_once=event.startswith(("stage-", "run-", "planned")))
            if event == "run-finished" and self._metrics_file:
                from dataloader.cli.telling.metrics import metrics_text

                self._replace("metrics", self._metrics_file, redact(metrics_text(self.run)))

    def close(self, exit_code: int, error: Mapping[str, object] | None = None) -> None:
        """End the run: the last event, the last state, and the metrics. The second call does nothing."""
        run = self.run
        if run.exit_code is not None:
            return
        self.event(
            "run-finished",
            exit_code=exit_code,
            changed=run.facts["changed"],
            packages=run.packages["total"],
            downloaded_bytes=run.downloaded_bytes,
            cached_bytes=run.cached_bytes,
            retries=run.retries,
            warnings=run.warning_count,
            seconds=run.seconds(),
            error=error,
        )

    def _write_event(self, event: str, facts: Mapping[str, object]) -> None:
        if self._events is None:
            return
        now = time.time()
        line = {"version": VERSION, "time": _rfc3339(now), "run": self.run.id, "event": event, **facts}
        try:
            # One write for each line: lines of several processes that append to one file do not mix.
            os.write(self._events, (_json(line) + "\n").encode("utf-8", "backslashreplace"))
        except OSError as error:
            self._events = None
            self._complain(f"Events can be written no more: {error.strerror}.")

    def _write_status(self, *, at_once: bool) -> None:
        now = time.monotonic()
        if not self._status_file or not (at_once or now - self._written >= _EVERY):
            return
        self._written = now
        text = _json(status_document(self.run), indent=1) + "\n"
        if not self._replace("status", self._status_file, text):
            self._status_file = ""

    def _replace(self, what: str, path: str, text: str) -> bool:
        path = os.path.realpath(path)
        temporary = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{os.getpid()}.tmp")
        if os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113
            temporary = path  # a device or a pipe is written as it is
        try:
            try:
                with open(temporary, "w", encoding="utf-8", errors="backslashreplace") as stream:
                    stream.write(text)
                if temporary != path:
                    os.replace(temporary, path)
            except OSError:
                if temporary != path and os.path.lexists(temporary):
                    os.unlink(temporary)
                raise
        except OSError as error:
            self._complain(f"The {what} file {path} cannot be written, and is done without: {error.strerror}.")
            return False
        return True

    def _open(self, where: str) -> int | None:
        try:
            if not where:
                return None
            if where == "-":
                return sys.stdout.fileno()
            if where.isdigit():
                os.fstat(int(where))
                return int(where)
            return os.open(where, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            self._complain(f"Events cannot be written to {where}, and are done without: {error.strerror}.")
            return None


def status_document(run: Run) -> dict[str, object]:
    """What the status file says."""
    return {
        "version": VERSION,
        "state": run.state,
        "command": run.command,
        "environment": run.environment,
        "run": run.id,
        "pid": os.getpid(),
        "host": os.uname().nodename,
        "stage": run.stages[-1] if run.stages else None,
        "stages": run.stage_seconds,
        "packages": run.packages,
        "bytes": run.bytes,
        **run.facts,
        "started": _rfc3339(run.started),
        "updated": _rfc3339(time.time()),
        "seconds": run.seconds(),
        "retries": run.retries,
        "warnings": run.warnings,
        "exit_code": run.exit_code,
        "error": run.error,
    }


def _json(document: Mapping[str, object], indent: int | None = None) -> str:
    return json.dumps(_clean(document), ensure_ascii=False, indent=indent)


def _clean(value: object) -> object:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {str(key): _clean(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(inner) for inner in value]
    return value if value is None or isinstance(value, bool | int | float) else redact(str(value))


def _rfc3339(seconds: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds * 1000) % 1000:03d}Z"
