"""What is typed comes as new as it would without a lock, and moves what it must."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.test_flow import Desk
from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_wheel


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """requests and idna as they were: before 2.16 requests carried its own."""
    shelf, here = tmp_path / "shelf", tmp_path / "here"
    here.mkdir()
    for version, needs in {"2.15.1": (), "2.19.1": ("idna<2.8",), "2.31.0": ("idna<4",)}.items():
        make_wheel(shelf, "requests", version, requires=needs, files={"requests.py": "\n"})
    for version in ("2.7", "3.7"):
        make_wheel(shelf, "idna", version, files={"idna.py": "\n"})
    make_wheel(shelf, "plugin", "1.0", files={"plugin.py": "\n"})
    make_wheel(shelf, "plugin", "2.0", requires=["host>=2"], files={"plugin.py": "\n"})
    for version in ("1.0", "2.0"):
        make_wheel(shelf, "host", version, files={"host.py": "\n"})
    with IndexServer(shelf) as index:
        yield Desk(here, index)


@pytest.mark.parametrize(
    ("before", "typed", "after"),
    [
        ("requests", "requests<2.20", {"requests": "2.19.1", "idna": "2.7"}),
        ("idna", "requests<2.20", {"requests": "2.19.1", "idna": "2.7"}),
        ("host<2", "plugin", {"host": "1.0", "plugin": "1.0"}),  # host is asked for so
        ("requests<2.20", "plugin", {"requests": "2.19.1", "idna": "2.7", "plugin": "2.0", "host": "2.0"}),
        ("requests<2.20", "requests", {"requests": "2.19.1", "idna": "2.7"}),  # locked, and it fits
        ("idna<3", "requests", {"requests": "2.31.0", "idna": "2.7"}),
    ],
)
def test_what_is_typed_is_new(before: str, typed: str, after: dict[str, str], desk: Desk) -> None:
    desk.ok("install", before)
    document = desk.json("install", typed)
    assert {p["name"]: p["version"] for p in document["packages"]} == after


def test_what_is_asked_for_under_any_version_moves_for_what_is_typed(desk: Desk) -> None:
    (desk.here / "dataloader.toml").write_text('[workspace]\nchannels = []\n[pypi-dependencies]\nhost = "<2"\n')
    desk.ok("lock")
    (desk.here / "dataloader.toml").write_text('[workspace]\nchannels = []\n[pypi-dependencies]\nhost = "*"\n')
    document = desk.json("install", "plugin")
    assert {p["name"]: p["version"] for p in document["packages"]} == {"host": "2.0", "plugin": "2.0"}
