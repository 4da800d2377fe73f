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
from dataloader.compat.model import Bound, Rule, StackNeeds
from dataloader.compat.rules import needs_of
from dataloader.compat.versions import admits
from dataloader.machine.target import Gpu, Target
from dataloader.resolve.rules import build_regex
from dataloader.stack import Stack, StackRequest, iter_stacks
from dataloader.stack.explain import StackFailure

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
    needs = needs_of(matrix, stacks[0], targets[0], request.worlds)
    _check_stack(stacks, needs, expected)
    if "packages" in scenario:
        found = [package for text in scenario["packages"].items() for package in _packages(*text)]
        assert [rule.id for rule in needs.rules if _is_broken(rule, found)] == expected["broken"]


def test_half_of_the_scenarios_are_refusals() -> None:
    texts = [path.read_text(encoding="utf-8") for path in SCENARIOS]
    refusals = [text for text in texts if "refused = true" in text or re.search(r'broken = \["', text)]

    assert len(texts) >= 60
    assert len(refusals) >= len(texts) // 2


def _check_stack(stacks: list[Stack], needs: StackNeeds, expected: Mapping[str, Any]) -> None:
    stack = stacks[0]
    assert {axis: stack.axes.get(axis) for axis in expected.get("axes", {})} == expected.get("axes", {})
    if "rows" in expected:
        assert [row.id for build in stack.builds for row in build.rows] == expected["rows"]
    if "versions" in expected:
        assert [one.builds[0].version for one in stacks] == expected["versions"]
    if "indexes" in expected:
        assert list(needs.indexes) == expected["indexes"]
    if "requirements" in expected:
        assert [f"{bound.package}{bound.specifier}" for bound in needs.requirements] == expected["requirements"]
    libraries = {f"{bound.package}{bound.specifier}" for rule in needs.rules if rule.requires for bound in rule.then}
    assert set(expected.get("libraries", ())) <= libraries
    assert set(expected.get("rules", ())) <= {rule.id for rule in needs.rules}
    assert set(expected.get("reasons", ())) <= {reason.text for reason in stack.reasons}
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
    world: str


def _packages(name: str, text: str) -> Iterator[_Package]:
    """``torch = "2.1.0"`` is a wheel, ``"2.1.0@conda"`` a record, ``conda:NAME = "VERSION BUILD"`` one with a build."""
    version, _, build = text.partition(" ")
    version, _, world = version.partition("@")
    yield _Package(name, version, build, world or ("conda" if name.startswith("conda:") else "pypi"))


def _is_broken(rule: Rule, packages: list[_Package]) -> bool:
    if rule.when is not None and not any(_within(package, rule.when) for package in packages):
        return False
    for bound in rule.then:
        present = [package for package in packages if package.name == bound.package]
        if any(not _within(package, bound) for package in present) or (rule.requires and not present):
            return True
    return False


def _within(package: _Package, bound: Bound) -> bool:
    if package.name != bound.package or bound.world not in ("any", package.world):
        return False
    if bound.leaves_out(package.version):
        return False
    if bound.build and package.world == "conda" and not re.fullmatch(build_regex(bound.build), package.build):
        return False
    if package.world == "conda" and bound.specifier and bound.specifier[0].isdigit():
        return admits(f"=={bound.specifier}", package.version)
    if "+" in bound.specifier:
        from packaging.specifiers import SpecifierSet

        return SpecifierSet(bound.specifier).contains(package.version)
    return admits(bound.specifier, package.version)
