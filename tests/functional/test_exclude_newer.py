"""--exclude-newer against an index that gives upload times (PEP 700), and one that gives none."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.command import run_command
from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_wheel

TIMES = {
    "lib-1.0-py3-none-any.whl": "2023-06-01T00:00:00Z",
    "lib-2.0-py3-none-any.whl": "2023-11-03T12:00:00.5Z",
    "lib-3.0-py3-none-any.whl": "2024-06-16T00:00:00Z",
    "torch-2.1.0-py3-none-any.whl": "2023-10-04T16:53:01.8Z",
}


@pytest.fixture
def index(tmp_path: Path) -> Iterator[IndexServer]:
    for name in TIMES:
        project, version, *_ = name.split("-")
        make_wheel(tmp_path / "shelf", project, version)
    with IndexServer(tmp_path / "shelf", json=True, upload_times=TIMES) as server:
        yield server


def run(index: IndexServer, here: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    here.mkdir(exist_ok=True)
    env = {**os.environ, "DATALOADER_CONDA": "never", "DATALOADER_INDEX_URL": index.index_url}
    done = run_command(*arguments, "--json", cwd=here, env=env)
    return done.returncode, json.loads(done.stdout)


def version_of(document: dict[str, Any], name: str) -> str:
    (found,) = [p["version"] for p in document["packages"] if p["name"] == name]
    return str(found)


@pytest.mark.parametrize(
    ("date", "version"),
    [("2023-06-01", "1.0"), ("2023-11-03", "2.0"), ("2023-11-03T12:00:00Z", "1.0"), ("1 week", "3.0"), ("P2W", "3.0")],
)
def test_what_was_published_later_does_not_exist(index: IndexServer, tmp_path: Path, date: str, version: str) -> None:
    code, document = run(index, tmp_path / "here", "lock", "lib", f"--exclude-newer={date}")

    assert (code, version_of(document, "lib")) == (0, version)


def test_as_of_the_release_of_the_framework(index: IndexServer, tmp_path: Path) -> None:
    code, document = run(index, tmp_path / "here", "lock", "--torch=2.1.0", "lib", "--exclude-newer=framework")

    assert code == 0, document
    assert version_of(document, "lib") == "2.0"  # the last within 30 days of 2023-10-04
    text = (tmp_path / "here" / "dataloader.lock").read_text()
    assert "published-before: '2023-11-04T00:00:00Z'" in text.replace('"', "'")
    assert "exclude-newer: framework" in text


@pytest.mark.parametrize(
    ("arguments", "exit_code", "error"),
    [
        (("lib", "--exclude-newer=framework"), 2, "release-date-unknown"),
        (("lib", "--exclude-newer=yesterday"), 2, "date-invalid"),
        (("lib", "--exclude-newer=2024-01-31T10:00:00"), 2, "date-invalid"),
        (("lib==3.0", "--exclude-newer=2024-01-01"), 1, "no-matching-version"),
    ],
)
def test_what_cannot_be_held_is_said(
    index: IndexServer, tmp_path: Path, arguments: tuple[str, ...], exit_code: int, error: str
) -> None:
    code, document = run(index, tmp_path / "here", "lock", *arguments)

    assert (code, document["error"]["code"]) == (exit_code, error), document


def test_an_index_without_upload_times_cannot_hold_a_date(index: IndexServer, tmp_path: Path) -> None:
    index.json = False  # PEP 503 has no place for them

    code, document = run(index, tmp_path / "here", "lock", "lib", "--exclude-newer=2023-11-03")

    assert (code, document["error"]["code"]) == (2, "upload-times-missing")
    assert index.index_url in document["error"]["message"]


def test_another_date_makes_a_lock_stale(index: IndexServer, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    manifest = here / "dataloader.toml"
    manifest.write_text('[resolution]\nexclude-newer = 2023-11-03\n[pypi-dependencies]\nlib = "*"\n')
    assert run(index, here, "lock")[0] == 0

    manifest.write_text('[resolution]\nexclude-newer = "30 days"\n[pypi-dependencies]\nlib = "*"\n')
    code, document = run(index, here, "sync", "--locked")

    assert (code, document["error"]["code"]) == (1, "lock-outdated")
    assert document["error"]["causes"] == ["option exclude-newer: was 2023-11-03, is 30 days"]
