"""What a choice on one axis demands of the others: matrix rows and the request turned into ``Need`` values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from dataloader.compat.matrix import Matrix
from dataloader.compat.rows import MatrixBuild, Toolkit
from dataloader.compat.versions import Key, admits, key, major, minor, prefix_of, specifier_of
from dataloader.machine.target import Gpu, Target
from dataloader.stack.answers import (
    accepts_gcc,
    compiled_by,
    compiles_for,
    first_cudnn,
    has_code,
    has_kernels,
    kernels_from,
    library_major,
    newer_gcc,
)
from dataloader.stack.model import CPU, StackRequest
from dataloader.stack.titles import build_title, channel_title, gpu_title, pool_title


class AxisValue(NamedTuple):
    """One value of one axis."""

    axis: str
    value: str
    row: MatrixBuild | None = None
    """The matrix row, on the axis of a framework."""
    pools: tuple[Target, ...] = ()
    """The machines, on the axes that they decide."""

    @property
    def identity(self) -> tuple[str, str | None]:
        """What tells two stacks apart: the value, and the CUDA of a framework's build."""
        return (self.value, self.row.cuda if self.row else None)


class Need(NamedTuple):
    """A demand on one axis; ``objection`` answers why a candidate does not meet it, or None when it does."""

    axis: str
    text: str
    """The fact behind it, as a clause in the user's terms."""
    objection: Callable[[AxisValue], str | None]
    row: str = ""
    source: str = ""
    prefers: str = ""
    """The value that it was made for, among those that it admits."""


def needs_of_build(matrix: Matrix, row: MatrixBuild, *, beside_cuda: bool = False) -> Iterator[Need]:
    """Yield what one build of a framework demands.

    A CPU build demands that there be no CUDA, unless it may stand ``beside_cuda`` builds of other frameworks.
    """
    yield _cuda_of_build(row, beside_cuda=beside_cuda)
    if row.glibc:
        yield _glibc(row, row.glibc)
    if row.python:
        yield _python(row)
    if row.cuda is None:
        return
    for axis, specifier in (("cudnn", cudnn_range(matrix, row)), ("nccl", nccl_range(matrix, row))):
        if specifier:
            yield _library(axis, specifier, row)
    yield _gpu_of_build(matrix, row)
    if row.driver:
        yield _driver(row.driver, f"{build_title(row)} needs driver {row.driver} or later", row.id, row.source, None)


def needs_of_cuda(matrix: Matrix, cuda: str) -> Iterator[Need]:
    """Yield what a CUDA runtime demands of the driver, the GPU and the host compiler."""
    if cuda == CPU:
        return
    toolkit = matrix.toolkits.get(cuda)
    floor = matrix.drivers.get(major(cuda))
    if floor:
        text = f"CUDA {major(cuda)} needs driver {floor.driver} or later"
        yield _driver(floor.driver, text, floor.id, floor.source, cuda)
    elif toolkit and toolkit.driver:
        text = f"CUDA {cuda} needs driver {toolkit.driver} or later"
        yield _driver(toolkit.driver, text, toolkit.id, toolkit.source, cuda, every_minor=False)
    if toolkit:
        yield _gpu_of_toolkit(matrix, toolkit)
        if toolkit.gcc_max or newer_gcc(matrix, cuda):
            yield _gcc(matrix, toolkit)


def needs_of_cudnn(matrix: Matrix, version: str, *, wheels_only: bool) -> Iterator[Need]:
    """Yield what a cuDNN version demands: a GPU that it has kernels for, a CUDA that it is published for."""
    yield from _cuda_of_cudnn(matrix, version)
    row = next((row for row in matrix.cudnns if row.cudnn == version), None)
    if row is None:
        return
    least = row.capability_min or kernels_from(matrix, version)[0]
    if least:

        def too_old(candidate: AxisValue) -> str | None:
            for pool, gpu in _gpus(candidate):
                if has_kernels(matrix, version, gpu).refused:
                    return f"{pool_title(pool)} has {gpu_title(gpu)}"
            return None

        text = f"cuDNN {version} needs GPUs of compute capability {least} or later"
        yield Need(axis="gpu", text=text, objection=too_old, row=row.id, source=row.source)
    if wheels_only:
        majors = row.cuda_majors

        def unpublished(candidate: AxisValue) -> str | None:
            if candidate.value == CPU or major(candidate.value) in majors:
                return None
            return f"CUDA {candidate.value} is another"

        text = f"cuDNN {version} has wheels for CUDA {' and '.join(majors)}"
        yield Need(axis="cuda", text=text, objection=unpublished, row=row.id, source=row.source)


