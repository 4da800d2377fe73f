"""Limits of builds: what is said, by whom, and in which units."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataloader.base.errors import UsageError
from dataloader.build.limits import limits_of, read_limit


def test_a_variable_is_of_the_machine_and_wins() -> None:
    found = limits_of({"timeout": "2h", "memory": "1GiB", "jobs": "3"}, {"DATALOADER_BUILD_JOBS": "7"})

    assert (found.seconds, found.memory, found.jobs) == (7200, 1 << 30, 7)


def test_where_nothing_is_said_no_more_compilers_run_than_fit_into_memory() -> None:
    assert limits_of({"memory": "3GiB"}, {}).jobs == 1
    assert limits_of({}, {}).jobs >= 1


@given(st.integers(1, 10_000), st.sampled_from(["", "s", "m", "h"]))
def test_times_are_read(number: int, unit: str) -> None:
    assert read_limit("timeout", f"{number}{unit}", "x") == number * {"": 1, "s": 1, "m": 60, "h": 3600}[unit]


@pytest.mark.parametrize(
    ("key", "text"),
    [("timeout", "soon"), ("timeout", "0"), ("timeout", "-1h"), ("memory", "8 apples"), ("jobs", "0"), ("jobs", "1.5")],
)
def test_what_is_no_limit_is_refused_where_it_stands(key: str, text: str) -> None:
    with pytest.raises(UsageError, match="DATALOADER_BUILD_") as caught:
        limits_of({}, {f"DATALOADER_BUILD_{key.upper()}": text})
    assert caught.value.code == "setting-invalid"
