"""Releases that options or machines exclude whatever else is chosen, by what they are compiled for. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from dataloader.compat.axes import NEVER

if TYPE_CHECKING:
    from dataloader.compat.model import Rule
    from dataloader.resolve.words.rules import RuleBook
    from dataloader.resolve.words.versions import VersionSpace


class RuledOut:
    """Judges releases by what they say themselves, and by what their wheels can be taken for."""

    def __init__(self, book: RuleBook, space: Callable[[str], VersionSpace]) -> None:
        """``space`` gives the values of an axis."""
        self._book, self._space = book, space

    def is_out(self, project: str, version: str) -> bool:
        """Say whether a release is excluded."""
        if not self._book.needs.allowed or project not in self._book.triggers:
            return False
        if any(self._excludes(rule) for rule in self._book.read(project, version)):
            return True
        taken = self._book.wheel(project, version, "")
        return all(any(self._excludes(rule) for rule in taken_for.rules) for taken_for in taken)

    def why(self, project: str, version: str) -> str:
        """Say why a release is excluded: what it is of, and who excludes that."""
        taken = self._book.wheel(project, version, "")
        rules = [*self._book.read(project, version), *(rule for taken_for in taken for rule in taken_for.rules)]
        excluding = next((rule for rule in rules if self._excludes(rule)), None)
        return "; ".join(dict.fromkeys((excluding.why, *self._against(excluding)))) if excluding else ""

    def _excludes(self, rule: Rule) -> bool:
        allowed = self._book.needs.allowed
        bounds = (bound for bound in rule.then if bound.package in allowed)
        return any(not self._space(b.package).admitted(b.specifier) & allowed[b.package] for b in bounds)

    def _against(self, rule: Rule) -> Iterator[str]:
        """Yield what leaves none of the values that a rule asks for."""
        for bound in rule.then:
            if bound.package not in self._book.needs.allowed:
                continue
            wanted = self._space(bound.package).admitted(bound.specifier)
            for other in self._book.needs.rules:
                if other.when is None:
                    said = [b for b in other.then if b.package == bound.package]
                    against = any(not self._space(b.package).admitted(b.specifier) & wanted for b in said)
                elif other.when.package == bound.package:
                    never = any(b.package == NEVER for b in other.then)
                    against = never and bool(self._space(bound.package).admitted(other.when.specifier) & wanted)
                else:
                    against = False
                if against:
                    yield other.why
