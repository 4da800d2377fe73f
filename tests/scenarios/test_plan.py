"""Runs tests/scenarios/plan/*.toml: a stack, a refusal, or what the rules say of packages, for request and targets."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from dataloader.compat.matrix import Matrix, load_matrix
from dataloader.compat.model import StackNeeds
from dataloader.compat.rows import WorldOrAny
from dataloader.machine.target import Gpu, Target
from dataloader.stack import Stack, StackRequest, iter_stacks
from dataloader.stack.explain import StackFailure
from dataloader.stack.gate import Gate, Held
from dataloader.stack.problem import needs_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).with_name("plan")
SCENARIOS = sorted(FOLDER.glob("*.toml"))


@pytest.fixture(scope="module")
def matrix() -> Matrix:
    return load_matrix()


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_plan_scenario(path: Path, matrix: Matrix) -> None:
    scenario = tomllib.loads(path.read_text(encoding="utf-8"))
    request, targets = _request(scenario["request"]), _targets(scenario.get("target", [{"glibc": "2.36"}]))
    expected = dict(scenario["expected"])

    if expected.pop("refused", False):
        _check_refusal(matrix, request, targets, expected)
        return
    stacks = list(islice(iter_stacks(matrix, request, *targets), len(expected.get("versions", [])) or 1))
    _check_stack(matrix, stacks, needs_of(matrix, request, targets, planned=stacks[0]), expected)
    if "packages" in scenario:
        found = [package for text in scenario["packages"].items() for package in _packages(*text)]
        channel = (*request.channels, "")[0]
        held = [Held(one.name.removeprefix("conda:"), one.version, one.world, one.build, channel) for one in found]
        broken = {each.rule for each in Gate(matrix, request, targets, held).violations()}
        libraries = {rule for rule in broken if rule.endswith("-libraries")}  # most scenarios name none
        assert broken - libraries == set(expected["broken"]) - libraries


def test_half_of_the_scenarios_are_refusals() -> None:
    texts = [path.read_text(encoding="utf-8") for path in SCENARIOS]
    refusals = [text for text in texts if "refused = true" in text or re.search(r'broken = \["', text)]

    assert len(texts) >= 60
    assert len(refusals) >= len(texts) // 2


def _check_stack(matrix: Matrix, stacks: list[Stack], needs: StackNeeds, expected: Mapping[str, Any]) -> None:
    stack = stacks[0]
    rows = [row for build in stack.builds for row in build.rows]
    variants = [v for row in rows for each in needs.variants.values() for v in each if v.id == row.id]
    rules = [*needs.rules, *(rule for variant in variants for rule in variant.rules)]
    assert {axis: stack.axes.get(axis) for axis in expected.get("axes", {})} == expected.get("axes", {})
    if "rows" in expected:
        assert [row.id for row in rows] == expected["rows"]
    if "versions" in expected:
        assert [one.builds[0].version for one in stacks] == expected["versions"]
    if "indexes" in expected:
        assert [matrix.indexes[r.channel].url_of(r.cuda) for r in rows if r.channel in matrix.indexes] == expected[
            "indexes"
        ]
    if "requirements" in expected:
        assert [f"{bound.package}{bound.specifier}" for bound in needs.hints] == expected["requirements"]
    components = {f"wheels-cuda-{stack.axes.get('cuda')}"}
    libraries = {
        f"{bound.package}{bound.specifier}"
        for rule in rules
        for bound in rule.then
        if rule.requires or rule.id in components
    }
    assert set(expected.get("libraries", ())) - libraries == set()
    assert set(expected.get("rules", ())) - {rule.id for rule in rules} == set()
    assert set(expected.get("reasons", ())) <= {reason.text for reason in stack.reasons}
    if "doubts" in expected:
        assert len(stack.doubts) == len(expected["doubts"])
        assert all(doubt in told.text for doubt, told in zip(expected["doubts"], stack.doubts, strict=True))
    for warning in expected.get("warnings", ()):
        assert any(warning in text for text in stack.warnings)


def _check_refusal(
    matrix: Matrix, request: StackRequest, targets: tuple[Target, ...], expected: Mapping[str, Any]
) -> None:
    with pytest.raises(StackFailure) as failure:
        next(iter_stacks(matrix, request, *targets))

    causes = "\n".join(failure.value.causes)
    for cause in expected["causes"]:
        assert cause in causes
    repairs = failure.value.repairs
    for repair in repairs:
        again = next(iter_stacks(matrix, repair.request, *targets))
        assert dict(again.axes) == dict(repair.stack.axes)
    if "first" in expected:
        assert repairs
        assert repairs[0].text.startswith(expected["first"]), [repair.text for repair in repairs]
    for axis, value in expected.get("then", {}).items():
        assert repairs[0].stack.axes[axis] == value


def _request(table: Mapping[str, Any]) -> StackRequest:
    values = dict(table)
    if "worlds" in values:
        values["worlds"] = frozenset(values["worlds"])
    values["channels"] = tuple(values.get("channels", ()))
    values["frameworks"] = MappingProxyType(values.get("frameworks", {}))
    return StackRequest(**values)


def _targets(tables: list[dict[str, Any]]) -> tuple[Target, ...]:
    return tuple(Target(**{**table, "gpus": tuple(Gpu(**gpu) for gpu in table.get("gpus", ()))}) for table in tables)


@dataclass(frozen=True)
class _Package:
    name: str
    version: str
    build: str
    world: WorldOrAny


def _packages(name: str, text: str) -> Iterator[_Package]:
    """``torch = "2.1.0"`` is a wheel, ``"2.1.0@conda"`` a record, ``conda:NAME = "VERSION BUILD"`` one with a build."""
    version, _, build = text.partition(" ")
    version, _, world = version.partition("@")
    conda = world == "conda" or name.startswith("conda:")
    yield _Package(name, version, build, "conda" if conda else "pypi")
