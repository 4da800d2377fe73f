"""Put a chosen stack into words: the value of every axis, and the reasons with the rows that decided."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from dataloader.compat.matrix import Matrix
from dataloader.compat.rows import MatrixBuild
from dataloader.compat.versions import key, major
from dataloader.machine.target import Target
from dataloader.stack.model import AXES, CPU, FrameworkBuild, Reason
from dataloader.stack.needs import AxisValue, cuda_range
from dataloader.stack.space import Space
from dataloader.stack.titles import channel_title


def axes_of(
    space: Space, choice: Mapping[str, AxisValue], builds: Sequence[FrameworkBuild], pythons: Sequence[str]
) -> dict[str, str]:
    """Return axis to value in the order of ``AXES``, frameworks last; axes that nothing bears on are left out."""
    cuda = choice["cuda"].value if builds or space.request.cuda is not None else ""
    axes = {
        "platform": joined(pool.platform for pool in space.pools),
        "glibc": joined(pool.glibc or f"musl {pool.musl or ''}".strip() for pool in space.pools),
        "driver": "" if cuda in ("", CPU) else driver_value(space.matrix, space.pools, cuda),
        "gpu": joined(f"{gpu.name} ({gpu.capability})" for pool in space.pools for gpu in pool.gpus),
        "cuda": cuda,
        "cudnn": choice["cudnn"].value if "cudnn" in choice else "",
        "nccl": choice["nccl"].value if "nccl" in choice else "",
        "gcc": choice["gcc"].value or gcc_value(space.matrix, cuda),
        "python": span(pythons),
    }
    if cuda == CPU:
        axes |= {"driver": "", "gpu": "", "gcc": space.request.gcc or ""}
    return {axis: axes[axis] for axis in AXES if axes[axis]} | {build.project: build.version for build in builds}


def reasons_of(
    space: Space, choice: Mapping[str, AxisValue], builds: Sequence[FrameworkBuild], pythons: Sequence[str]
) -> Iterator[Reason]:
    """Yield one sentence for every axis that a row or the request decided."""
    for build in builds:
        yield from build_reasons(build, choice["cuda"].value)
    cuda = choice["cuda"].value
    if space.request.cuda:
        asked = "CPU builds were asked for" if space.request.cuda == CPU else f"CUDA {space.request.cuda} was asked for"
        yield Reason(axis="cuda", text=asked)
    if cuda != CPU and (builds or space.request.cuda is not None):
        yield from cuda_reasons(space.matrix, space.pools, cuda)
    if pythons and builds:
        rows = [row for build in builds for row in build.rows if row.python]
        yield Reason(
            axis="python",
            text=f"the chosen builds exist for Python {span(pythons)}",
            row=rows[0].id if rows else "",
            source=rows[0].source if rows else "",
        )


def build_reasons(build: FrameworkBuild, cuda: str) -> Iterator[Reason]:
    """Yield what is to be known of a chosen build beside the CUDA that was chosen."""
    row = build.rows[0]
    places = ", ".join(dict.fromkeys(channel_title(other.channel) for other in build.rows))
    what = "for the CPU" if row.cuda is None else f"for CUDA {row.cuda}"
    yield Reason(
        axis=build.project,
        text=f"{build.project} {build.version} was built {what}; it is published on {places}",
        row=row.id,
        source=row.source,
    )
    if row.cuda is None:
        return
    if cuda == row.cuda:
        text = f"{build.project} {build.version} was built for CUDA {row.cuda}"
        yield Reason(axis="cuda", text=text, row=row.id, source=row.source)
    else:
        yield Reason(
            axis="cuda",
            text=f"{build.project} {build.version} runs with CUDA {cuda_range(row)}: {cuda} is taken",
            row=row.id,
            source=row.source,
        )
    yield from _library_reasons(build, row)


def _library_reasons(build: FrameworkBuild, row: MatrixBuild) -> Iterator[Reason]:
    for axis, title, value in (("cudnn", "cuDNN", row.cudnn), ("nccl", "NCCL", row.nccl)):
        if value:
            text = f"{build.project} {build.version} for CUDA {row.cuda} was built with {title} {value}"
            yield Reason(axis=axis, text=text, row=row.id, source=row.source)
    if row.gcc:
        abi = {True: ", with the new C++ ABI", False: ", with the old C++ ABI", None: ""}[row.cxx11_abi]
        text = f"{build.project} {build.version} was compiled with GCC {row.gcc}{abi}"
        yield Reason(axis="gcc", text=text, row=row.id, source=row.source)


def cuda_reasons(matrix: Matrix, targets: Sequence[Target], cuda: str) -> Iterator[Reason]:
    """Yield what a CUDA asks of driver and compiler."""
    floor = matrix.drivers.get(major(cuda))
    toolkit = matrix.toolkits.get(cuda)
    if floor:
        text = f"CUDA {major(cuda)}.x runs on driver {floor.driver} or later"
        yield Reason(axis="driver", text=text, row=floor.id, source=floor.source)
    elif toolkit and toolkit.driver:
        text = f"CUDA {cuda} runs on driver {toolkit.driver} or later"
        yield Reason(axis="driver", text=text, row=toolkit.id, source=toolkit.source)
    if any(not (pool.driver or pool.driver_cuda) for pool in targets):
        yield Reason(axis="driver", text="no NVIDIA driver was seen: one that suffices is assumed")
    if toolkit and toolkit.gcc_max:
        accepted = span_of(toolkit.gcc_min, toolkit.gcc_max)
        text = f"nvcc of CUDA {cuda} accepts GCC {accepted} as host compiler"
        yield Reason(axis="gcc", text=text, row=toolkit.id, source=toolkit.source)


def driver_value(matrix: Matrix, targets: Sequence[Target], cuda: str) -> str:
    """Return the drivers of the machines, or what is assumed of them."""
    floor = matrix.drivers.get(major(cuda))
    toolkit = matrix.toolkits.get(cuda)
    least = floor.driver if floor else toolkit.driver if toolkit else None

    def value(pool: Target) -> str:
        if pool.driver:
            return pool.driver
        if pool.driver_cuda:
            return f"CUDA {pool.driver_cuda}"
        return f">={least} (assumed)" if least else "assumed"

    return joined(value(pool) for pool in targets)


def gcc_value(matrix: Matrix, cuda: str) -> str:
    """Return the compilers that nvcc of a CUDA accepts."""
    toolkit = matrix.toolkits.get(cuda)
    return span_of(toolkit.gcc_min, toolkit.gcc_max) if toolkit and toolkit.gcc_max else ""


def span_of(least: str | None, most: str) -> str:
    """``6 to 11``, ``up to 8``."""
    return f"{least} to {most}" if least else f"up to {most}"


def span(versions: Sequence[str]) -> str:
    """Return Python minors as people write them.

    >>> span(("3.12", "3.11", "3.10")), span(("3.9",)), span(())
    ('3.10 to 3.12', '3.9', '')
    """
    ordered = sorted(versions, key=key)
    if len(ordered) < 2:
        return ordered[0] if ordered else ""
    return f"{ordered[0]} to {ordered[-1]}"


def joined(values: Iterable[str]) -> str:
    """Return the values that there are, each once."""
    return ", ".join(dict.fromkeys(value for value in values if value))
