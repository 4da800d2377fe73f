"""Small worlds of wheels that real rows of the matrix describe, and an exhaustive search for what can be in them."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import NamedTuple

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.version import Version

from dataloader.base.errors import IndexUnavailable
from dataloader.compat.companions import torch_rows
from dataloader.compat.matrix import Matrix, load_matrix
from dataloader.compat.rows import MatrixBuild
from dataloader.compat.versions import specifier_of
from dataloader.index.model import IndexFile, WheelMetadata
from dataloader.index.settings import IndexSettings
from dataloader.locking.targets import make_targets
from dataloader.machine.target import Target
from dataloader.request.dates import cutoff_of, is_late
from dataloader.request.request import Request
from dataloader.request.specs.spec import parse_pypi
from dataloader.stack.gate import Gate, Held
from dataloader.stack.model import StackRequest

WORLDS = os.environ.get("WORLDS")
"""How many worlds of each property, other ones each time; else a few, always the same (``nox -s worlds``)."""

PYPI = "https://pypi.invalid/simple"
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
TORCH = ("1.13.1", "2.0.1", "2.1.0", "2.3.1", "2.5.1", "2.7.1", "2.10.0", "2.14.1", "2.15.0")
RUNTIMES = {
    "11.7": "nvidia-cuda-runtime-cu11==11.7.99",
    "11.8": "nvidia-cuda-runtime-cu11==11.8.89",
    "12.1": "nvidia-cuda-runtime-cu12==12.1.105",
    "12.4": "nvidia-cuda-runtime-cu12==12.4.127",
    "12.6": "nvidia-cuda-runtime-cu12==12.6.77",
    "12.8": "nvidia-cuda-runtime-cu12==12.8.90",
    "13.0": "nvidia-cuda-runtime==13.0.96",
    "13.2": "nvidia-cuda-runtime==13.2.86",
}
LIBRARIES = {
    "nvidia-cublas-cu12": "12.8.4.1",
    "nvidia-cuda-cupti-cu12": "12.8.90",
    "nvidia-cuda-nvcc-cu12": "12.8.93",
    "nvidia-cuda-nvrtc-cu12": "12.8.93",
    "nvidia-cudnn-cu12": "9.10.2.21",
    "nvidia-cufft-cu12": "11.3.3.83",
    "nvidia-curand-cu12": "10.3.9.90",
    "nvidia-cusolver-cu12": "11.7.3.90",
    "nvidia-cusparse-cu12": "12.5.8.93",
    "nvidia-nccl-cu12": "2.27.5",
    "nvidia-nvjitlink-cu12": "12.8.93",
}
_ON_TORCH = ("", "torch", "torch>=2.1", "torch<2.5", "torch>=2,<2.8", "torch==2.5.1", "torchvision", "bitsandbytes")
ASKED = (
    *("torch", "torch>=2.1", "torch<2.3", "torch==2.5.1", "torch==2.14.1", "torchvision", "torchvision==0.20.1"),
    *("bitsandbytes", "tensorflow", "app-a", "app-b", "app-a>=2", "app-b==1.0", "numpy"),
)


def examples(few: int) -> settings:
    """Return how many worlds a property is held against: ``few``, or as many as are asked for, which are not shrunk."""
    return settings(
        max_examples=int(WORLDS or few),
        deadline=None,
        derandomize=WORLDS is None,
        phases=[Phase.explicit, Phase.generate] if WORLDS else tuple(Phase),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


class File(NamedTuple):
    """One wheel."""

    name: str
    version: str
    requires: tuple[str, ...] = ()
    place: str = PYPI
    uploaded: str = ""
    """The day."""

    @property
    def filename(self) -> str:
        return f"{self.name.replace('-', '_')}-{self.version}-py3-none-any.whl"


class Machines(NamedTuple):
    """One pool of a target file."""

    glibc: str = "2.36"
    driver: str | None = None
    cuda: str | None = None
    """The highest that its driver supports, where a file says that instead of the driver."""
    gpu: str | None = None

    def table(self) -> str:
        """The pool as the file says it."""
        said = {"glibc": self.glibc, "driver": self.driver, "cuda": self.cuda}
        lines = [f'{key} = "{value}"' for key, value in said.items() if value]
        return "\n".join([*lines, *([f'gpus = ["{self.gpu}"]'] if self.gpu else [])]) + "\n"


@dataclass(frozen=True)
class World:
    """What there is, and what is asked."""

    files: tuple[File, ...]
    asked: tuple[str, ...]
    cuda: str | None
    driver: str | None
    gpu: str | None = None
    options: tuple[tuple[str, str], ...] = ()
    """cuDNN, NCCL, GCC and torch."""
    exclude_newer: str | None = None
    others: tuple[Machines, ...] = ()
    """Further pools of the target."""
    glibc: str = "2.36"
    reached: bool = True
    """Whether indexes answer that nobody configured."""

    @property
    def stack(self) -> dict[str, str]:
        """All stack options."""
        return {**({} if self.cuda is None else {"cuda": self.cuda}), **dict(self.options)}

    def request(self, folder: Path) -> Request:
        """The request as a command would make it."""
        first, *others = (Machines(self.glibc, self.driver, gpu=self.gpu), *self.others)
        pools = "\n".join(f"[[pool]]\n{each.table()}" for each in (first, *others)) if others else first.table()
        (folder / "target.toml").write_text(pools)
        return Request(
            manifest=None,
            lockfile=folder / "lock",
            prefix=folder / "prefix",
            read_settings=IndexSettings,
            conda_mode="never",
            pypi=tuple(parse_pypi(text) for text in self.asked),
            stack=self.stack,
            target_file=folder / "target.toml",
            exclude_newer=self.exclude_newer,
        )

    def client(self) -> WorldClient:
        """The indexes of this world."""
        return WorldClient(self)

    def asking(self, *names: str) -> World:
        """The same world, asked for something else."""
        return replace(self, asked=names)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Worlds of torch builds on PyPI and on PyTorch's index, companions, tensorflow, and two applications."""
    matrix = load_matrix()
    versions = draw(st.lists(st.sampled_from(TORCH), min_size=1, max_size=4, unique=True))
    files = [file for version in versions for file in _torch(draw, matrix, version)]
    files += [file for file in _torchvision(matrix, files) if draw(st.integers(0, 9)) < 9]
    for app, more in (("app-a", ("app-b", "numpy")), ("app-b", ("numpy",))):
        for number in range(1, draw(st.integers(1, 3)) + 1):
            needs = draw(st.lists(st.sampled_from((*_ON_TORCH, *more)), max_size=2, unique=True))
            files.append(File(app, f"{number}.0", tuple(filter(None, needs))))
    files += [
        File("bitsandbytes", v, ("torch",)) for v in draw(st.sets(st.sampled_from(("0.42.0", "0.43.3", "0.45.5"))))
    ]
    files += [File("tensorflow", v) for v in sorted(draw(st.sets(st.sampled_from(("2.18.0", "2.20.0")))))]
    files += [File(name, version) for name, version in (pin.split("==") for pin in RUNTIMES.values())]
    files += [File(name, version) for name, version in LIBRARIES.items()]
    files += [File("numpy", "1.26.4"), File("numpy", "2.2.0")]
    return World(
        files=tuple(files),
        asked=tuple(draw(st.lists(st.sampled_from(ASKED), min_size=1, max_size=3, unique_by=_name))),
        cuda=draw(st.sampled_from((None, None, None, "none", "11.8", "12.1", "12.4", "12.8", "13.0", ">=12"))),
        driver=draw(st.sampled_from((None, None, "470.82.01", "535.104.05", "580.82.07"))),
    )


