"""Requirements of one project bind together, wherever and in whatever order they were said: packaging is the judge."""

from __future__ import annotations

import asyncio
import random
import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.requirements import Requirement as Pep508
from packaging.specifiers import SpecifierSet

from dataloader.base.errors import DataloaderError, ResolutionFailure
from dataloader.base.reporter import Reporter
from dataloader.cli.line.options import CommonOptions, StackFlags
from dataloader.locking.asking import requirements_of, said_in_several_places
from dataloader.machine.target import Target
from dataloader.request.request import Request, make_request
from dataloader.request.specs.joined import renewed, together, together_conda
from dataloader.request.specs.requirements import CondaRequirement, PypiRequirement
from dataloader.request.specs.spec import parse_conda, parse_spec
from dataloader.resolve.model import Problem
from dataloader.resolve.solve import resolve
from tests.helpers.examples import examples
from tests.scenarios.test_resolve import DictIndex

VERSIONS = ("1.0", "1.1", "1.2", "2.0", "2.1", "3.0")
CLAUSES = [f"{operator}{version}" for operator in (">=", "<", "<=", ">", "==", "!=") for version in VERSIONS]
PLACES = ("typed", "file", "nested", "constraint", "feature", "default")


class Saying(NamedTuple):
    """One requirement, and where it is said."""

    place: str
    clauses: tuple[str, ...]
    extras: tuple[str, ...]

    @property
    def text(self) -> str:
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        return f"demo{extras}{','.join(self.clauses)}"


sayings = st.lists(
    st.builds(
        Saying,
        st.sampled_from(PLACES),
        st.lists(st.sampled_from(CLAUSES), max_size=2).map(tuple),
        st.sets(st.sampled_from(["x", "y"])).map(lambda names: tuple(sorted(names))),
    ),
    min_size=1,
    max_size=5,
)


def asked(said: list[Saying], folder: Path, order: random.Random) -> Request:
    """Say it all, each in its place, in some order."""
    at = {place: [s.text for s in said if s.place == place] for place in PLACES}
    for texts in at.values():
        order.shuffle(texts)
    limits = [re.sub(r"\[.*\]", "", text) for text in at["constraint"]]
    (folder / "nested.txt").write_text("\n".join(at["nested"]))
    (folder / "limits.txt").write_text("\n".join(limits))
    lines = [*at["file"], "-r nested.txt", "-c limits.txt"]
    order.shuffle(lines)
    (folder / "top.txt").write_text("\n".join(lines))
    # What a command says takes the place of a line of the feature that it adds to; the lines of others stay.
    manifest = '[environments]\nall = ["home", "feature"]\n[feature.home.dependencies]\n'
    manifest += "[pypi-dependencies]\n" + _line(at["default"])
    manifest += "[feature.feature.pypi-dependencies]\n" + _line(at["feature"])
    (folder / "dataloader.toml").write_text(manifest)
    options = CommonOptions(requirements=(folder / "top.txt",), environment="all")
    return make_request(options, at["typed"], StackFlags(), environ={}, here=folder)


def _line(texts: list[str]) -> str:
    """A table holds one line for each project."""
    if not texts:
        return ""
    parsed = [Pep508(text) for text in texts]
    version = ",".join(str(r.specifier) for r in parsed if r.specifier) or "*"
    return f'demo = {{version = "{version}", extras = {sorted({e for r in parsed for e in r.extras})}}}\n'


def conjunction(said: list[Saying]) -> list[str]:
    """The versions that packaging admits under all that was said."""
    wanted = SpecifierSet(",".join(clause for one in said for clause in one.clauses))
    return [version for version in VERSIONS if version in wanted]


@settings(max_examples=examples(50), deadline=None)
@given(sayings, st.randoms(use_true_random=False))
def test_everything_said_binds_in_any_order(said: list[Saying], order: random.Random) -> None:
    with tempfile.TemporaryDirectory() as name:
        request = asked(said, Path(name), order)

    joined = together((*request.pypi, *request.constraints))
    extras = {extra for one in said if one.place != "constraint" for extra in one.extras}

    assert [v for v in VERSIONS if all(v in SpecifierSet(r.specifier) for r in joined)] == conjunction(said)
    assert {extra for one in joined for extra in one.extras} == extras