def _cuda_of_cudnn(matrix: Matrix, version: str) -> Iterator[Need]:
    firsts = {cuda: first_cudnn(matrix, cuda) for cuda in dict.fromkeys(map(major, matrix.toolkits))}
    late = {cuda: first for cuda, first in firsts.items() if first and key(version) < key(first)}
    if late:
        told = " and ".join(f"{first} (CUDA {cuda})" for cuda, first in late.items())

        def too_new(candidate: AxisValue) -> str | None:
            first = late.get(major(candidate.value))
            return f"the first for CUDA {candidate.value} is {first}" if first else None

        yield Need(axis="cuda", text=f"cuDNN {version} came before {told}", objection=too_new)


def needs_of_request(request: StackRequest) -> Iterator[Need]:
    """Yield what the person asked for."""
    if request.cuda:
        wanted = request.cuda
        text = "CPU builds were asked for" if wanted == CPU else f"CUDA {wanted} was asked for"
        yield Need(axis="cuda", text=text, objection=_outside(CPU if wanted == CPU else cuda_wish(wanted)))
    libraries = [f"{title} {wish}" for title, wish in (("cuDNN", request.cudnn), ("NCCL", request.nccl)) if wish]
    if libraries or request.cuda == "":
        yield Need(
            axis="cuda",
            text=f"{' and '.join(libraries)} was asked for, which goes with CUDA alone" if libraries else "",
            objection=lambda candidate: "it is a CPU build" if candidate.value == CPU else None,
        )
    for axis, wish, title in (
        ("cudnn", request.cudnn, "cuDNN"),
        ("nccl", request.nccl, "NCCL"),
        ("gcc", request.gcc, "GCC"),
        ("python", request.python, "Python"),
    ):
        if wish:
            specifier = _minors(wish) if axis == "python" else prefix_of(wish)
            yield Need(axis=axis, text=f"{title} {wish} was asked for", objection=_outside(specifier))
    for project, wish in request.frameworks.items():
        specifier = specifier_of(wish)
        text = f"{project} {wish} was asked for" if wish else f"{project} was asked for"
        yield Need(axis=project, text=text, objection=_other_version(specifier))


def cuda_wish(wish: str) -> str:
    """The CUDA option as a specifier on minors: ``12.1.1`` means 12.1, ``12`` any 12.x."""
    return prefix_of(minor(wish)) if wish[:1].isdigit() else wish


def _minors(wish: str) -> str:
    """The Python option as a specifier on minors: ``3.11.7`` means builds for 3.11."""
    return f"=={minor(wish)}" if wish[0].isdigit() else wish


def _outside(specifier: str) -> Callable[[AxisValue], str | None]:
    def objection(candidate: AxisValue) -> str | None:
        if specifier == CPU or candidate.value == CPU:
            return None if candidate.value == specifier else f"{candidate.value} is another"
        return None if admits(specifier, candidate.value) else f"{candidate.value} is another"

    return objection


def _other_version(specifier: str) -> Callable[[AxisValue], str | None]:
    """A row that speaks for many versions is met by a pin inside them, and by any range that shares one."""

    def objection(candidate: AxisValue) -> str | None:
        assert candidate.row is not None
        return None if has_version(candidate.row, specifier) else f"{candidate.row.version} is another"

    return objection


def has_version(row: MatrixBuild, specifier: str) -> bool:
    """Whether a row speaks for a version that the specifier admits."""
    if not specifier or admits(specifier, row.version):
        return True
    pin = specifier[2:].removesuffix(".*")
    return specifier.startswith("==") and row.versions != f"=={row.version}" and admits(row.versions, pin)