CUDNN = (None, None, "8", "8.9", "9", "9.1", "9.10", "9.26.0.51", ">=9.5", "7", "55")
NCCL = (None, None, None, "2", "2.21", "2.27.5", "2.30", "99")
GCC = (None, None, None, "9", "12", "14", "99")
GPUS = (None, None, "P100", "V100", "H100", "B200")
DATES = (None, None, "2023-06-30", "2024-11-30", "2026-02-15", "2026-10-01")
_LIBRARY = {"11": "nvidia-{}-cu11", "12": "nvidia-{}-cu12", "13": "nvidia-{}-cu13"}


TORCHES = (None, None, None, "", "", "2", "2.5", "2.5.1", ">=2.1", "<2.8", "==2.14.*", "99")
MACHINES = st.builds(
    Machines,
    glibc=st.sampled_from(("2.36", "2.28", "2.27", "2.17")),
    driver=st.sampled_from((None, None, "470.82.01", "525.60.13", "570.26", "580.82.07")),
    cuda=st.none(),
    gpu=st.sampled_from((None, None, "T4", "A100", "L4", "8.9", "12.0")),
)
BY_CUDA = st.sampled_from(("11.8", "12.4", "12.8", "13.0")).map(lambda cuda: Machines(cuda=cuda))


@st.composite
def worlds_of_machines(draw: st.DrawFn) -> World:
    """Worlds that are asked with ``--torch`` and for target files of one pool or several, some with an old glibc."""
    world, torch = draw(worlds_with_options()), draw(st.sampled_from(TORCHES))
    kept = tuple((axis, value) for axis, value in world.options if draw(st.booleans()))
    return replace(
        world,
        options=(*kept, *((("torch", torch),) if torch is not None else ())),
        glibc=draw(st.sampled_from(("2.36", "2.36", "2.28", "2.17"))),
        others=tuple(draw(st.lists(st.one_of(MACHINES, BY_CUDA), max_size=2))),
    )


