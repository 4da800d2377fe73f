"""A stale lock is a list of reasons."""

from __future__ import annotations

from dataloader.lockfile.check import check_lock, differences
from tests.unit.lockfile.test_yaml import LOCK


def reasons(**changes: object) -> list[str]:
    return [str(m) for m in check_lock(LOCK, {**LOCK.inputs, **changes})]


def test_the_same_inputs_give_no_reason() -> None:
    assert reasons() == []


def test_each_difference_is_a_reason_of_its_own() -> None:
    assert reasons(requirements=["torch==2.1.0", "numpy"], stack={"cuda": "12.1"}) == [
        "requirement numpy is new",
        "stack option cuda: was 11.8, is 12.1",
    ]


def test_what_is_gone_is_told_too() -> None:
    assert reasons(requirements=[], options={}) == [
        "option conda: was auto, is not set",
        "requirement torch==2.1.0 is gone",
    ]


def test_an_order_that_matters_is_compared() -> None:
    lock_channels = {"channels": ["a", "b"]}
    from dataclasses import replace

    lock = replace(LOCK, inputs=lock_channels)

    assert [str(m) for m in check_lock(lock, {"channels": ["b", "a"]})] == ["the order of each channel differs"]


def test_a_tree_is_told_of_without_its_digest() -> None:
    def told(old: dict[str, str], new: dict[str, str]) -> list[str]:
        return list(differences({"trees": old}, {"trees": new}))

    assert told({"a": "30d9"}, {"a": ""}) == ["the tree of a has no pyproject.toml, setup.py or setup.cfg"]
    assert told({"a": "30d9"}, {"b": "81e7"}) == ["the tree of a is gone", "the tree of b is new"]
    assert "30d9" not in "".join(told({"a": "30d9"}, {"a": "81e7"}))