def _cuda_of_build(row: MatrixBuild, *, beside_cuda: bool) -> Need:
    if row.cuda is None:
        return Need(
            axis="cuda",
            text=f"{build_title(row)} has no CUDA code",
            objection=lambda candidate: None if beside_cuda or candidate.value == CPU else "it has CUDA",
            row=row.id,
            source=row.source,
            prefers=CPU,
        )
    specifier = cuda_range(row)

    def objection(candidate: AxisValue) -> str | None:
        if candidate.value == CPU:
            return "CPU builds are another"
        return None if admits(specifier, candidate.value) else f"CUDA {candidate.value} is another"

    return Need(
        axis="cuda",
        text=f"{row.framework} {row.version} from {channel_title(row.channel)} was built for CUDA {row.cuda}",
        objection=objection,
        row=row.id,
        source=row.source,
        prefers=row.cuda if "." in row.cuda else "",
    )


def cuda_range(row: MatrixBuild) -> str:
    """Specifier of the CUDA runtimes that a CUDA build runs with."""
    assert row.cuda is not None
    return row.cuda_runs or (f"=={row.cuda}" if "." in row.cuda else f"=={row.cuda}.*")


def cudnn_range(matrix: Matrix, row: MatrixBuild) -> str:
    """Specifier of the cuDNN versions that a build runs with; empty when that is not known."""
    return _library_range(row, "nvidia-cudnn-", row.cudnn or library_major(matrix, row, "cudnn"))


def nccl_range(matrix: Matrix, row: MatrixBuild) -> str:
    """Specifier of the NCCL versions that a build runs with; empty when that is not known."""
    return _library_range(row, "nvidia-nccl-", row.nccl or library_major(matrix, row, "nccl"))


def _library_range(row: MatrixBuild, prefix: str, built_with: str) -> str:
    """What the row says, loosened where nothing but custom pins it.

    A build whose metadata does not require the library (the pins of an extra, say) opens it by its soname: any later
    minor of the same major runs. Metadata that pins the library, or code linked in, leaves no choice.
    """
    recommended = _recommended(row, prefix)
    if recommended.startswith("=="):
        version = recommended[2:]
        return f">={minor(version)},<{int(major(version)) + 1}"
    if recommended or not built_with:
        return recommended
    return f"=={built_with}" if is_full(built_with) else f"=={built_with}.*"


def _recommended(row: MatrixBuild, prefix: str) -> str:
    """The specifier on a library in ``needs``."""
    found = next((need[len(prefix) :] for need in row.needs if need.startswith(prefix)), "")
    return found.lstrip("abcdefghijklmnopqrstuvwxyz0123456789-")


def is_full(version: str) -> bool:
    """Whether a library version names one build (``8.9.2.26``, ``2.18.1``) and not a line of them (``9``, ``9.8``)."""
    return version.count(".") >= 2


def _glibc(row: MatrixBuild, floor: str) -> Need:
    def objection(candidate: AxisValue) -> str | None:
        for pool in candidate.pools:
            if pool.musl:
                return f"{pool_title(pool)} has musl {pool.musl} and no glibc"
            if pool.glibc and key(pool.glibc) < key(floor):
                return f"{pool_title(pool)} has glibc {pool.glibc}"
        return None

    text = f"{build_title(row)} from {channel_title(row.channel)} needs glibc {floor} or later"
    return Need(axis="glibc", text=text, objection=objection, row=row.id, source=row.source)


def _python(row: MatrixBuild) -> Need:
    known = ", ".join(row.python)

    def objection(candidate: AxisValue) -> str | None:
        return None if candidate.value in row.python else f"Python {candidate.value} is not among them"

    text = f"{row.framework} {row.version} from {channel_title(row.channel)} was built for Python {known}"
    return Need(axis="python", text=text, objection=objection, row=row.id, source=row.source)


