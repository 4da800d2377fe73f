"""A refusal over a version that cannot be had says what there is of just that: by whomever it is asked for."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet

from dataloader.base.errors import DataloaderError
from tests.helpers.worlds import examples
from tests.scenarios.test_resolve import DictIndex, make_problem, solve

KINDS = {
    "wheel": "lib-{}-py3-none-any.whl",
    "source": "lib-{}.tar.gz",
    "other": "lib-{}-cp33-cp33m-manylinux_2_17_x86_64.whl",
}
VERSIONS = [f"{major}.{minor}" for major in range(1, 4) for minor in range(2)]
SAID = re.compile(r"\b\d\.\d\b")


def _scenario(asked_by: str, specifier: str) -> dict[str, Any]:
    """The scenario in which a specifier of lib is said by the command, under a marker, by the stack or by a package."""
    if asked_by == "the stack":
        bound = {"package": "lib", "specifier": specifier}
        return {"needs": [bound], "wheels": []}
    if asked_by == "a package":
        wheel = {"file": "app-1.0-py3-none-any.whl", "requires": [f"lib{specifier}"]}
        return {"requirements": ["app"], "wheels": [wheel]}
    marker = ' ; python_version >= "3"' if asked_by == "a marker" else ""
    return {"requirements": [f"lib{specifier}{marker}"], "wheels": []}


@examples(30)
@given(
    st.sampled_from(["the command", "a marker", "the stack", "a package"]),
    st.dictionaries(st.sampled_from(VERSIONS), st.sampled_from(sorted(KINDS)), min_size=1),
    st.sampled_from([">=2", ">=3.1", "==1.0", "<2", ">=9", "==1.1,!=2.0"]),
)
def test_what_is_said_to_be_there_is_what_was_asked_for_or_all(
    asked_by: str, files: dict[str, str], specifier: str
) -> None:
    scenario = _scenario(asked_by, specifier)
    scenario["wheels"] += [{"file": KINDS[kind].format(version)} for version, kind in files.items()]
    with tempfile.TemporaryDirectory() as folder:
        outcome = solve(make_problem(scenario, Path(folder)), DictIndex(scenario["wheels"]), Path(folder) / "cache")
    fitting = {version for version in files if SpecifierSet(specifier).contains(version)}
    usable = {version for version, kind in files.items() if kind == "wheel"}
    if fitting & usable:
        assert not isinstance(outcome, DataloaderError)
        return
    assert isinstance(outcome, DataloaderError)
    causes = [cause for cause in outcome.causes if not re.search("is asked for|requires|^the target", cause)]
    said = {version for cause in causes for version in SAID.findall(re.sub(r"Python [\d., ]+", "", cause))}
    if fitting:
        assert said <= fitting, outcome.causes
        assert "there is" in str(causes) or "has" in outcome.message or "offers" in str(causes)
    else:
        assert usable <= said, outcome.causes
        assert "there is only" not in str(causes), outcome.causes


@pytest.mark.parametrize("asked_by", ["a marker", "the stack"])
def test_a_version_that_nobody_has_is_not_told_by_other_versions_without_wheels(asked_by: str, tmp_path: Path) -> None:
    scenario = _scenario(asked_by, "==9")
    scenario["wheels"] += [{"file": KINDS["wheel"].format("3.0")}, {"file": KINDS["source"].format("1.0")}]
    outcome = solve(make_problem(scenario, tmp_path), DictIndex(scenario["wheels"]), tmp_path / "cache")
    assert isinstance(outcome, DataloaderError)
    assert "ere are: 3.0" in str(outcome.causes), outcome.causes
