"""What many builds want alike is one line, and a refusal is at most a screen."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataloader.base.errors import DataloaderError
from dataloader.resolve.refused.likewise import Likewise, likewise
from tests.scenarios.test_resolve import DictIndex, make_problem, solve

VERSIONS = ("1.12.1", "1.13.1", "2.0.0", "2.1.0", "2.3.1")
CUDAS = ("110", "111", "112", "118")


def told(scenario: dict[str, object], folder: Path) -> tuple[str, ...]:
    outcome = solve(make_problem(scenario, folder), DictIndex([]), folder / "cache")
    assert isinstance(outcome, DataloaderError), outcome
    return outcome.causes


@pytest.mark.parametrize("versions", [VERSIONS, VERSIONS[:1]], ids=["several", "one"])
def test_builds_that_want_one_build_each_are_told_together(versions: tuple[str, ...], tmp_path: Path) -> None:
    wants = [
        {"record": f"wrap={v}=cuda{cuda}_{k}", "depends": [f"core {v} cuda{cuda}*_{k}"]}
        for v in versions
        for cuda in CUDAS
        for k in range(3)
    ]
    there = [{"record": f"core={v}=cpu_{k}"} for v in versions for k in range(3)]
    python = [{"record": "python=3.11.9=h_0"}]

    causes = told({"channels": {"ch": [*wants, *there, *python]}, "conda": ["wrap"]}, tmp_path)

    assert len(causes) == 3, causes
    assert "cuda110*_2" in causes[1]
    assert "and 8 more" in causes[1]
    assert ("of their own version" if len(versions) > 1 else versions[0]) in causes[1]
    assert all(f"{v} cpu_2" in causes[2] and f"{v} cpu_1" not in causes[2] for v in versions), causes[2]


def test_a_long_chain_fits_on_a_screen(tmp_path: Path) -> None:
    length = 40
    chain = [{"record": f"link{n}=1.0=h_0", "depends": [f"link{n + 1} 1.0"]} for n in range(length)]
    records = [*chain, {"record": f"link{length}=2.0=h_0"}, {"record": "python=3.11.9=h_0"}]

    causes = told({"channels": {"ch": records}, "conda": ["link0"]}, tmp_path)

    assert len(causes) < 24, causes
    assert any("link0 1.0 requires link1 1.0" in cause for cause in causes)
    assert any(f"link{length}:" in cause and "2.0" in cause for cause in causes), causes


def test_what_differs_in_more_than_a_build_stays_apart() -> None:
    said: dict[str, Likewise] = {}
    for version, text in (
        ("2.0", "requires core 2.0 cuda118*"),
        ("1.0", "requires core 2.0 cuda118*"),
        ("1.0", "requires core >=1"),
        ("0.9", "requires core >=1"),
        ("0.8", "has a wheel for Python 3.11"),
    ):
        likewise(said, version, text)

    assert [str(one) for one in said.values()] == [
        "2.0 requires core 2.0 cuda118*",
        "1.0 requires core 2.0 cuda118*",
        "1.0, 0.9 require core >=1",
        "0.8 has a wheel for Python 3.11",
    ]
