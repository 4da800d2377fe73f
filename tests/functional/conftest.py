"""What several files of tests begin with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.test_flow import Desk
from tests.helpers.fixes import PROVOKED, listed, provoked, recorded
from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_wheel


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """An empty directory, and an index with one wheel; who needs more has a fixture of this name."""
    here = tmp_path / "here"
    here.mkdir()
    make_wheel(tmp_path / "shelf", "lib", "1.0", files={"lib.py": "\n"})
    with IndexServer(tmp_path / "shelf") as index:
        yield Desk(here, index)


@pytest.fixture(autouse=True, scope="session")
def _findings_are_looked_at() -> Iterator[None]:
    with recorded():
        yield


@pytest.fixture(autouse=True)
def _every_fix_is_of_a_form_that_is_run(_findings_are_looked_at: None) -> Iterator[None]:
    PROVOKED.clear()
    yield
    unknown = [f"{each.kind} | {each.fix} | " for each in sorted(provoked().keys() - listed().keys())]
    assert unknown == [], "no case of tests/data/fixes.txt runs what is advised here"
