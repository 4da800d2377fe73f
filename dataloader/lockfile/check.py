"""Does a lock still fit what it was made from? The answer is a list of reasons. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dataloader.base.values import dataclass
from dataloader.lockfile.model import Lockfile


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """One reason why a lock is stale."""

    part: str
    """The part of the inputs that differs: ``requirements``, ``stack``, ``channels``, ..."""
    reason: str

    def __str__(self) -> str:
        return self.reason


_WORDS = {
    "requirements": "requirement",
    "conda": "conda requirement",
    "constraints": "constraint",
    "channels": "channel",
    "indexes": "package index",
    "find_links": "find-links location",
    "conda-constraints": "conda constraint",
    "variables": "variable",
    "stack": "stack option",
    "options": "option",
    "groups": "extra or group",
    "overrides": "override",
    "trees": "the tree of",
    "solve-group": "the environment",
}
_TOLD = {"project"}
"""Parts that say where the others come from, and bind nothing."""


def check_lock(lock: Lockfile, inputs: Mapping[str, object]) -> tuple[Mismatch, ...]:
    """Compare what the lock was made from with what would be locked now; empty when they agree."""
    return tuple(_mismatches(lock.inputs, inputs))


def differences(one: Mapping[str, object], other: Mapping[str, object]) -> tuple[str, ...]:
    """Return what differs between what two locks would be made from, as sentences."""
    return tuple(mismatch.reason for mismatch in _mismatches(one, other))


def _mismatches(one: Mapping[str, object], other: Mapping[str, object]) -> Iterator[Mismatch]:
    for part in sorted({*one, *other}):
        yield from _compare(part, one.get(part), other.get(part))


def _compare(part: str, old: object, new: object) -> list[Mismatch]:
    if old == new or part in _TOLD:
        return []
    word = _WORDS.get(part, part)
    if isinstance(old, Mapping) or isinstance(new, Mapping):
        before = dict(old) if isinstance(old, Mapping) else {}
        after = dict(new) if isinstance(new, Mapping) else {}
        told = {"trees": _of_tree, "solve-group": _of_mate}.get(part, _of_value)
        return [
            Mismatch(part=part, reason=told(f"{word} {key}", before.get(key), after.get(key)))
            for key in sorted({*before, *after})
            if before.get(key) != after.get(key)
        ]
    if isinstance(old, (list, tuple)) or isinstance(new, (list, tuple)):
        before_items, after_items = list(old or ()), list(new or ())  # type: ignore[call-overload]
        found = [
            Mismatch(part=part, reason=f"{word} {element} is new")
            for element in after_items
            if element not in before_items
        ]
        found += [
            Mismatch(part=part, reason=f"{word} {element} is gone")
            for element in before_items
            if element not in after_items
        ]
        return found or [Mismatch(part=part, reason=f"the order of each {word} differs")]
    return [Mismatch(part=part, reason=f"{word}: was {_show(old)}, is {_show(new)}")]


def _of_value(what: str, old: object, new: object) -> str:
    return f"{what}: was {_show(old)}, is {_show(new)}"


def _of_tree(what: str, old: object, new: object) -> str:
    """Tell of a digest, which is empty where nothing says what the project is, or there is no folder."""
    if new == "":
        return f"{what} has no pyproject.toml, setup.py or setup.cfg"
    if old is None or new is None:
        return f"{what} is {'new' if old is None else 'gone'}"
    return f"{what} says something else by now (pyproject.toml, setup.py, setup.cfg)"


def _of_mate(what: str, old: object, new: object) -> str:
    """Tell of a digest of what another environment of the solve-group asks for."""
    told = "is new" if old is None else "is gone" if new is None else "asks for something else by now"
    return f"{what} of the same solve-group {told}"


def _show(value: object) -> str:
    return "not set" if value is None else str(value) or "any"
