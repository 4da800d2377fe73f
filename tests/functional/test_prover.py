"""A process of its own proves a tree: it says what this one would, and nothing is lost where it is lost."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dataloader.base.digests import hex_digest
from dataloader.elf.cache import FactsCache
from dataloader.lockfile.model import Lockfile, PypiPackage
from dataloader.machine.detect import detect_target
from dataloader.trial import aside as prover
from dataloader.trial.aside import prepared
from dataloader.trial.judge import BuiltTree, Judgement, judge_tree
from tests.helpers.elf import make_library, needs_gcc
from tests.helpers.locks import lock_of
from tests.helpers.prefixes import SITE, make_prefix, register

pytestmark = needs_gcc

LIBRARY = f"{SITE}/pkg/libpkg.so"


def lock(tag: str) -> Lockfile:
    """Of one wheel of that tag."""
    url = f"https://index.test/pkg-1.0-{tag}.whl"
    return lock_of(PypiPackage(name="pkg", version="1.0", url=url, sha256="0" * 64))


@pytest.fixture
def question(tmp_path: Path) -> BuiltTree:
    """About a tree with one package, whose import opens a library that needs what nobody has."""
    tree = make_prefix(tmp_path / "env")
    gone = make_library(tmp_path / "libgone.so.1", soname="libgone.so.1")
    make_library(tree / LIBRARY, needs=[gone])
    code = "import ctypes, os\nctypes.CDLL(os.path.join(os.path.dirname(__file__), 'libpkg.so'))\n"
    register(tree, "pkg", "1.0", paths=["pkg/libpkg.so"], files={"pkg/__init__.py": code})
    libraries = {LIBRARY: hex_digest(tree / LIBRARY)}
    return BuiltTree(tree, lock("py3-none-linux_x86_64"), [detect_target()], tmp_path / "facts", libraries)


def children() -> list[int]:
    return [int(each) for each in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


@pytest.fixture
def not_here(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[BuiltTree]]:
    """What this process was asked to judge."""
    asked: list[BuiltTree] = []

    def judge(question: BuiltTree) -> Judgement:
        asked.append(question)
        return judge_tree(question)

    monkeypatch.setattr(prover, "judge_tree", judge)
    return lambda: asked


def test_another_process_says_what_this_one_would(question: BuiltTree, not_here: Callable[[], list[BuiltTree]]) -> None:
    expected = judge_tree(question)
    assert [each.kind for each in expected.rest] == ["missing-library"]
    before = children()

    with prepared(question.lock) as judge:
        judge.foresee({str(question.tree / LIBRARY): question.libraries[LIBRARY]}, question.facts)
        found = judge.judge(question)
        again = judge.judge(question)

    assert found == again == expected
    assert not_here() == []
    assert children() == before


def test_what_a_tree_will_hold_is_read_ahead(question: BuiltTree, tmp_path: Path) -> None:
    facts = tmp_path / "ahead"
    with prepared(question.lock) as judge:
        judge.foresee({str(question.tree / LIBRARY): question.libraries[LIBRARY]}, facts)

    read = FactsCache(facts).load_facts(question.libraries[LIBRARY])
    assert read is not None
    assert read.needed[:1] == ("libgone.so.1",)


@pytest.mark.parametrize("when", ["before it is told", "before it is asked"])
def test_where_it_is_lost_this_process_judges(
    question: BuiltTree, not_here: Callable[[], list[BuiltTree]], when: str
) -> None:
    def lose() -> None:
        judge._process.kill()  # type: ignore[attr-defined]
        judge._process.wait()  # type: ignore[attr-defined]

    with prepared(question.lock) as judge:
        if when == "before it is told":
            lose()
        judge.foresee({str(question.tree / LIBRARY): question.libraries[LIBRARY]}, question.facts)
        if when == "before it is asked":
            lose()
        found = judge.judge(question)

    assert found == judge_tree(question)
    assert not_here() == [question]


def test_what_it_cannot_judge_this_process_fails_at(question: BuiltTree) -> None:
    (question.tree / ".dataloader").mkdir()
    (question.tree / ".dataloader" / "activation.json").write_text("[")

    with prepared(question.lock) as judge, pytest.raises(Exception, match=r".") as here:
        judge.judge(question)
    with pytest.raises(type(here.value), match=r"."):
        judge_tree(question)


def test_python_alone_takes_no_process(question: BuiltTree, not_here: Callable[[], list[BuiltTree]]) -> None:
    before = children()

    with prepared(lock("py3-none-any")) as judge:
        assert children() == before
        judge.foresee({}, question.facts)
        assert judge.judge(question) == judge_tree(question)  # what has libraries nevertheless
        assert len(not_here()) == 1
        (question.tree / LIBRARY).unlink()
        assert judge.judge(question) == Judgement((), ())
