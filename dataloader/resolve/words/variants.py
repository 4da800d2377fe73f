"""Variants of wheels (PEP 825) on a target: which fit it, which comes first, what their markers say. Pure.

Which properties there are, and what they mean, the PEP leaves to the namespaces. Known here are ``nvidia`` (bounds on
the CUDA of the driver, architectures of GPU code) and ``x86_64`` (levels of the processor), as the providers of those
names define them. A variant of any other property is for nobody: that something fits must be known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from dataloader.base.values import dataclass
from dataloader.index.variants import Property, VariantsFile
from dataloader.machine.target import Target

NULL = "null"
"""The label of the variant that was built for nothing in particular."""
MOST = 24
"""Of the variants of one release that fit, as many are offered; the best."""

_NUMBERS = re.compile(r"\d+(?:\.\d+)*")
_ARCHITECTURE = re.compile(r"(\d+)(\d)([af]?)_(real|virtual)")
_LEVEL = re.compile(r"x86_64_v([1-4])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A variant that fits a target."""

    label: str
    properties: frozenset[Property]
    place: int
    """Of those that fit: higher is better, the null variant has 1, a wheel without a label would have 0."""


def variants_on(target: Target, described: VariantsFile) -> tuple[dict[str, Chosen], dict[str, str]]:
    """Return the variants that fit a target by label, and of the others why they do not."""
    fit: dict[str, list[Property]] = {}
    unfit: dict[str, str] = {}
    for label, properties in described.variants.items():
        best, why = _best_values(properties, described, target)
        if why:
            unfit[label] = why
        else:
            fit[label] = best
    order = sorted(fit, key=lambda label: (*_order(fit[label], described, target), label))[:MOST]
    return {
        label: Chosen(label=label, properties=described.variants[label], place=len(order) - place)
        for place, label in enumerate(order)
    }, unfit


def _best_values(
    properties: Iterable[Property], described: VariantsFile, target: Target
) -> tuple[list[Property], str | None]:
    """Return the best value of each feature, or why a variant does not fit (PEP 825, variant properties)."""
    by_feature: dict[tuple[str, str], list[str]] = {}
    for wanted in sorted(properties):
        by_feature.setdefault((wanted.namespace, wanted.feature), []).append(wanted.value)
    best = []
    for (namespace, feature), values in by_feature.items():
        if namespace not in described.namespaces:
            return [], f"{namespace} is not among the namespaces of its release"
        fitting = [value for value in values if value in _compatible(target, namespace, feature, tuple(values))]
        if not fitting:
            return [], f"{namespace} :: {feature} :: {', '.join(values)} {_why_not(target, namespace, feature)}"
        order = _value_order(described, target, namespace, feature, tuple(values))
        best.append(Property(namespace, feature, min(fitting, key=order.index)))
    return best, None


def _order(best: Iterable[Property], described: VariantsFile, target: Target) -> tuple[list[tuple[int, ...]], ...]:
    """Return what variants are ordered by: step 5 to 7 of PEP 825's variant ordering."""
    keys = []
    for known in best:
        features = [*described.features.get(known.namespace, ()), *_FEATURES.get(known.namespace, ())]
        all_values = sorted(
            {
                p.value
                for properties in described.variants.values()
                for p in properties
                if (p.namespace, p.feature) == known[:2]
            }
        )
        values = _value_order(described, target, known.namespace, known.feature, tuple(all_values))
        unsure = known.feature == "sm_arch" and not target.gpus  # what surely runs comes first
        namespace = len(described.namespaces) + 1 if unsure else described.namespaces.index(known.namespace)
        keys.append((namespace, features.index(known.feature), values.index(known.value)))
    # One that goes on where another one ends comes first.
    return ([*sorted(keys), (len(described.namespaces),)],)


def _value_order(
    described: VariantsFile, target: Target, namespace: str, feature: str, values: tuple[str, ...]
) -> list[str]:
    """Return values of a feature, best first: as the release says, then as the namespace has them."""
    return [*described.values.get((namespace, feature), ()), *_compatible(target, namespace, feature, values)]


_FEATURES: Mapping[str, tuple[str, ...]] = {
    "nvidia": ("cuda_version_lower_bound", "cuda_version_upper_bound", "sm_arch"),
    "x86_64": ("level",),
}
"""Namespace -> its features, most important first."""


