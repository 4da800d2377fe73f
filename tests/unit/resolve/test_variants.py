"""Variants of wheels, held against the algorithm of PEP 825 as it stands there; files of indexes; markers."""

from __future__ import annotations

import json
from functools import cmp_to_key

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.markers import Marker
from packaging.requirements import Requirement

from dataloader.base.errors import IndexUnavailable
from dataloader.index.variants import Property, VariantsFile, parse_variants
from dataloader.machine.target import Gpu, Target
from dataloader.resolve.words.variants import NULL, Chosen, variants_on, without_variant_markers

CUDAS = ["11.8", "12.6", "12.8", "13.0"]
PLACES = [("nvidia", "cuda_version_lower_bound"), ("nvidia", "cuda_version_upper_bound"), ("x86_64", "level")]
VALUES = {"nvidia": CUDAS, "x86_64": ["v1", "v2", "v3", "v4"]}


def properties() -> st.SearchStrategy[frozenset[Property]]:
    one = st.sampled_from(PLACES).flatmap(
        lambda place: st.sampled_from(VALUES[place[0]]).map(lambda value: Property(*place, value))
    )
    return st.frozensets(one, max_size=4)


@st.composite
def files(draw: st.DrawFn) -> VariantsFile:
    return VariantsFile(
        namespaces=tuple(draw(st.permutations(["nvidia", "x86_64"]))),
        features=draw(st.sampled_from([{}, {"nvidia": ("cuda_version_upper_bound",)}])),
        values=draw(st.sampled_from([{}, {("nvidia", "cuda_version_lower_bound"): ("12.6", "12.8")}])),
        variants={
            **draw(st.dictionaries(st.sampled_from("abcdef"), properties(), max_size=6)),
            **({NULL: frozenset[Property]()} if draw(st.booleans()) else {}),
        },
    )


TARGETS = st.builds(
    Target,
    platform=st.just("linux-64"),
    arch=st.just("x86_64"),
    driver_cuda=st.sampled_from([None, "12.6", "12.9", "13.0"]),
    archspec=st.sampled_from(["x86_64", "x86_64_v3", "x86_64_v4", None]),
)


def compatible(target: Target, namespace: str, feature: str) -> list[str]:
    """What the providers of these namespaces give, best first."""
    if namespace == "x86_64":
        own = int(target.archspec[-1]) if target.archspec and "_v" in target.archspec else 1
        return [f"v{level}" for level in range(own, 0, -1)]
    if target.driver_cuda is None:
        return []
    driver = float(target.driver_cuda)
    if feature == "cuda_version_lower_bound":
        return [cuda for cuda in reversed(CUDAS) if float(cuda) <= driver]
    return [cuda for cuda in CUDAS if float(cuda) > driver]


def order_of_the_pep(described: VariantsFile, target: Target) -> list[str]:
    """The labels that fit, best first: the pseudocode of PEP 825."""
    features = {
        name: list(dict.fromkeys([*described.features.get(name, ()), *(f for n, f in PLACES if n == name)]))
        for name in described.namespaces
    }
    values = {
        (n, f): list(dict.fromkeys([*described.values.get((n, f), ()), *compatible(target, n, f)])) for n, f in PLACES
    }
    best: dict[str, list[tuple[int, int, int]]] = {}
    for label, said in described.variants.items():
        by_feature: dict[tuple[str, str], list[str]] = {}
        for each in said:
            by_feature.setdefault(each[:2], []).append(each.value)
        fits = {place: [v for v in compatible(target, *place) if v in own] for place, own in by_feature.items()}
        if all(fits.values()):
            best[label] = sorted(
                (described.namespaces.index(n), features[n].index(f), min(values[n, f].index(v) for v in own))
                for (n, f), own in fits.items()
            )

    def compare(one: str, other: str) -> int:
        for mine, theirs in zip(best[one], best[other], strict=False):
            if mine != theirs:
                return -1 if mine < theirs else 1
        if len(best[one]) != len(best[other]):
            return len(best[other]) - len(best[one])
        return -1 if one < other else 1

    return sorted(best, key=cmp_to_key(compare))


@given(files(), TARGETS)
def test_variants_are_ordered_as_the_pep_does(described: VariantsFile, target: Target) -> None:
    fit, unfit = variants_on(target, described)

    assert sorted(fit, key=lambda label: -fit[label].place) == order_of_the_pep(described, target)
    assert fit.keys() | unfit.keys() == described.variants.keys()
    assert not fit.keys() & unfit.keys()


