"""What several files of tests begin with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.test_flow import Desk
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
