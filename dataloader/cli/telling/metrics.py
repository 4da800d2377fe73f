"""A finished run as Prometheus text (exposition format 0.0.4), for node_exporter's textfile collector. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dataloader.cli.telling.run import Run


def metrics_text(run: Run) -> str:
    """Every metric of one run, labelled by environment and command.

    >>> from dataloader.cli.telling.run import Run
    >>> print(metrics_text(Run("sync", "train")).splitlines()[2])
    dataloader_sync_success{environment="train",command="sync"} 0
    """
    labels = {"environment": run.environment, "command": run.command}
    lines: list[str] = []
    for name, about, value in _gauges(run):
        lines += _family(name, about, [(labels, value)])
    stages = [({**labels, "stage": stage}, seconds) for stage, seconds in run.stage_seconds.items()]
    lines += _family("stage_duration_seconds", "Time of each stage; stages overlap.", stages)
    error = str((run.error or {}).get("code", ""))
    told = {**labels, "prefix": str(run.facts["prefix"] or ""), "lock": str(run.facts["lock"] or ""), "error": error}
    lines += _family("info", "The prefix, the sha256 of the lock, and the code of the error.", [(told, 1)])
    return "\n".join(lines) + "\n"


def _gauges(run: Run) -> Iterable[tuple[str, str, float]]:
    yield "success", "Whether the last run ended with exit code 0.", run.exit_code == 0
    yield "exit_code", "Exit code of the last run.", -1 if run.exit_code is None else run.exit_code
    yield "timestamp_seconds", "Unix time at which the last run ended.", round(run.started + run.seconds(), 3)
    yield "duration_seconds", "Wall time of the last run.", run.seconds()
    yield "changed", "Whether the last run changed the environment; 0 is a no-op.", run.facts["changed"] is True
    yield "packages", "Packages of the lock.", run.packages["total"] or 0
    yield "downloaded_bytes", "Bytes of packages fetched over the network.", run.downloaded_bytes
    yield "cached_bytes", "Bytes of packages taken from the cache, as archives.", run.cached_bytes
    yield "retries", "Answers of servers that could not be used.", run.retries
    yield "warnings", "Warnings of the last run.", run.warning_count


def _family(name: str, about: str, samples: Iterable[tuple[Mapping[str, str], float]]) -> list[str]:
    full = f"dataloader_sync_{name}"
    found = [f"{full}{{{_labels(labels)}}} {_value(value)}" for labels, value in samples]
    return [f"# HELP {full} {about}", f"# TYPE {full} gauge", *found] if found else []


def _labels(labels: Mapping[str, str]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _value(value: float) -> str:
    return str(int(value)) if isinstance(value, bool) or value == int(value) else repr(value)
