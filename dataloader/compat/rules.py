"""The rows of table ``rule`` as rules of the package problem. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from dataloader.compat.axes import on_cuda
from dataloader.compat.matrix import Matrix
from dataloader.compat.model import AXIS, Bound, Rule
from dataloader.compat.rows import PackageRule, WorldOrAny

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*", re.ASCII)


def table_rules(matrix: Matrix) -> Iterator[Rule]:
    """Yield the rules of table ``rule``."""
    for row in matrix.rules:
        yield from beside_cuda(rule_of(row), row.cuda) if row.cuda else (rule_of(row),)


def table_switches(matrix: Matrix) -> dict[str, tuple[str, ...]]:
    """Return the switches of those rows that hold beside some CUDA alone."""
    return dict(switch_of(row.id) for row in matrix.rules if row.cuda)


def beside_cuda(rule: Rule, cuda: str) -> Iterator[Rule]:
    """Yield what makes a rule hold beside the CUDA of a specifier alone.

    An implication has one trigger: both what triggers the rule and the CUDA set its switch (``switch_of``), ``0`` where
    the rule holds, ``1`` where it need not.
    """
    switch, _ = switch_of(rule.id)
    on = Bound(package=switch, specifier="==0")
    yield replace(rule, then=(Bound(package=switch),), requires=True)
    yield replace(rule, when=on_cuda(cuda), then=(on,), requires=False)
    yield replace(rule, when=on)


def switch_of(identifier: str) -> tuple[str, tuple[str, ...]]:
    """Return the axis that is the switch of a rule, and its values."""
    return f"{AXIS}rule.{re.sub('[^a-z0-9.-]', '-', identifier.lower())}", ("0", "1")


def rule_of(row: PackageRule) -> Rule:
    """Return a row of table ``rule`` that holds beside any CUDA as a rule of the problem."""
    return Rule(id=row.id, when=_when(row), then=_then(row), requires=row.requires, why=row.why, source=row.source)


def _when(row: PackageRule) -> Bound | None:
    return _narrowed(parse_bound(row.when), row.world) if row.when else None


def _then(row: PackageRule) -> tuple[Bound, ...]:
    return tuple(parse_bound(text) for text in row.then)


def parse_bound(text: str) -> Bound:
    """Read ``numpy<2`` or ``conda:NAME [SPEC [BUILD]]``.

    >>> parse_bound("numpy<2").specifier, parse_bound("conda:libtorch 2.1.* cuda118*").build
    ('<2', 'cuda118*')
    """
    if text.startswith("conda:"):
        name, specifier, build = (*text.split(), "", "")[:3]
        return Bound(package=name, specifier="" if specifier == "*" else specifier, build=build, world="conda")
    found = _NAME.match(text)
    assert found, text
    return Bound(package=found[0], specifier=text[found.end() :].strip())


def _narrowed(bound: Bound, world: WorldOrAny) -> Bound:
    if world == "any" or bound.world != "any":
        return bound
    return Bound(package=bound.package, specifier=bound.specifier, build=bound.build, world=world)
