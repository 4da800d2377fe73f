"""What an environment needs of a node, from its bytes: the NVIDIA driver, and compute capabilities. Nothing else.

In the words of those who place work on nodes: image compatibility of Node Feature Discovery, selectors of dynamic
resource allocation, node affinity on labels of GPU feature discovery, and NVIDIA_REQUIRE_CUDA of the container runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise, product
from typing import Any, Final, NamedTuple

from dataloader.base.errors import ResolutionFailure
from dataloader.compat.openings import table_rows
from dataloader.elf.gpucode import GpuCode, runs_on
from dataloader.loader.system import version_tuple
from dataloader.verify.checks.gpu import find_runtimes
from dataloader.verify.judgement import Inspection

Version = tuple[int, ...]
_FOREVER: Final = (1 << 16, 0)


class Serves(NamedTuple):
    """GPUs on which all of it runs, and the driver that this takes."""

    least: Version
    """Compute capability, ``(8, 0)``."""
    below: Version | None
    """The first that is too new; ``None``: none is."""
    driver: Version
    """The least, ``(525, 60, 13)``; empty where any will do."""


class Contract(NamedTuple):
    """What a node must have."""

    serves: tuple[Serves, ...]
    """One of these; none where there is no GPU code."""
    driver: Version
    """The least, whatever the GPU."""

    @property
    def is_empty(self) -> bool:
        """Whether any node will do."""
        return not self.serves and not self.driver


def contract_of(inspection: Inspection) -> Contract:
    """What the environment needs.

    Raises:
        ResolutionFailure: no GPU runs all of it (``no-common-gpu``).
    """
    base = _least_driver(inspection)
    packages = _code_by_package(inspection)
    if not packages:
        return Contract((), base)
    found: list[Serves] = []
    for least, below in _intervals(code for codes in packages.values() for code in codes):
        drivers = [_driver_for(codes, least, base) for codes in packages.values()]
        known = [driver for driver in drivers if driver is not None]
        if len(known) < len(drivers):
            continue
        serves = Serves(least, None if below == _FOREVER else below, max(known))
        if found and found[-1].below == serves.least and found[-1].driver == serves.driver:
            serves = found.pop()._replace(below=serves.below)
        found.append(serves)
    if not found:
        causes = tuple(f"{name}: {_described(codes)}" for name, codes in packages.items())
        raise ResolutionFailure("no GPU runs all that is in the environment", code="no-common-gpu", causes=causes)
    return Contract(tuple(found), base)


def _described(codes: Sequence[GpuCode]) -> str:
    return " ".join(sorted({f"{'sm' if code.kind == 'cubin' else 'compute'}_{code.arch}" for code in codes}))


def _code_by_package(inspection: Inspection) -> dict[str, Sequence[GpuCode]]:
    """GPU code of each package that is of no use without: of those with extension modules, else of all.

    Of several libraries the largest counts: a package is not said to run on a GPU for which only a part of it has code.
    """
    owners, verdicts = inspection.situation.owners, inspection.verdicts
    frameworks = {verdict.package.path for verdict in verdicts if verdict.extension and verdict.package}
    all_code: dict[str, Sequence[GpuCode]] = {}
    needed: dict[str, Sequence[GpuCode]] = {}
    for file in sorted(inspection.scanned, key=lambda file: (-file.size, file.path)):
        owner = owners.get(file.path)
        if file.facts and file.facts.gpu and owner:
            all_code.setdefault(owner.label, file.facts.gpu)
            if owner.path in frameworks:
                needed.setdefault(owner.label, file.facts.gpu)
    return dict(sorted((needed or all_code).items()))


def _least_driver(inspection: Inspection) -> Version:
    """What the CUDA runtimes take: within a major version, any driver of it will do."""
    majors = {str(runtime.version[0]) for runtime in find_runtimes(inspection.situation.installed)}
    if not majors and inspection.situation.cuda_major:
        majors = {inspection.situation.cuda_major}
    rows = (row for row in table_rows("driver.jsonl") if row["cuda_major"] in majors)
    return max((version_tuple(str(row["driver"])) or () for row in rows), default=())


def _intervals(codes: Iterable[GpuCode]) -> Iterator[tuple[Version, Version]]:
    """Compute capabilities from one to the next at which something else runs."""
    ends: set[Version] = {_FOREVER}
    for code in codes:
        major, minor = code.number
        ends.add((major, minor))
        ends.add((major, minor + 1) if code.suffix == "a" else (major + 1, 0))
    yield from pairwise(sorted(ends))


def _driver_for(codes: Sequence[GpuCode], capability: Version, base: Version) -> Version | None:
    """The least driver with which some of this code runs there; ``None`` where none does, or it is not known."""
    usable = [code for code in codes if runs_on(code, (capability[0], capability[1]))]
    if any(code.kind == "cubin" for code in usable):
        return base
    compiling = [driver for code in usable if (driver := _compiles(code.isa)) is not None]
    return max(base, min(compiling)) if compiling else None


def _compiles(isa: Sequence[int]) -> Version | None:
    """The first driver that compiles PTX of that version: minor-version compatibility does not cover it."""
    if not isa:
        return None
    return min((driver for known, driver in _ptx_drivers() if known >= tuple(isa)), default=None)


@cache
def _ptx_drivers() -> Sequence[tuple[Version, Version]]:
    """PTX ISA of each toolkit, and the driver that came with it."""
    rows = [row for row in table_rows("toolkit.jsonl") if row.get("ptx_isa") and row.get("driver")]
    pairs = ((version_tuple(str(row["ptx_isa"])), version_tuple(str(row["driver"]))) for row in rows)
    return [(isa, driver) for isa, driver in pairs if isa and driver]


# -- in the words of others --------------------------------------------------------------------------------------------


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))


def to_require(contract: Contract) -> str:
    """NVIDIA_REQUIRE_CUDA: what commas join must all hold, one of what blanks separate suffices."""
    ways = []
    for serves in contract.serves or (Serves((), None, contract.driver),):
        parts = [f"driver>={_dotted(serves.driver)}"] if serves.driver else []
        parts += [f"arch>={_dotted(serves.least)}"] if serves.least else []
        parts += [f"arch<{_dotted(serves.below)}"] if serves.below else []
        ways.append(",".join(parts))
    return f"NVIDIA_REQUIRE_CUDA={' '.join(ways)}\n"


def to_cel(contract: Contract) -> str:
    """A selector of a device request of dynamic resource allocation, for NVIDIA's driver (gpu.nvidia.com)."""
    ways = []
    for serves in contract.serves or (Serves((), None, contract.driver),):
        parts = [_compared("driverVersion", ">=", serves.driver)] if serves.driver else []
        parts += [_compared("cudaComputeCapability", ">=", serves.least)] if serves.least else []
        parts += [_compared("cudaComputeCapability", "<", serves.below)] if serves.below else []
        ways.append(" && ".join(parts))
    said = ways[0] if len(ways) == 1 else " || ".join(f"({way})" for way in ways)
    return "device.driver == 'gpu.nvidia.com'" + (f" && ({said})" if said else "") + "\n"


