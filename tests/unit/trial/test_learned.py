"""Contradictions: when they count, what rule they are, and that the cache gives back what it was given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dataloader.base.reporter import Reporter
from dataloader.compat.model import Bound
from dataloader.lockfile.model import PypiPackage
from dataloader.machine.target import Gpu, Target
from dataloader.trial.memory import Learned
from dataloader.trial.model import Artefact, Contradiction, exclusion, from_dict, rules_of, to_dict
from dataloader.trial.proofs import Proofs, proof_key
from tests.helpers.locks import lock_of

FAST = Artefact(kind="pypi", name="fast", version="2.0", sha256="a" * 64)
ENGINE = Artefact(kind="pypi", name="engine", version="1.0", sha256="b" * 64)
BLAS = Artefact(kind="conda", name="blas", version="3", sha256="c" * 64)
PAIR = exclusion(FAST, ENGINE, "undefined-symbol", "fast 2.0 needs what engine 1.0 does not define")


def test_a_pair_is_a_rule_on_the_first_file_that_excludes_the_second_version() -> None:
    rule = PAIR.rule()

    assert rule.when == Bound(package="fast", specifier="==2.0", world="pypi", sha256="a" * 64)
    assert rule.then == (Bound(package="engine", specifier="!=1.0", world="pypi"),)


def test_each_of_several_facts_of_one_file_has_a_name_of_its_own() -> None:
    other = exclusion(FAST, replace(ENGINE, version="1.1"), "undefined-symbol", PAIR.why)

    assert len({each.rule().id for each in (PAIR, other, from_dict(to_dict(PAIR)))}) == 2


@pytest.mark.parametrize(("first", "second"), [(FAST, BLAS), (BLAS, FAST)])
def test_of_two_worlds_the_rule_hangs_on_the_conda_build(first: Artefact, second: Artefact) -> None:
    rule = exclusion(first, second, "clobbered-path", "").rule()

    assert rule.when is not None
    assert (rule.when.package, rule.when.sha256) == ("conda:blas", "c" * 64)
    assert [bound.package for bound in rule.then] == ["fast"]


def test_a_foreign_cuda_counts_beside_other_majors_alone() -> None:
    learned = rules_of([replace(PAIR, unless_cuda=("13",))], [Target()])

    (switch,) = learned.axes
    by_cuda = next(rule for rule in learned.rules if rule.when and rule.when.package == "axis:cuda")
    assert by_cuda.when is not None
    assert by_cuda.when.specifier == "!=13.*"
    assert [(bound.package, bound.specifier) for bound in by_cuda.then] == [(switch, "==0")]
    assert next(r for r in learned.rules if r.when and r.when.package == switch).then == PAIR.then


def test_what_lacks_gpu_code_counts_on_machines_with_such_a_gpu() -> None:
    old = Target(gpus=(Gpu(name="V100", capability="7.0"),))
    contradiction = replace(PAIR, gpu="7.0")

    assert contradiction.counts([Target(), old])
    assert not contradiction.counts([Target()])


def test_values_survive_json() -> None:
    full = Contradiction(
        artefact=FAST, then=(Bound(package="numpy", specifier="<2"),), requires=True, unless_cuda=("11", "12"),
        gpu="9.0", lasting=False, kind="numpy-abi", why="because",
    )  # fmt: skip

    assert from_dict(to_dict(full)) == full


def test_what_lasts_is_found_by_another_process_and_through_a_layer(tmp_path: Path) -> None:
    passing = replace(PAIR, artefact=replace(FAST, sha256="d" * 64), lasting=False)
    learned = Learned(tmp_path / "cache")

    assert learned.add([PAIR, passing]) == (PAIR, passing)
    assert learned.add([PAIR]) == ()
    assert set(learned.contradictions()) == {PAIR, passing}
    assert Learned(tmp_path / "cache").contradictions() == (PAIR,)
    assert Learned(tmp_path / "other", [tmp_path / "cache"]).contradictions() == (PAIR,)


def test_two_facts_of_one_file_are_both_kept(tmp_path: Path) -> None:
    other = replace(PAIR, then=(Bound(package="numpy", specifier="<2"),))
    Learned(tmp_path).add([PAIR])
    Learned(tmp_path).add([other])

    assert set(Learned(tmp_path).contradictions()) == {PAIR, other}


@pytest.mark.parametrize("damage", [b"", b"[", b'{"a": 1}', b"[1]", b'[{"artefact": {}}]', b"\xff"])
def test_a_damaged_entry_counts_as_absent(tmp_path: Path, damage: bytes) -> None:
    Learned(tmp_path).add([PAIR])
    next(tmp_path.glob("learned-2/*/contradictions/*")).write_bytes(damage)

    assert Learned(tmp_path).contradictions() == ()
    assert Learned(tmp_path).add([PAIR]) == (PAIR,)
    assert Learned(tmp_path).contradictions() == (PAIR,)


def test_a_cache_that_cannot_be_written_still_teaches_this_process(tmp_path: Path) -> None:
    (tmp_path / "learned-2").write_text("in the way")
    learned = Learned(tmp_path)

    assert learned.add([PAIR]) == (PAIR,)
    assert learned.contradictions() == (PAIR,)


def test_a_proof_is_of_these_packages_on_this_kind_of_machine(tmp_path: Path) -> None:
    package = PypiPackage(name="fast", version="2.0", url="https://index.test/fast.whl", sha256="a" * 64)
    lock = lock_of(package, replace(package, name="slow"))
    key = proof_key(lock, None, "here")
    Proofs(tmp_path).add(key, Reporter())

    assert Proofs(tmp_path).has(key)
    assert Proofs(tmp_path / "other", [tmp_path]).has(key)
    assert not Proofs(tmp_path / "other").has(key)
    assert proof_key(replace(lock, inputs={"other": 1}), None, "here") == key
    assert proof_key(replace(lock, packages=lock.packages[1:]), None, "here") != key
    assert proof_key(lock, None, "there") != key