@settings(max_examples=40, deadline=None)
@given(sayings, st.randoms(use_true_random=False))
def test_the_solver_takes_the_newest_that_fits_all_or_names_each_place(
    said: list[Saying], order: random.Random
) -> None:
    with tempfile.TemporaryDirectory() as name:
        request = asked(said, Path(name), order)
    wheels = [{"file": f"demo-{version}-py3-none-any.whl", "extras": ["x", "y"]} for version in VERSIONS]
    problem = Problem(
        target=Target(platform="linux-64", arch="x86_64", glibc="2.31"),
        requirements=tuple(requirements_of(request)),
        host_pythons=("3.11.7",),
    )
    fitting = conjunction(said)

    if all(one.place == "constraint" for one in said):
        return  # nothing is asked for, so nothing contradicts
    solving = resolve(problem, DictIndex(wheels), Reporter())
    if fitting:
        assert [p.version for p in asyncio.run(solving).pypi] == fitting[-1:]
        return
    with pytest.raises(ResolutionFailure) as caught:
        asyncio.run(solving)
    failure = caught.value
    told = " ".join((failure.message, *failure.causes, *said_in_several_places(request, failure)))
    assert all(one.origin in told for one in request.pypi if one.specifier)


def pypi(text: str, origin: str = "the command line") -> PypiRequirement:
    requirement = parse_spec(text, origin=origin)
    assert isinstance(requirement, PypiRequirement)
    return requirement


def conda(text: str) -> CondaRequirement:
    return parse_conda(text)


@pytest.mark.parametrize(
    ("held", "typed", "listed", "becomes", "told"),
    [
        ([], ["a<2"], [], ["a<2"], ()),
        (["a<2"], ["a>3"], [], ["a>3"], ("a: >3 (the command line) takes the place of <2 (dataloader.toml:3)",)),
        (["a<2"], ["a"], [], ["a<2"], ("a stays at <2 (dataloader.toml:3)",)),
        (["a<2"], ["a[x]"], [], ["a[x]<2"], ("a stays at <2 (dataloader.toml:3)",)),
        (["a[x]<2"], ["a>3"], [], ["a[x]>3"], None),
        (["a"], ["a", "b"], [], ["a", "b"], ()),
        (["a<2"], [], ["a"], ["a"], ("a: any version (the command line) takes the place of <2 (dataloader.toml:3)",)),
        (["a<2"], ["a<2"], [], ["a<2"], ()),
        (["a<2"], ["a"], ["a>1"], ["a>1", "a"], None),
    ],
)  # fmt: skip
def test_what_a_command_says_takes_the_place_of_what_was_remembered(
    held: list[str], typed: list[str], listed: list[str], becomes: list[str], told: tuple[str, ...] | None
) -> None:
    found, notes = renewed(
        [pypi(text, "dataloader.toml:3") for text in held], [pypi(text) for text in typed], [pypi(t) for t in listed]
    )

    assert [str(one) for one in found] == becomes
    if told is not None:
        assert notes == told


def test_two_files_of_one_project_are_refused_with_both_places() -> None:
    said = [
        replace(pypi("a==1"), url="https://one.example/a-1-py3-none-any.whl", origin="a.txt:1"),
        replace(pypi("a==2"), url="https://one.example/a-2-py3-none-any.whl", origin="b.txt:4"),
    ]
    with pytest.raises(ResolutionFailure) as caught:
        together(said)
    assert [cause.partition(": ")[0] for cause in caught.value.causes] == ["a.txt:1", "b.txt:4"]


def test_hashes_of_one_project_have_to_agree() -> None:
    said = [
        replace(pypi("a"), hashes=hashes, origin=f"{hashes}") for hashes in (("sha256:1", "sha256:2"), ("sha256:2",))
    ]
    assert together(said)[0].hashes == ("sha256:2",)
    with pytest.raises(DataloaderError):
        together([*said, replace(pypi("a"), hashes=("sha256:3",))])


@pytest.mark.parametrize(
    ("specs", "joined"),
    [
        (["zlib <1.3", "zlib"], ["zlib[version='<1.3']"]),
        (["zlib <1.3|>2", "zlib >=1"], ["zlib[version='(<1.3|>2),>=1']"]),
        (["a=1=x*", "a"], ["a[version='1', build='x*']"]),
        (["a=*=x*", "a=*=y*"], ["a[build='x*']", "a[build='y*']"]),
        (["ch::a", "a >2"], ["ch::a[version='>2']"]),
    ],
)
def test_match_specs_of_one_package_join_where_one_can_say_both(specs: list[str], joined: list[str]) -> None:
    for order in (specs, specs[::-1]):
        assert [r.match_spec for r in together_conda(map(conda, order))] == joined


def test_a_joined_match_spec_reads_back_the_same() -> None:
    (joined,) = together_conda(map(conda, ["zlib <1.3|>2", "zlib >=1"]))
    assert conda(f"zlib {joined.version}").version == joined.version
