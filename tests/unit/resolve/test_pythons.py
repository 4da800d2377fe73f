"""Markers and Requires-Python as sets of Pythons."""

from __future__ import annotations

import pytest

from dataloader.machine.target import Target
from dataloader.resolve.words.pythons import InvalidMarker, Pythons, extras_named

PYTHONS = Pythons(["3.9.18", "3.10.13", "3.11.7", "3.12.0", "3.12.1"], Target(glibc="2.36", kernel="5.10"))


@pytest.mark.parametrize(
    ("marker", "held"),
    [
        ("python_version < '3.11'", {"3.9.18", "3.10.13"}),
        ("python_version >= '3.10' and python_version < '3.12'", {"3.10.13", "3.11.7"}),
        ("python_full_version > '3.12.0'", {"3.12.1"}),
        ("sys_platform == 'win32'", set()),
        ("platform_machine == 'x86_64' and os_name == 'posix'", set(PYTHONS.all)),
        ("implementation_name == 'pypy' or python_version == '3.9'", {"3.9.18"}),
        ("extra == 'gpu'", set()),
    ],
)
def test_a_marker_is_the_set_of_pythons_it_holds_on(marker: str, held: set[str]) -> None:
    assert PYTHONS.where(marker) == held


def test_an_extra_switches_its_marker_on() -> None:
    assert PYTHONS.where("extra == 'gpu' and python_version < '3.10'", "gpu") == {"3.9.18"}
    assert extras_named("extra == 'gpu' and python_version < '3.10'") == {"gpu"}


def test_requires_python_that_nobody_can_read_bounds_nothing() -> None:
    assert PYTHONS.required(">=3.10") == {"3.10.13", "3.11.7", "3.12.0", "3.12.1"}
    assert PYTHONS.required("~> 3") == PYTHONS.all


def test_a_marker_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidMarker):
        PYTHONS.where("python_version is 3")
