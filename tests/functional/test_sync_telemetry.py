"""What a sync tells programs: events, the status file, metrics; that they never stop it, and never hold a secret."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.helpers.command import run_command
from tests.helpers.server import Fault, IndexServer
from tests.helpers.wheels import make_wheel


@dataclass(frozen=True)
class Desk:
    """A directory with a lock of two wheels, and the index that serves them."""

    here: Path
    index: IndexServer

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return run_command(*arguments, cwd=self.here, env=self.environ(**environ))

    def environ(self, **more: str) -> dict[str, str]:
        ours = {"DATALOADER_CONDA": "never", "DATALOADER_INDEX_URL": self.index.index_url}
        return {**os.environ, **ours, "DATALOADER_CACHE_DIR": str(self.here / "cache"), **more}

    def sync(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Sync with all three outlets."""
        outlets = ("--events=events", "--status-file=status", "--metrics-file=metrics.prom")
        return self.run("sync", "-p", "env", *outlets, *arguments, **environ)

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.here / "events").read_text().splitlines()]

    def status(self) -> dict[str, Any]:
        return json.loads((self.here / "status").read_text())  # type: ignore[no-any-return]

    def metrics(self) -> dict[str, float]:
        """Every sample by name, and stages by name and stage."""
        families = text_string_to_metric_families((self.here / "metrics.prom").read_text())
        samples = [sample for family in families for sample in family.samples]
        return {s.name + s.labels.get("stage", ""): s.value for s in samples}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    shelf, here = tmp_path / "shelf", tmp_path / "here"
    here.mkdir()
    make_wheel(shelf, "app", "1.0", requires=["lib"])
    make_wheel(shelf, "lib", "2.0", files={"lib.py": "x" * 5000})
    with IndexServer(shelf) as server:
        desk = Desk(here, server)
        done = desk.run("lock", "app")
        assert done.returncode == 0, done.stderr
        server.requests.clear()
        yield desk


def test_events_tell_stages_packages_and_the_end(desk: Desk) -> None:
    before = datetime.now(timezone.utc)
    done = desk.sync()

    assert done.returncode == 0, done.stderr
    events = desk.events()
    assert {event["version"] for event in events} == {1}
    assert len({event["run"] for event in events}) == 1
    times = [datetime.fromisoformat(event["time"].replace("Z", "+00:00")) for event in events]
    assert times == sorted(times)
    assert before - timedelta(seconds=1) <= times[0] <= times[-1] <= datetime.now(timezone.utc)
    started = [event["stage"] for event in events if event["event"] == "stage-started"]
    finished = [event["stage"] for event in events if event["event"] == "stage-finished"]
    assert started == ["plan", "download", "unpack", "link", "verify", "switch"]
    assert sorted(started) == sorted(finished)
    packages = {e["package"]: e for e in events if e["event"] == "package"}
    sizes = {path.name.split("-")[0]: path.stat().st_size for path in desk.index.folder.iterdir()}
    assert {name: event["bytes"] for name, event in packages.items()} == sizes
    assert packages["lib"]["source"] == "network"
    assert packages["lib"]["package_version"] == "2.0"
    assert packages["lib"]["seconds"] >= 0
    (downloaded,) = [e for e in events if e["event"] == "downloaded" and e["file"].startswith("lib")]
    assert downloaded["address"].startswith(desk.index.url)
    assert downloaded["bytes"] == sizes["lib"]
    last = events[-1]
    assert (last["event"], last["exit_code"], last["changed"]) == ("run-finished", 0, True)
    assert last["downloaded_bytes"] == sum(sizes.values())


def test_status_and_metrics_agree_with_the_result(desk: Desk) -> None:
    done = desk.sync("--json")

    document, status, metrics = json.loads(done.stdout), desk.status(), desk.metrics()
    assert document["changed"] is status["changed"] is True
    assert status["state"] == "done"
    assert status["packages"] == {"done": 2, "total": 2}
    assert status["bytes"] == {"done": document["downloaded_bytes"], "total": None}  # HTML pages give no sizes
    assert status["prefix"] == str(desk.here / "env")
    assert status["stage"] is None
    assert status["exit_code"] == 0
    assert metrics["dataloader_sync_success"] == 1
    assert metrics["dataloader_sync_changed"] == 1
    assert metrics["dataloader_sync_packages"] == 2
    assert metrics["dataloader_sync_downloaded_bytes"] == document["downloaded_bytes"]
    assert abs(metrics["dataloader_sync_timestamp_seconds"] - time.time()) < 60
    assert metrics["dataloader_sync_stage_duration_secondsdownload"] == status["stages"]["download"]