@pytest.mark.parametrize(
    ("gpus", "value", "runs"),
    [
        (["8.9"], "89_real", True),
        (["8.9"], "80_real", True),
        (["8.0"], "89_real", False),
        (["9.0"], "80_real", False),
        (["9.0"], "80_virtual", True),
        (["12.0"], "120_real", True),
        (["10.0"], "100a_real", True),
        (["10.3"], "100a_real", False),
        (["10.3"], "100f_virtual", True),
        (["12.0"], "100f_virtual", False),
        (["8.0", "9.0"], "80_real", False),
        (["8.0", "9.0"], "80_virtual", True),
        ([], "90_real", True),
        (["9.0"], "someday", False),
    ],
)
def test_code_for_an_architecture_is_for_each_gpu_of_a_target(gpus: list[str], value: str, runs: bool) -> None:
    variants = {"a": frozenset([Property("nvidia", "sm_arch", value)])}
    described = VariantsFile(namespaces=("nvidia",), features={}, values={}, variants=variants)
    target = Target(driver_cuda="13.0", gpus=tuple(Gpu(name="G", capability=each) for each in gpus))

    assert ("a" in variants_on(target, described)[0]) is runs


def test_where_gpus_are_not_known_what_surely_runs_comes_first() -> None:
    cuda = Property("nvidia", "cuda_version_lower_bound", "12.8")
    both = frozenset([cuda, Property("nvidia", "sm_arch", "90_real")])
    variants = {"sm": both, "all": frozenset([cuda]), NULL: frozenset[Property]()}
    described = VariantsFile(namespaces=("nvidia",), features={}, values={}, variants=variants)

    def order(target: Target) -> list[str]:
        fit = variants_on(target, described)[0]
        return sorted(fit, key=lambda label: -fit[label].place)

    assert order(Target(driver_cuda="12.9")) == ["all", "sm", NULL]
    assert order(Target(driver_cuda="12.9", gpus=(Gpu(name="H", capability="9.0"),))) == ["sm", "all", NULL]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"{", "does not describe variants"),
        (b"[]", "does not describe variants"),
        (b"[" * 100_000, "does not describe variants"),
        (b'{"default-priorities": {"namespace": "nvidia"}, "variants": {}}', "is no list of strings"),
        (b'{"default-priorities": {}, "variants": {}}', "namespace"),
        (b'{"$schema": "https://a/v2.0.0.json", "default-priorities": {"namespace": []}, "variants": {}}', "v2.0.0"),
    ],
)
def test_what_describes_no_variants_is_told(text: bytes, told: str) -> None:
    with pytest.raises(IndexUnavailable, match=r"a-1-variants\.json cannot be read") as caught:
        parse_variants(text, "https://i/a-1-variants.json")
    assert told in caught.value.message


def test_the_example_of_the_pep_is_read() -> None:
    document = {
        "$schema": "https://variants-schema.wheelnext.dev/v0.0.3.json",
        "default-priorities": {
            "namespace": ["x86_64", "aarch64", "blas_lapack"],
            "feature": {"blas_lapack": ["library"]},
            "property": {"blas_lapack": {"library": ["mkl", "openblas"]}},
        },
        "variants": {"x8664v3_openblas": {"blas_lapack": {"library": ["openblas"]}, "x86_64": {"level": ["v3"]}}},
    }
    read = parse_variants(json.dumps(document).encode(), "")

    assert read.variants["x8664v3_openblas"] == {
        Property("blas_lapack", "library", "openblas"),
        Property("x86_64", "level", "v3"),
    }
    assert variants_on(Target(archspec="x86_64_v4"), read) == (
        {},
        {"x8664v3_openblas": "blas_lapack :: library :: openblas is not known here"},
    )


MINE = Chosen(
    label="foobar", place=1, properties=frozenset([Property("foo", "bar", "baz"), Property("foo", "other", "1.0")])
)


@pytest.mark.parametrize(
    ("marker", "own", "plain"),
    [
        ('"foo" in variant_namespaces', True, False),
        ("'bar' not in variant_namespaces", True, True),
        ('"foo :: bar" in variant_features', True, False),
        ('"foo::bar" in variant_features', True, False),
        ('"foo :: bar :: baz" in variant_properties', True, False),
        ('"foo ::other  :: 1.0" in variant_properties', True, False),
        ('"foo :: bar :: x" in variant_properties', False, False),
        ('variant_label == "foobar"', True, False),
        ('"foobar" != variant_label', False, True),
        ("variant_label != 'null'", True, True),
        ('variant_label == ""', False, True),
        ('"foo" in variant_namespaces and python_version < "3"', False, False),
        ('"no" in variant_namespaces or python_version >= "3"', True, True),
    ],
)
def test_markers_say_what_the_pep_says_of_them(marker: str, own: bool, plain: bool) -> None:
    for variant, holds in ((MINE, own), (None, plain)):
        read = Requirement(without_variant_markers(f"dep; {marker}", variant))
        assert isinstance(read.marker, Marker)
        assert read.marker.evaluate() is holds
