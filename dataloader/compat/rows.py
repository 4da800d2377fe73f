"""The rows of the compatibility matrix. Values only.

Rows are named tuples: a dataclass takes eight times as long to make, and every plan pays for ten kinds of row.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

WorldOrAny: TypeAlias = Literal["any", "pypi", "conda"]


class MatrixBuild(NamedTuple):
    """One matrix row: a published build of a framework."""

    id: str
    framework: str
    """Normalised PyPI project that people name (``torch``, ``cupy``)."""
    version: str
    """The version, or the newest one that the row speaks for."""
    versions: str
    """PEP 440 specifier of the versions that the row speaks for."""
    channel: str
    """``pypi``, the name of a wheel index of table ``index``, or ``conda:NAME``."""
    package: str
    """The package that carries it there (``cupy-cuda12x``; a conda name for conda channels)."""
    cuda: str | None
    """CUDA version compiled against (``"12.1"``, or ``"12"`` when only the major is known); None: a CPU build."""
    source: str
    date: str
    """Day the source was read, ISO 8601."""
    cuda_runs: str | None = None
    """PEP 440 specifier of the CUDA runtimes that it runs with; None: the very one it was built with."""
    python: tuple[str, ...] = ()
    """Python minors it was built for; empty: not known or all."""
    build: str = ""
    """Matcher of the conda build string (see ``Bound.build``); empty for wheels."""
    cudnn: str | None = None
    nccl: str | None = None
    gcc: str | None = None
    glibc: str | None = None
    cxx11_abi: bool | None = None
    sm: tuple[str, ...] | None = None
    """Compute capabilities with machine code in the binary; None: not known."""
    ptx: tuple[str, ...] | None = None
    """Compute capabilities with PTX in the binary; None: not known."""
    driver: str | None = None
    """Driver needed beyond what ``cuda`` implies."""
    needs: tuple[str, ...] = ()
    """Requirements (PEP 508, or ``conda:``) that its metadata does not state and without which it does not run."""
    note: str = ""


class Label(NamedTuple):
    """A project whose wheels are no different but in their local version label, which names what they are built for."""

    id: str
    project: str
    label: str
    """The label with ``{cuda}`` (``cpu``, ``cu121`` or ``cu12``) or ``{cudadot}`` (``12.1``), ``{torch}`` (``2.1``),
    ``{pt}`` (``21``) and ``{abi}`` (``true``, ``false``). Dots stand for themselves."""
    wheels: str
    """Where they are, with ``{torch}`` and ``{variant}`` (``2.1.0``, ``cu121``)."""
    source: str
    date: str
    note: str = ""


class FrameworkRelease(NamedTuple):
    """The day on which one release of a framework was published."""

    id: str
    framework: str
    version: str
    released: str
    """ISO 8601."""
    source: str
    date: str
    note: str = ""


class Toolkit(NamedTuple):
    """One CUDA ``major.minor``."""

    id: str
    cuda: str
    source: str
    date: str
    driver: str | None = None
    """Linux driver released with it: what PTX compiled by this toolkit needs."""
    gcc_max: str | None = None
    """Newest GCC major that its nvcc accepts as host compiler."""
    gcc_min: str | None = None
    clang_max: str | None = None
    sm: tuple[str, ...] = ()
    """Compute capabilities that it can compile for."""
    ptx_isa: str | None = None
    """Version of the PTX that it writes, and the highest that a driver of this CUDA compiles."""
    note: str = ""


class DriverFloor(NamedTuple):
    """The oldest Linux driver that runs every minor of one CUDA major (minor-version compatibility)."""

    id: str
    cuda_major: str
    driver: str
    source: str
    date: str
    note: str = ""


class GpuModel(NamedTuple):
    """The compute capability of one GPU."""

    id: str
    gpu: str
    capability: str
    source: str
    date: str
    architecture: str = ""
    segment: str = ""
    note: str = ""


class Cudnn(NamedTuple):
    """One cuDNN release."""

    id: str
    cudnn: str
    cuda_majors: tuple[str, ...]
    source: str
    date: str
    capability_min: str | None = None
    released: str | None = None
    note: str = ""


class Nccl(NamedTuple):
    """One NCCL build of one channel, with the CUDA versions it was built with."""

    id: str
    nccl: str
    channel: str
    package: str
    built_with: tuple[str, ...]
    source: str
    date: str
    note: str = ""


class WheelIndex(NamedTuple):
    """A wheel index beside PyPI, one per CUDA variant."""

    id: str
    name: str
    url: str
    """With ``{variant}``: ``cpu``, or ``cu`` and the digits of the CUDA version; and ``{version}`` of the release."""
    local: str
    """Local version label of its wheels, with ``{variant}``, ``{cuda}`` (``12.8``) and ``{torch}`` (``2.11``)."""
    projects: tuple[str, ...]
    source: str
    date: str
    note: str = ""

    def url_of(self, cuda: str | None, version: str = "") -> str:
        """The Simple API URL of the wheels of a release for one CUDA version; None: for the CPU."""
        return self.url.format(variant=variant(cuda), version=version)

    def local_of(self, cuda: str | None, torch: str = "") -> str:
        """The local version label of the wheels for one CUDA version, and one release line of torch."""
        return self.local.format(variant=variant(cuda), cuda=cuda or "", torch=torch)


def variant(cuda: str | None) -> str:
    """Return how wheel indexes spell a CUDA version.

    >>> variant("11.8"), variant(None)
    ('cu118', 'cpu')
    """
    return "cpu" if cuda is None else "cu" + cuda.replace(".", "")


class ChannelName(NamedTuple):
    """A conda channel that is known by its name wherever it is served from."""

    id: str
    name: str
    source: str
    date: str
    note: str = ""


class Component(NamedTuple):
    """The PyPI wheels that carry the libraries of one CUDA toolkit."""

    id: str
    cuda: str
    wheels: tuple[str, ...]
    source: str
    date: str
    note: str = ""


class CudaSign(NamedTuple):
    """A package whose presence says which CUDA the environment has."""

    id: str
    package: str
    """PyPI project, or ``conda:NAME``."""
    source: str
    date: str
    tells: Literal["minor", "major", ""] = ""
    """What the first numbers of its version are: the CUDA minor, or its major alone; empty: ``cuda`` says."""
    cuda: str = ""
    """PEP 440 specifier of the CUDA that all its versions are for."""
    note: str = ""


class Library(NamedTuple):
    """A package whose version is that of one axis: what an option says of the axis binds it."""

    id: str
    axis: Literal["cudnn", "nccl", "gcc", "nvcc"]
    """``nvcc``: its first numbers are those of the toolkit whose compiler it is."""
    package: str
    """PyPI project, or ``conda:NAME``."""
    source: str
    date: str
    note: str = ""


class Further(NamedTuple):
    """One wheel of a further index, of a project that is no framework: what it is built for is in its label."""

    id: str
    project: str
    version: str
    """Without the label."""
    place: str
    """Name of the row of table ``index``."""
    cuda: str | None
    source: str
    date: str
    torch: str = ""
    """PEP 440 specifier of torch; empty: any."""
    python: tuple[str, ...] = ()
    """Python minors; empty: not known, or all."""
    released: str | None = None
    note: str = ""


class Pair(NamedTuple):
    """Two packages of which a version works with the same version of the other alone."""

    id: str
    package: str
    other: str
    why: str
    source: str
    date: str
    note: str = ""


class PackageRule(NamedTuple):
    """An implication between packages, as written: requirements are text."""

    id: str
    then: tuple[str, ...]
    why: str
    source: str
    date: str
    when: str = ""
    """Requirement that triggers it; empty: always."""
    requires: bool = False
    cuda: str = ""
    """PEP 440 specifier of the stack's CUDA for which it holds; empty: any, CPU stacks too."""
    world: WorldOrAny = "any"
    """WorldOrAny of the triggering candidate."""
    note: str = ""


class Companion(NamedTuple):
    """A release of a project that was compiled against one torch: what its wheels on PyPI need."""

    id: str
    project: str
    version: str
    source: str
    date: str
    torch: str = ""
    """PEP 440 specifier of torch; empty: any."""
    cuda: tuple[str, ...] = ()
    """CUDA versions its PyPI wheels were built for; empty: no CUDA code, or not known."""
    match: Literal["major", "minor"] = "major"
    """``minor``: it carries one binary per CUDA minor and looks for the one of torch."""
    released: str | None = None
    note: str = ""
