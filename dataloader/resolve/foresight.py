"""What a problem makes certain before anything is solved, so that reading ahead reads the right things. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from packaging.specifiers import SpecifierSet

from dataloader.compat.model import Bound
from dataloader.resolve.model import Problem


def exact_pins(problem: Problem) -> dict[str, str]:
    """Return the projects of which one version alone is asked for."""
    pins = {r.name: r.specifier for r in problem.requirements}
    pins |= {b.package: b.specifier for b in (*problem.needs.hints, *problem.needs.requirements) if b.specifier}
    return {name: specifier[2:] for name, specifier in pins.items() if re.fullmatch(r"==[\w.+!]+", specifier)}


def foreseeable(problem: Problem) -> Iterator[Bound]:
    """Yield the bounds that are certain, or as good: what is asked for or planned, and what rules say of exact pins."""
    yield from problem.needs.requirements
    yield from problem.needs.hints
    exact = exact_pins(problem)
    for rule in problem.rules:
        version = exact.get(rule.when.package) if rule.when is not None and rule.when.world != "conda" else None
        if rule.when and version and SpecifierSet(rule.when.specifier).contains(version, prereleases=True):
            yield from (bound for bound in rule.then if not bound.package.startswith("conda:"))