@st.composite
def worlds_with_options(draw: st.DrawFn) -> World:
    """Worlds whose torch pins the libraries that it was built with, asked with options of every kind at once."""
    matrix, world = load_matrix(), draw(worlds())
    files = {file: None for one in world.files for file in _with_libraries(draw, matrix, one)}
    options = {"cudnn": draw(st.sampled_from(CUDNN)), "nccl": draw(st.sampled_from(NCCL))}
    options["gcc"] = draw(st.sampled_from(GCC))
    return replace(
        world,
        files=tuple(files),
        gpu=draw(st.sampled_from(GPUS)),
        options=tuple((axis, value) for axis, value in options.items() if value is not None),
        exclude_newer=draw(st.sampled_from(DATES)),
    )


def _with_libraries(draw: st.DrawFn, matrix: Matrix, file: File) -> Iterator[File]:
    """Yield a file with the day of its release; where it is a torch, it may pin libraries, which come with it."""
    public = file.version.partition("+")[0]
    released = {
        **{(row.framework, row.version): row.released for row in matrix.releases},
        **{(row.project, row.version): row.released for row in matrix.companions},
    }
    known = (file.name, public) in released
    file = file._replace(uploaded=released[file.name, public] or "2099-01-01" if known else "2022-01-01")
    row = _row_of(matrix, file) if file.name == "torch" else None
    for axis, version in (("cudnn", row.cudnn), ("nccl", row.nccl)) if row and row.cuda else ():
        name = _LIBRARY.get(row.cuda.split(".")[0]) if row and row.cuda else None
        if name and version and version.count(".") > 1 and draw(st.booleans()):
            file = file._replace(requires=(*file.requires, f"{name.format(axis)}=={version}"))
            yield File(name.format(axis), version, uploaded="2022-01-01")
    yield file


def _row_of(matrix: Matrix, file: File) -> MatrixBuild | None:
    """Return the row of a torch for CUDA."""
    public, _, local = file.version.partition("+")
    for row in torch_rows(matrix):
        index = matrix.indexes.get(row.channel)
        told = index.local_of(row.cuda) if index else ""
        if row.version == public and row.cuda and local == told and not row.channel.startswith("conda:"):
            return row
    return None


def _name(text: str) -> str:
    return Requirement(text).name


def _torch(draw: st.DrawFn, matrix: Matrix, version: str) -> Iterator[File]:
    for row in torch_rows(matrix):
        if row.version != version or row.channel.startswith("conda:") or draw(st.integers(0, 9)) == 0:
            continue
        if row.channel != "pypi" and PYTHON not in row.python:
            continue  # a page that has nothing for this Python is not asked for
        pins = (RUNTIMES[row.cuda],) if row.cuda in RUNTIMES and draw(st.booleans()) else ()
        if row.channel == "pypi":
            yield File("torch", version, pins)
        else:
            index = matrix.indexes[row.channel]
            yield File("torch", f"{version}+{index.local_of(row.cuda)}", pins, index.url_of(row.cuda))