def _library(axis: str, specifier: str, row: MatrixBuild) -> Need:
    title = {"cudnn": "cuDNN", "nccl": "NCCL"}[axis]
    text = f"{build_title(row)} needs {title} {words(specifier)}"

    def objection(candidate: AxisValue) -> str | None:
        return None if admits(specifier, candidate.value) else f"{title} {candidate.value} is another"

    recommended = _recommended(row, f"nvidia-{axis}-")
    made_with = recommended[2:] if recommended.startswith("==") else (row.cudnn if axis == "cudnn" else row.nccl) or ""
    prefers = made_with if is_full(made_with) else ""
    return Need(axis=axis, text=text, objection=objection, row=row.id, source=row.source, prefers=prefers)


def words(specifier: str) -> str:
    """Return a specifier as people say it.

    >>> words("==8.9.2.26"), words("==9.*"), words("~=9.0"), words(">=8.6,<9")
    ('8.9.2.26', '9', '9', '8.6 or later, before 9')
    """
    if specifier.startswith("=="):
        return specifier[2:].removesuffix(".*")
    if specifier.startswith("~="):
        return specifier[2:].rpartition(".")[0]
    least = [clause[2:] for clause in specifier.split(",") if clause.startswith(">=")]
    most = [clause[1:] for clause in specifier.split(",") if clause.startswith("<") and clause[1] != "="]
    return ", ".join([f"{bound} or later" for bound in least] + [f"before {bound}" for bound in most]) or specifier


def _driver(floor: str, text: str, row: str, source: str, cuda: str | None, *, every_minor: bool = True) -> Need:
    """A driver runs ``every_minor`` of its CUDA major, or (before CUDA 11) what it knows alone."""

    def known(version: str) -> Key:
        return key(major(version) if every_minor else version)

    def objection(candidate: AxisValue) -> str | None:
        for pool in candidate.pools:
            if pool.driver:
                if key(pool.driver) < key(floor):
                    return f"{pool_title(pool)} has driver {pool.driver}"
            elif pool.driver_cuda and cuda and known(pool.driver_cuda) < known(cuda):
                return f"the driver of {pool_title(pool)} knows CUDA {pool.driver_cuda}"
        return None

    return Need(axis="driver", text=text, objection=objection, row=row, source=source)


def _gpu_of_toolkit(matrix: Matrix, toolkit: Toolkit) -> Need:
    def objection(candidate: AxisValue) -> str | None:
        for pool, gpu in _gpus(candidate):
            if compiles_for(matrix, toolkit.cuda, gpu).refused:
                return f"{pool_title(pool)} has {gpu_title(gpu)}"
        return None

    oldest = min(toolkit.sm, key=key, default="")
    text = f"CUDA {toolkit.cuda} supports GPUs of compute capability {oldest} and later"
    return Need(axis="gpu", text=text, objection=objection, row=toolkit.id, source=toolkit.source)


def _gpu_of_build(matrix: Matrix, row: MatrixBuild) -> Need:
    def objection(candidate: AxisValue) -> str | None:
        for pool, gpu in _gpus(candidate):
            answer = has_code(matrix, row, gpu, pool)
            if answer.refused:
                return f"{pool_title(pool)} has {gpu_title(gpu)}{answer.why}"
        return None

    text = f"{build_title(row)} contains code for compute capability {', '.join(row.sm or ())}"
    text += f" and PTX for {', '.join(row.ptx)}" if row.ptx else ""
    if row.sm is None:
        sm = compiled_by(matrix, row)
        text = f"{build_title(row)} can have code for compute capability {sm[0]} to {sm[-1]}" if sm else ""
    return Need(axis="gpu", text=text, objection=objection, row=row.id, source=row.source)


def _gpus(candidate: AxisValue) -> Iterator[tuple[Target, Gpu]]:
    for pool in candidate.pools:
        for gpu in pool.gpus:
            yield pool, gpu


def _gcc(matrix: Matrix, toolkit: Toolkit) -> Need:
    def objection(candidate: AxisValue) -> str | None:
        if candidate.value and accepts_gcc(matrix, toolkit.cuda, candidate.value).refused:
            return f"GCC {candidate.value} is newer"
        return None

    newest = toolkit.gcc_max or newer_gcc(matrix, toolkit.cuda)
    text = f"nvcc of CUDA {toolkit.cuda} accepts GCC up to {newest} as host compiler"
    return Need(axis="gcc", text=text, objection=objection, row=toolkit.id, source=toolkit.source)