@lru_cache(maxsize=1024)
def _compatible(target: Target, namespace: str, feature: str, values: tuple[str, ...]) -> list[str]:
    """Return those of a feature's values that fit a target, best first."""
    if feature not in _FEATURES.get(namespace, ()):
        return []
    if namespace == "x86_64":
        own = _LEVEL.fullmatch(target.archspec or "")
        level = int(own[1]) if own else 1
        found = [value for value in values if value in {f"v{number}" for number in range(1, level + 1)}]
        return sorted(found, reverse=True) if target.arch == "x86_64" else []
    if target.driver_cuda is None:
        return []
    if feature == "sm_arch":
        return _architectures(target, values)
    own_cuda = _numbers(target.driver_cuda)
    is_lower = feature == "cuda_version_lower_bound"
    bounds = [v for v in values if _NUMBERS.fullmatch(v) and (own_cuda >= _numbers(v)) == is_lower]
    return sorted(bounds, key=_numbers, reverse=is_lower)


def _architectures(target: Target, values: Iterable[str]) -> list[str]:
    """Return the architectures whose code each GPU of a target runs: binary code of its own major series, else PTX.

    Which GPUs there are may not be known; then any may be there.
    """
    capabilities = [_numbers(gpu.capability) for gpu in target.gpus]
    found = []
    for value in values:
        if match := _ARCHITECTURE.fullmatch(value):
            built, real = (int(match[1]), int(match[2])), match[4] == "real"
            of_series = real or match[3] == "f"
            runs = (own >= built and (own[0] == built[0] or not of_series) for own in capabilities)
            if all(runs) and (match[3] != "a" or all(own == built for own in capabilities)):  # for that one alone
                found.append(((real, built), value))
    return [value for _, value in sorted(found, reverse=True)]


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def _why_not(target: Target, namespace: str, feature: str) -> str:
    if feature not in _FEATURES.get(namespace, ()):
        return "is not known here"
    if namespace == "x86_64":
        return f"does not fit a processor of {target.archspec or target.arch}"
    if target.driver_cuda is None:
        return "needs an NVIDIA driver"
    if feature == "sm_arch":
        return f"does not run on {', '.join(f'{gpu.name} ({gpu.capability})' for gpu in target.gpus)}"
    return f"does not fit a driver for CUDA {target.driver_cuda}"


# markers

_SETS = ("variant_namespaces", "variant_features", "variant_properties")
_IN = re.compile(rf"""(?:"([^"]*)"|'([^']*)')\s+(not\s+in|in)\s+({"|".join(_SETS)})\b""")
_LABEL = re.compile(
    r"""\bvariant_label\s*(==|!=)\s*(?:"([^"]*)"|'([^']*)')|(?:"([^"]*)"|'([^']*)')\s*(==|!=)\s*variant_label\b"""
)
_YES, _NO = "python_version >= '0'", "python_version < '0'"


def without_variant_markers(requirement: str, variant: Chosen | None) -> str:
    """Return a ``Requires-Dist`` in which what markers say of the wheel's own variant is settled.

    >>> without_variant_markers('a; "nvidia" in variant_namespaces and extra == "x"', None)
    'a; python_version < \'0\' and extra == "x"'
    """
    if "variant_" not in requirement:
        return requirement
    label, properties = (variant.label, variant.properties) if variant else ("", frozenset[Property]())
    told = {
        "variant_namespaces": {p.namespace for p in properties},
        "variant_features": {f"{p.namespace}::{p.feature}" for p in properties},
        "variant_properties": {"::".join(p) for p in properties},
    }

    def of_sets(found: re.Match[str]) -> str:
        named = re.sub(r"\s*::\s*", "::", (found[1] if found[1] is not None else found[2]).strip())
        return _YES if (named in told[found[4]]) == (found[3] == "in") else _NO

    def of_label(found: re.Match[str]) -> str:
        named = next(text for text in (found[2], found[3], found[4], found[5]) if text is not None)
        return _YES if (named == label) == ((found[1] or found[6]) == "==") else _NO

    return _LABEL.sub(of_label, _IN.sub(of_sets, requirement))


def settled(requirements: Iterable[str], variant: Chosen | None) -> Iterator[str]:
    """Yield what a wheel of a variant requires."""
    for requirement in requirements:
        yield without_variant_markers(requirement, variant)