def _torchvision(matrix: Matrix, torches: Sequence[File]) -> Iterator[File]:
    rows = [row for row in matrix.companions if row.project == "torchvision" and row.torch.startswith("==")]
    for torch in torches:
        public, _, local = torch.version.partition("+")
        for row in rows:
            if row.torch == f"=={public}":
                yield File(
                    "torchvision", row.version + (f"+{local}" if local else ""), (f"torch=={public}",), torch.place
                )


class WorldClient:
    """The indexes of a world: the double stands at the network's edge."""

    def __init__(self, world: World) -> None:
        self.settings = IndexSettings()
        self.silent: set[str] = set()
        self._reached = world.reached
        self._files = {(file.filename, file.place): file for file in world.files}

    async def project(self, name: str, only: tuple[str, ...] | None = None) -> tuple[IndexFile, ...]:
        assert only is None
        return self._of(name, PYPI)

    async def further(self, name: str, index: str) -> tuple[IndexFile, ...]:
        if not self._reached:
            raise IndexUnavailable(f"{index} did not answer", code="index-unreachable")
        return self._of(name, index)

    async def account(self, name: str) -> tuple[str, ...]:
        return (f"{PYPI} has no page of {name}",)

    def _of(self, name: str, index: str) -> tuple[IndexFile, ...]:
        return tuple(
            IndexFile(
                name=name,
                version=file.version,
                filename=file.filename,
                url=f"{index}/{file.filename}",
                sha256="0" * 64,
                index=index,
                upload_time=f"{file.uploaded}T00:00:00Z" if file.uploaded else None,
            )
            for file in self._files.values()
            if file.name == name and file.place == index
        )

    async def metadata(self, file: IndexFile) -> WheelMetadata:
        found = self._files[file.filename, file.index]
        return WheelMetadata(name=file.name, version=file.version, requires_dist=found.requires)


def exists(world: World) -> Mapping[str, File] | None:
    """Return any set of wheels that meets everything, or None: every set is looked at."""
    cutoff = cutoff_of(world.exclude_newer, now=_NOW) if world.exclude_newer else None
    in_time = [file for file in world.files if not cutoff or not is_late(f"{file.uploaded}T00:00:00Z", cutoff)]
    with tempfile.TemporaryDirectory() as folder:
        targets = make_targets(world.request(Path(folder)), load_matrix(), {})
    judge = partial(is_sound, world, targets)
    asked = [*world.asked]
    if "torch" in world.stack:
        asked.append(f"torch{specifier_of(world.stack['torch'])}")
    return next(_search(in_time, judge, {}, tuple(map(Requirement, asked))), None)


_Judge = Callable[[Sequence[File]], bool]
_NOW = datetime(2026, 11, 1, tzinfo=timezone.utc)


def _search(
    files: Sequence[File], judge: _Judge, chosen: Mapping[str, File], agenda: tuple[Requirement, ...]
) -> Iterator[Mapping[str, File]]:
    if not agenda:
        if judge(tuple(chosen.values())):
            yield chosen
        return
    wanted, rest = agenda[0], agenda[1:]
    if (file := chosen.get(wanted.name)) is not None:
        if is_met(wanted, file):
            yield from _search(files, judge, chosen, rest)
        return
    for file in files:
        if file.name == wanted.name and is_met(wanted, file):
            needs = tuple(map(Requirement, file.requires))
            for more in ((), tuple(map(Requirement, (*LIBRARIES, "nvidia-cuda-runtime-cu12")))):
                if not more or file.name == "tensorflow":
                    yield from _search(files, judge, {**chosen, file.name: file}, (*rest, *needs, *more))


def is_met(wanted: Requirement, file: File) -> bool:
    """Say whether a wheel is within a requirement."""
    return wanted.specifier.contains(Version(file.version), prereleases=True)


def is_sound(world: World, targets: Sequence[Target], files: Sequence[File]) -> bool:
    """Say whether a closed set of wheels breaks no rule."""
    stack = world.stack
    asked = StackRequest(
        cuda=stack.get("cuda"),
        cudnn=stack.get("cudnn"),
        nccl=stack.get("nccl"),
        gcc=stack.get("gcc"),
        worlds=frozenset({"pypi"}),
    )
    held = [Held(file.name, file.version, "pypi") for file in files]
    return not list(Gate(load_matrix(), asked, targets, held).violations())
