"""Without a network: what lies in a folder that was named needs none, in both worlds."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.functional.test_flow import Desk
from tests.helpers.conda import index_channel, make_conda_package
from tests.helpers.wheels import make_wheel


@pytest.fixture
def names(desk: Desk) -> list[str]:
    for number in range(1, 5):
        make_wheel(desk.index.folder, f"part{number}", "1.0")
    return [f"part{number}" for number in range(1, 5)]


def test_a_frozen_sync_takes_what_the_folder_has_and_names_the_rest(
    desk: Desk, names: list[str], tmp_path: Path
) -> None:
    desk.ok("lock", *names)
    for some in (names, names[:2], []):
        folder, cache = tmp_path / f"some{len(some)}", str(tmp_path / f"cache{len(some)}")
        folder.mkdir()
        for name in some:
            shutil.copy(desk.index.folder / f"{name}-1.0-py3-none-any.whl", folder)
        line = ["sync", "--frozen", "--offline", "--find-links", str(folder), "-p", f"env{len(some)}"]
        if some == names:
            desk.ok(*line, DATALOADER_CACHE_DIR=cache)
            continue
        error = desk.fails(3, "offline-missing", *line, DATALOADER_CACHE_DIR=cache)
        assert error["causes"] == [f"{name}-1.0-py3-none-any.whl" for name in names if name not in some]


def test_a_file_of_the_right_name_and_another_content_is_not_taken(
    desk: Desk, names: list[str], tmp_path: Path
) -> None:
    desk.ok("lock", names[0])
    make_wheel(tmp_path / "false", names[0], "1.0", files={"other.py": "\n"})
    line = ["sync", "--frozen", "--offline", "--find-links", str(tmp_path / "false"), "-p", "env"]
    desk.fails(3, "offline-missing", *line, DATALOADER_CACHE_DIR=str(tmp_path / "fresh"))
    assert not (desk.here / "env").exists()


def test_a_lock_is_made_of_a_folder_and_says_what_it_lacks(desk: Desk, names: list[str]) -> None:
    requests = desk.index.count()
    line = ["lock", "--offline", "--find-links", str(desk.index.folder)]
    assert [p["name"] for p in desk.json(*line, *names)["packages"]] == names
    desk.fails(3, "offline-missing", *line, names[0], "nowhere")
    assert desk.index.count() == requests


def test_a_mirror_that_is_a_folder_gives_conda_packages(desk: Desk, tmp_path: Path) -> None:
    channel = tmp_path / "channel"
    make_conda_package(channel, "alpha", "1.0", files={"share/alpha": "1"})
    index_channel(channel)
    far = "https://far.invalid/channel"
    places = ["-c", far, "--mirror", f"{far}={channel.as_uri()}"]
    desk.ok("lock", "conda:alpha", *places, DATALOADER_CONDA="auto")
    line = ["sync", "--frozen", "--offline", "-p", "env", *places[2:]]
    desk.ok(*line, DATALOADER_CACHE_DIR=str(tmp_path / "fresh"))
    assert (desk.here / "env" / "share" / "alpha").read_text() == "1"