@pytest.mark.parametrize("long_way", [(), ("-v",)], ids=["fast", "full"])
def test_nothing_to_do_is_told_too(desk: Desk, long_way: tuple[str, ...]) -> None:
    desk.sync()
    (desk.here / "events").unlink()

    done = desk.sync(*long_way)

    assert done.returncode == 0
    assert desk.metrics()["dataloader_sync_changed"] == 0
    assert desk.metrics()["dataloader_sync_packages"] == 2
    assert desk.status()["state"] == "done"
    assert desk.status()["changed"] is False
    assert desk.status()["packages"] == {"done": 2, "total": 2}
    assert desk.events()[-1]["changed"] is False
    lock = [event["lock"] for event in desk.events() if event["event"] == "environment"]
    assert lock == [desk.status()["lock"]]
    assert re.fullmatch("[0-9a-f]{64}", lock[0])


def test_telling_costs_little_when_there_is_nothing_to_do(desk: Desk) -> None:
    desk.sync()
    # Without the index variable the short way is taken, as in an init container with a ready lock.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("DATALOADER_")}
    outlets = ["--events=events", "--status-file=status", "--metrics-file=metrics.prom"]
    times = []
    for _ in range(7):
        began = os.times()
        command = [sys.executable, "-m", "dataloader", "sync", "-p", "env", *outlets]
        subprocess.run(command, cwd=desk.here, env=environ, check=True, capture_output=True)
        ended = os.times()
        # Of the processor: the clock tells what else this machine is doing.
        times.append(ended.children_user - began.children_user + ended.children_system - began.children_system)

    assert min(times) < 0.1
    imports = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "dataloader", "sync", "-p", "env", *outlets],
        cwd=desk.here,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    heavy = {"typer", "rich", "httpx", "rattler", "yaml", "pathlib", "dataclasses", "typing", "datetime", "asyncio"}
    assert heavy & {line.split("|")[-1].strip() for line in imports.splitlines()} == set()
    assert desk.status()["changed"] is False


def test_failure_is_told_with_code_and_exit_code(desk: Desk) -> None:
    desk.index.fault("/files/*", Fault("status", status=500))

    done = desk.sync(PIP_RETRIES="1")

    assert done.returncode == 3
    status, metrics, last = desk.status(), desk.metrics(), desk.events()[-1]
    assert (status["state"], status["exit_code"], status["error"]["code"]) == ("failed", 3, "index-unreachable")
    assert (last["exit_code"], last["error"]["code"]) == (3, "index-unreachable")
    assert metrics["dataloader_sync_success"] == 0
    assert metrics["dataloader_sync_exit_code"] == 3
    failed = [event for event in desk.events() if event["event"] == "address-failed"]
    assert metrics["dataloader_sync_retries"] == len(failed) >= 2
    assert all(event["again"] for event in failed)
    assert any(event["event"] == "retry" for event in desk.events())


def test_check_that_finds_work_is_told(desk: Desk) -> None:
    assert desk.sync("--check").returncode == 1

    assert desk.status()["error"]["code"] == "changes-needed"
    assert desk.metrics()["dataloader_sync_exit_code"] == 1


def test_events_on_stdout_stand_alone(desk: Desk) -> None:
    done = desk.run("sync", "-p", "env", "--events=-")

    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[-1]["event"] == "run-finished"
    again = desk.run("sync", "-p", "env", "--events=-")
    assert [json.loads(line)["event"] for line in again.stdout.splitlines()][-1] == "run-finished"
    refused = desk.run("sync", "-p", "env", "--events=-", "--json")
    assert (refused.returncode, json.loads(refused.stdout)["error"]["code"]) == (2, "usage")


def test_events_go_to_a_descriptor(desk: Desk) -> None:
    done = desk.run("sync", "-p", "env", "--events=2", "-qq", "--json")

    assert json.loads(done.stdout)["version"] == 1
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()][-1] == "run-finished"


