"""What is taken for newly asked, beside what an older lock holds."""

from __future__ import annotations

import pytest

from dataloader.machine.target import Target
from dataloader.resolve.model import Problem
from dataloader.resolve.stability import newly_asked


@pytest.mark.parametrize(
    "spec", ["numpy", "numpy>=2", "numpy[version='>=2']", "conda-forge::numpy", "conda-forge::numpy[build='py312*']"]
)
def test_a_conda_package_goes_by_its_name_however_it_is_asked_for(spec: str) -> None:
    problem = Problem(target=Target(), conda_specs=(spec, "python"))

    assert newly_asked(problem, ()) == ("numpy",)
    assert newly_asked(problem, ("numpy",)) == ()
