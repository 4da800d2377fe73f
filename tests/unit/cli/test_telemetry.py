"""The reporter for programs: what it writes, when, and without secrets."""

from __future__ import annotations

import doctest
import json
import re
from pathlib import Path

import pytest

from dataloader.cli.telling import metrics
from dataloader.cli.telling.run import Run
from dataloader.cli.telling.telemetry import Telemetry

SECRET = "s3cret-value"


def outlets(folder: Path) -> dict[str, str]:
    return {
        "events": str(folder / "events"),
        "status_file": str(folder / "status"),
        "metrics_file": str(folder / "metrics"),
    }


def test_examples_of_the_docstrings_hold() -> None:
    assert doctest.testmod(metrics).failed == 0


@pytest.mark.parametrize(
    "text",
    [
        f"https://me:{SECRET}@example.org/simple",
        f"https://example.org/a.whl?X-Amz-Signature={SECRET}",
        f"https://example.org/t/{SECRET}/channel",
        f"Authorization: Bearer {SECRET}.12345",
    ],
)
def test_no_secret_leaves_whatever_the_stages_say(tmp_path: Path, text: str) -> None:
    one = Telemetry(outlets(tmp_path), Run("sync", text), pytest.fail)
    one.info(text)
    one.warn(text)
    one.start("link", text, 3, "files")
    one.event("environment", prefix=text, lock=None)
    one.event("downloaded", address=text, deep=[{"here": text}])
    one.close(3, {"code": "x", "message": text, "causes": [text]})

    for path in tmp_path.iterdir():
        assert SECRET not in path.read_text(), path
        assert "****" in path.read_text()


def test_the_status_is_not_written_more_than_once_a_second_within_a_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("dataloader.cli.telling.telemetry.time.monotonic", lambda: now)
    one = Telemetry({"status_file": str(tmp_path / "status")}, Run("sync", "default"), pytest.fail)
    one.start("a.whl", "a.whl", 1000)
    seen = []
    for _ in range(30):  # three seconds
        now += 0.1
        one.advance("a.whl", 10)
        seen.append(json.loads((tmp_path / "status").read_text())["bytes"]["done"])

    assert len(set(seen)) in {3, 4}
    one.event("stage-started", stage="switch")
    assert json.loads((tmp_path / "status").read_text())["bytes"] == {"done": 300, "total": 1000}


def test_a_closed_run_stays_as_it_ended(tmp_path: Path) -> None:
    one = Telemetry(outlets(tmp_path), Run("sync", "default"), pytest.fail)
    one.close(130)
    one.close(0)

    assert json.loads((tmp_path / "status").read_text())["exit_code"] == 130
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".tmp")] == []


def test_events_of_two_processes_may_share_a_file(tmp_path: Path) -> None:
    both = [Telemetry({"events": str(tmp_path / "events")}, Run("sync", name), pytest.fail) for name in "ab"]
    for _ in range(50):
        for one in both:
            one.info("x" * 3000)

    lines = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    assert {line["run"] for line in lines} == {one.run.id for one in both}
    assert len(lines) == 102


def test_dashboard_and_alerts_of_the_documentation_ask_for_metrics_that_exist() -> None:
    """Their labels too: an expression that names another one is true of nothing."""
    folder = Path(__file__).parents[3] / "docs/kubernetes"
    run = Run("sync", "train")
    run.stage_seconds["link"] = 1.0
    told = metrics.metrics_text(run)
    known = set(re.findall(r"^(dataloader_\w+)\{", told, re.MULTILINE))
    labels = {*re.findall(r'(\w+)="', told), "instance", "__name__"}
    dashboard = json.loads((folder / "grafana.json").read_text())
    asked = [target for panel in dashboard["panels"] for target in panel["targets"]]
    expressions = [each["expr"] for each in asked]
    expressions += re.findall(r"expr: (.+)", (folder / "volumes.md").read_text())

    assert len(expressions) > 6
    for expression in expressions:
        named = set(re.findall(r"dataloader_\w+", expression))
        assert named
        assert named <= known
        by = re.findall(r"by \(([^)]*)\)", expression) + re.findall(r"\{(\w+)=", expression)
        assert {label.strip() for each in by for label in each.split(",")} <= labels
    assert {label for each in asked for label in re.findall(r"\{\{(\w+)\}\}", each["legendFormat"])} <= labels
    assert [panel["id"] for panel in dashboard["panels"]] == list(range(1, len(dashboard["panels"]) + 1))