@pytest.mark.parametrize("command", [("lock", "app"), ("install", "app", "-p", "env"), ("cache", "warm")])
def test_the_other_commands_tell_too(desk: Desk, command: tuple[str, ...]) -> None:
    done = desk.run(*command, DATALOADER_EVENTS="events", DATALOADER_STATUS_FILE="status")

    assert done.returncode == 0, done.stderr
    assert desk.events()[0]["command"] == desk.status()["command"] == "-".join(command[: 1 + (command[0] == "cache")])
    assert desk.status()["state"] == "done"


@pytest.mark.parametrize("outlet", ["--events", "--status-file", "--metrics-file"])
def test_an_outlet_that_cannot_be_written_is_one_warning(desk: Desk, outlet: str) -> None:
    for _ in range(2):  # a sync that builds, and one with nothing to do
        done = desk.run("sync", "-p", "env", f"{outlet}=/proc/nowhere/file")

        assert done.returncode == 0, done.stderr
        assert done.stderr.count("[WARN]") == 1
        assert "/proc/nowhere/file" in done.stderr


def test_a_stopped_sync_says_so(desk: Desk) -> None:
    desk.index.fault("/files/*", Fault("stall"))
    command = [sys.executable, "-m", "dataloader", "sync", "-p", "env", "--status-file=status", "--metrics-file=m"]
    process = subprocess.Popen(command, cwd=desk.here, env=desk.environ(), stderr=subprocess.PIPE)
    deadline = time.monotonic() + 20
    while not desk.index.count("/files/*.whl"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    during = desk.status()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)

    assert process.returncode == 130
    assert (during["state"], during["exit_code"], during["packages"]) == ("running", None, {"done": 0, "total": 2})
    assert during["stage"] in {"download", "unpack"}
    assert (desk.status()["state"], desk.status()["exit_code"]) == ("failed", 130)


def test_waiting_for_another_sync_is_a_state(desk: Desk) -> None:
    desk.index.fault("/files/*", Fault("stall", times=2))
    command = [sys.executable, "-m", "dataloader", "sync", "-p", "env"]
    first = subprocess.Popen(command, cwd=desk.here, env=desk.environ(PIP_TIMEOUT="2"), stderr=subprocess.DEVNULL)
    while not desk.index.count("/files/*.whl"):
        time.sleep(0.02)
    second = subprocess.Popen([*command, "--status-file=status"], cwd=desk.here, env=desk.environ())
    seen = set()
    while second.poll() is None:
        if (desk.here / "status").exists():
            seen.add(desk.status()["state"])
        time.sleep(0.02)

    assert (first.wait(), second.returncode) == (0, 0)
    assert seen >= {"running", "waiting"}
    assert desk.status()["stages"]["wait"] > 0
    assert desk.status()["changed"] is False


def test_labels_are_escaped_as_prometheus_reads_them(desk: Desk) -> None:
    name = 'tr"ai\\n'
    done = desk.run("sync", "--root=envs", "--name", name, "--metrics-file=m.prom", "--status-file=status")

    assert done.returncode == 0, done.stderr
    families = list(text_string_to_metric_families((desk.here / "m.prom").read_text()))
    assert {sample.labels["environment"] for family in families for sample in family.samples} == {name}
    assert all(family.documentation and family.type == "gauge" for family in families)
    assert desk.status()["generation"] == str((desk.here / "envs" / name).resolve())


def test_sizes_that_the_index_gives_make_a_total(desk: Desk) -> None:
    desk.index.json = True
    assert desk.run("lock", "app", "--refresh").returncode == 0

    desk.sync()

    status = desk.status()
    assert status["bytes"]["done"] == status["bytes"]["total"] == desk.metrics()["dataloader_sync_downloaded_bytes"] > 0


def test_a_new_prefix_from_the_cache_downloads_nothing(desk: Desk) -> None:
    desk.run("sync", "-p", "first")

    desk.sync()

    packages = [event for event in desk.events() if event["event"] == "package"]
    assert [(event["source"], event["seconds"]) for event in packages] == [("cache", 0.0)] * 2
    assert desk.metrics()["dataloader_sync_cached_bytes"] == sum(event["bytes"] for event in packages) > 5000
    assert desk.metrics()["dataloader_sync_downloaded_bytes"] == 0