def _compared(attribute: str, sign: str, version: Version) -> str:
    whole = _dotted((*version, 0, 0)[:3])  # a semantic version has three parts
    return f"device.attributes['gpu.nvidia.com'].{attribute}.compareTo(semver('{whole}')) {sign} 0"


class Term(NamedTuple):
    """One comparison of a label: ``In`` or ``Gt``, of whole numbers."""

    label: str
    operator: str
    value: int


_DRIVER: Final = tuple(f"nvidia.com/cuda.driver-version.{part}" for part in ("major", "minor", "revision"))
_COMPUTE: Final = tuple(f"nvidia.com/gpu.compute.{part}" for part in ("major", "minor"))


def _at_least(labels: Sequence[str], version: Version) -> list[list[Term]]:
    """Ways in which numbers of a version are at least these: a later part counts where the earlier ones are equal."""
    ways = []
    for at in range(len(version)):
        same = [Term(label, "In", number) for label, number in zip(labels, version[:at], strict=False)]
        last = at == len(version) - 1
        ways.append([*same, Term(labels[at], "Gt", version[at] - last)])
    return ways or [[]]


def _capabilities(serves: Serves) -> list[list[Term]]:
    """Ways in which a compute capability is one of those."""
    ways: list[list[Term]] = []
    major, minor = (*serves.least, 0)[:2]
    if serves.below is None:
        return _at_least(_COMPUTE, serves.least)
    for current in range(major, serves.below[0] + 1):
        first = minor if current == major else 0
        stop = serves.below[1] if current == serves.below[0] else None
        if stop is not None and first >= stop:
            continue
        terms = [Term(_COMPUTE[0], "In", current)]
        terms += [Term(_COMPUTE[1], "Gt", first - 1)] if first else []
        terms += [Term(_COMPUTE[1], "Lt", stop)] if stop is not None else []
        ways.append(terms)
    return ways


def ways_of(contract: Contract) -> list[list[Term]]:
    """One of these lists of comparisons must hold, whole; labels are those of GPU feature discovery."""
    if not contract.serves:
        return _at_least(_DRIVER, contract.driver)
    return [
        [*driver, *compute]
        for serves in contract.serves
        for driver, compute in product(_at_least(_DRIVER, serves.driver), _capabilities(serves))
    ]


def to_affinity(contract: Contract) -> dict[str, Any]:
    """``affinity`` of a pod: terms are alternatives, expressions of one term must all hold."""
    terms = [
        {"matchExpressions": [{"key": key, "operator": sign, "values": [str(value)]} for key, sign, value in way]}
        for way in ways_of(contract)
    ]
    return {
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
    }


def to_nfd(contract: Contract) -> dict[str, Any]:
    """An image compatibility specification, v1alpha1, on labels of GPU feature discovery (feature ``local.label``)."""
    ways = [
        {"matchFeatures": [{"feature": "local.label", "matchExpressions": _expressions(way)}]}
        for way in ways_of(contract)
    ]
    rule = {"name": "nvidia-gpu-and-driver", "matchAny": ways}
    return {
        "version": "v1alpha1",
        "compatibilities": [{"description": "what the GPU code and the CUDA runtime need", "rules": [rule]}],
    }


def _expressions(way: Sequence[Term]) -> dict[str, dict[str, Any]]:
    """Label -> expression; a label that has two bounds lies between both."""
    found: dict[str, dict[str, Any]] = {}
    for term in way:
        value = str(term.value)
        if term.label in found:
            found[term.label] = {"op": "GtLt", "value": [*found[term.label]["value"], value]}
        else:
            found[term.label] = {"op": term.operator, "value": [value]}
    return found


def _yaml(document: Callable[[Contract], dict[str, Any]]) -> Callable[[Contract], str]:
    def write(contract: Contract) -> str:
        import yaml

        return yaml.safe_dump(document(contract), sort_keys=False)

    return write


FORMATS: Final[Mapping[str, Callable[[Contract], str]]] = {
    "nfd": _yaml(to_nfd),
    "dra": to_cel,
    "affinity": _yaml(to_affinity),
    "nvidia-require": to_require,
}
