"""Small worlds of conda channels and indexes together, and an exhaustive search for what can be in them.

Records and wheels are described by real rows of the matrix; channels are real folders of repodata, read as any other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypeAlias

import rattler
from hypothesis import strategies as st
from packaging.requirements import Requirement

from dataloader.base.names import pypi_names
from dataloader.compat.companions import torch_rows
from dataloader.compat.matrix import load_matrix
from dataloader.compat.rows import MatrixBuild
from dataloader.index.settings import IndexSettings
from dataloader.machine.target import Target
from dataloader.request.request import Request
from dataloader.request.specs.spec import parse_conda, parse_pypi
from dataloader.stack.gate import Gate, Held
from dataloader.stack.model import StackRequest
from tests.helpers.worlds import PYPI, RUNTIMES, File, WorldClient, is_met
from tests.helpers.worlds import World as PypiWorld

VERSIONS = ("2.1.0", "2.3.1", "2.5.1", "2.7.1")
CHANNELS = (("conda-forge",), ("pytorch", "conda-forge"), ("mirror",))
_CUDNN = {"8": "nvidia-cudnn-cu12==8.9.2.26", "9": "nvidia-cudnn-cu12==9.1.0.70"}
_ON_PYTORCH = ("pytorch", "pytorch >=2.3", "pytorch <2.5", "pytorch * cuda*", "torchvision", "numpy <2", "cudnn <9")
_ON_TORCH = ("torch", "torch>=2.3", "torch<2.5", "torch==2.5.1", "torchvision", "numpy<2", "nvidia-cudnn-cu12")
ASKED = (
    *("torch", "torch>=2.3", "torch<2.4", "torch==2.5.1", "torchvision", "numpy", "app-a", "app-a>=2", "app-b"),
    *("conda:pytorch", "conda:pytorch>=2.3", "conda:pytorch=2.1.0", "conda:pytorch=*=cuda*", "conda:torchvision"),
    *("conda:pytorch-cuda=11.8", "conda:pytorch-gpu", "conda:cuda-version=12", "conda:cudnn", "conda:numpy<2"),
    *("conda:capp", "conda:capp>=2", "nvidia-cudnn-cu12"),
)
"""``conda:NAME=VERSION`` is fuzzy, as everywhere in conda."""


class Record(NamedTuple):
    """One package of a channel."""

    name: str
    version: str
    build: str = "0"
    depends: tuple[str, ...] = ()
    channel: str = "conda-forge"

    @property
    def filename(self) -> str:
        return f"{self.name}-{self.version}-{self.build}.conda"


Candidate: TypeAlias = "Record | File"


@dataclass(frozen=True)
class MixedWorld:
    """What there is, and what is asked."""

    files: tuple[File, ...]
    records: tuple[Record, ...]
    channels: tuple[str, ...]
    """Names, first before second: a name of the first hides that of the second (strict priority)."""
    asked: tuple[str, ...]
    cuda: str | None = None
    cudnn: str | None = None
    driver: str | None = None

    def asking(self, *names: str) -> MixedWorld:
        """The same world, asked for something else."""
        return replace(self, asked=names)

    def request(self, folder: Path) -> Request:
        """The request as a command would make it; its channels are written below ``folder``."""
        lines = ['glibc = "2.36"', *([f'driver = "{self.driver}"'] if self.driver else [])]
        (folder / "target.toml").write_text("\n".join(lines))
        for channel in self.channels:
            write_channel(folder / channel, [r for r in self.records if r.channel == channel])
        options = {"cuda": self.cuda, "cudnn": self.cudnn}
        return Request(
            manifest=None,
            lockfile=folder / "lock",
            prefix=folder / "prefix",
            read_settings=IndexSettings,
            channels=tuple((folder / channel).as_uri() for channel in self.channels),
            pypi=tuple(parse_pypi(text) for text in self.asked if not text.startswith("conda:")),
            conda=tuple(parse_conda(text[6:]) for text in self.asked if text.startswith("conda:")),
            stack={axis: value for axis, value in options.items() if value is not None},
            target_file=folder / "target.toml",
        )

    def client(self) -> WorldClient:
        """The indexes of this world."""
        return PypiWorld(files=self.files, asked=self.asked, cuda=self.cuda, driver=self.driver).client()

    # -- the oracle

    @cached_property
    def candidates(self) -> Mapping[str, Sequence[Candidate]]:
        """Identity to everything that may be chosen for it."""
        found: dict[str, list[Candidate]] = {}
        for record in self.records:
            names = [other.channel for other in self.records if other.name == record.name]
            if record.channel == min(names, key=self.channels.index):
                found.setdefault(identity(record), []).append(record)
        for file in self.files:
            found.setdefault(file.name, []).append(file)
        return found

    @cached_property
    def of_conda(self) -> frozenset[str]:
        """Identities that no wheel may stand for."""
        names = [parse_conda(text[6:]).name for text in self.asked if text.startswith("conda:")]
        return frozenset(identity(Record(name, "0")) for name in names)

    def exists(self) -> Mapping[str, Candidate] | None:
        """Return any set of packages that meets everything, or None: every set is looked at."""
        return next(self._search({}, ("conda:python", *self.asked)), None)

    def _search(self, chosen: Mapping[str, Candidate], agenda: Sequence[str]) -> Iterator[Mapping[str, Candidate]]:
        if not agenda:
            if self.is_sound(tuple(chosen.values())):
                yield chosen
            return
        name, rest = named(agenda[0]), agenda[1:]
        there = [chosen[name]] if name in chosen else self.candidates.get(name, ())
        for one in there:
            if self.meets(one, agenda[0]):
                more = () if name in chosen else needs(one)
                yield from self._search({**chosen, name: one}, (*rest, *more))

    def meets(self, one: Candidate, demand: str) -> bool:
        """Say whether a package meets a requirement (``conda:`` for those of channels, ``asked`` or needed)."""
        if demand.startswith("conda:"):
            return _meets_spec(one, demand[6:], only_conda=named(demand) in self.of_conda)
        if isinstance(one, File):
            return is_met(Requirement(demand), one)
        return Requirement(demand).specifier.contains(one.version, prereleases=True)

    def is_sound(self, chosen: Sequence[Candidate]) -> bool:
        """Say whether a closed set of packages breaks no rule."""
        target = Target(glibc="2.36", driver=self.driver, driver_cuda=None)
        asked = StackRequest(
            cuda=self.cuda, cudnn=self.cudnn, worlds=frozenset({"conda", "pypi"}), channels=self.channels
        )
        return not list(Gate(load_matrix(), asked, (target,), [_held(one) for one in chosen]).violations())


def identity(one: Candidate) -> str:
    """The one name that a package goes by in both worlds."""
    return (pypi_names(one.name) or (one.name,))[0] if isinstance(one, Record) else one.name


def named(demand: str) -> str:
    """The identity that a requirement is about."""
    if demand.startswith("conda:"):
        return identity(Record(parse_conda(demand[6:]).name, "0"))
    return Requirement(demand).name


def needs(one: Candidate) -> tuple[str, ...]:
    """What a package needs."""
    return tuple(f"conda:{text}" for text in one.depends) if isinstance(one, Record) else one.requires


def _meets_spec(one: Candidate, text: str, *, only_conda: bool) -> bool:
    spec = parse_conda(text)
    if isinstance(one, File):
        # a wheel may serve what a conda package needs, but never what is asked of conda, nor a build
        if only_conda or spec.build or not pypi_names(spec.name):
            return False
        return rattler.VersionSpec(spec.version or "*").matches(rattler.Version(one.version))
    record = rattler.PackageRecord(one.name, one.version, rattler.BuildString(one.build), 0, "linux-64")
    return rattler.MatchSpec(spec.match_spec).matches(record)


def _held(one: Candidate) -> Held:
    if isinstance(one, Record):
        return Held(one.name, one.version, "conda", one.build, one.channel)
    return Held(one.name, one.version, "pypi")


def write_channel(folder: Path, records: Sequence[Record]) -> None:
    """Write a channel: its metadata alone, for nothing is downloaded."""
    packages = {
        record.filename: {
            "name": record.name,
            "version": record.version,
            "build": record.build,
            "build_number": 0,
            "depends": list(record.depends),
            "subdir": "linux-64",
            "sha256": hashlib.sha256(record.filename.encode()).hexdigest(),
            "size": 1,
        }
        for record in records
    }
    for subdir, inside in (("linux-64", packages), ("noarch", {})):
        (folder / subdir).mkdir(parents=True)
        document = {"info": {"subdir": subdir}, "packages": {}, "packages.conda": inside, "repodata_version": 1}
        (folder / subdir / "repodata.json").write_text(json.dumps(document))


# -- what is generated


@st.composite
def mixed_worlds(draw: st.DrawFn) -> MixedWorld:
    """Worlds of torch of both kinds, with companions, metapackages, cuDNN, and applications of each world."""
    channels = draw(st.sampled_from(CHANNELS))
    versions = draw(st.lists(st.sampled_from(VERSIONS), min_size=1, max_size=3, unique=True))
    records = [*_base(channels), *(r for c in channels for v in versions for r in _pytorch(draw, c, v))]
    for number in range(1, draw(st.integers(1, 2)) + 1):
        depends = draw(st.lists(st.sampled_from(_ON_PYTORCH), max_size=2, unique_by=lambda text: text.split()[0]))
        records.append(Record("capp", f"{number}.0", depends=("python >=3", *depends), channel=channels[-1]))
    files = [file for version in versions for file in _torch(draw, version)]
    for app in ("app-a", "app-b"):
        for number in range(1, draw(st.integers(1, 2)) + 1):
            wanted = draw(st.lists(st.sampled_from(_ON_TORCH), max_size=2, unique_by=lambda t: Requirement(t).name))
            files.append(File(app, f"{number}.0", tuple(wanted)))
    files += [File(name, version) for name, version in (pin.split("==") for pin in RUNTIMES.values())]
    files += [File("nvidia-cudnn-cu12", version.partition("==")[2]) for version in _CUDNN.values()]
    files += [File("numpy", "1.26.4"), File("numpy", "2.2.0")]
    return MixedWorld(
        files=tuple(files),
        records=tuple(records),
        channels=channels,
        asked=tuple(draw(st.lists(st.sampled_from(ASKED), min_size=1, max_size=3, unique_by=named))),
        cuda=draw(st.sampled_from((None, None, None, "none", "11.8", "12", "12.1", ">=12"))),
        cudnn=draw(st.sampled_from((None, None, None, "8.9", "9"))),
        driver=draw(st.sampled_from((None, None, "470.82.01", "535.104.05"))),
    )


def _base(channels: Sequence[str]) -> Iterator[Record]:
    place = channels[-1]
    yield Record("python", "3.11.9", "h0_cpython", channel=place)
    for version in ("1.26.4", "2.2.0"):
        yield Record("numpy", version, depends=("python >=3",), channel=place)
    for cuda in ("11.8", "12.1", "12.6", "12.9"):
        yield Record("cuda-version", cuda, channel=place)
        if "pytorch" in channels:
            yield Record("pytorch-cuda", cuda, channel="pytorch")
    yield Record("cudnn", "8.9.7.29", depends=("cuda-version >=11,<13",), channel=place)
    yield Record("cudnn", "9.3.0.75", depends=("cuda-version >=12,<13",), channel=place)


def _pytorch(draw: st.DrawFn, channel: str, version: str) -> Iterator[Record]:
    of = "conda:conda-forge" if channel == "mirror" else f"conda:{channel}"
    vision = next(
        row for row in load_matrix().companions if row.project == "torchvision" and row.torch == f"=={version}"
    )
    for row in torch_rows(load_matrix()):
        if row.channel != of or row.version != version or draw(st.integers(0, 3)) == 0:
            continue
        build = row.build.replace("py3*", "py3.11").rstrip("*_") + "_0"
        yield Record("pytorch", version, build, ("python >=3", *_of_cuda(draw, row, channel)), channel)
        if draw(st.booleans()):
            yield Record("torchvision", vision.version, build, (f"pytorch =={version}",), channel)
        if row.cuda and channel != "pytorch" and draw(st.booleans()):
            yield Record("pytorch-gpu", version, build, (f"pytorch =={version} {build}",), channel)


def _of_cuda(draw: st.DrawFn, row: MatrixBuild, channel: str) -> Iterator[str]:
    if row.cuda is None:
        return
    if channel == "pytorch":
        yield f"pytorch-cuda =={row.cuda}"
    elif draw(st.booleans()):
        yield f"cuda-version {row.cuda_runs or f'=={row.cuda}'}"
    if row.cudnn and draw(st.booleans()):
        yield f"cudnn {row.cudnn.partition('.')[0]}.*"


def _torch(draw: st.DrawFn, version: str) -> Iterator[File]:
    matrix = load_matrix()
    vision = next(row for row in matrix.companions if row.project == "torchvision" and row.torch == f"=={version}")
    for row in torch_rows(matrix):
        if row.version != version or row.channel.startswith("conda:") or draw(st.integers(0, 2)) == 0:
            continue
        pins = [RUNTIMES[row.cuda]] if row.cuda in RUNTIMES and draw(st.booleans()) else []
        if row.cudnn and row.cuda and row.cuda.startswith("12") and draw(st.booleans()):
            pins.append(_CUDNN[row.cudnn.partition(".")[0]])
        index = matrix.indexes.get(row.channel)
        local, place = (f"+{index.local_of(row.cuda)}", index.url_of(row.cuda)) if index else ("", PYPI)
        yield File("torch", version + local, tuple(pins), place)
        if draw(st.booleans()):
            yield File("torchvision", vision.version + local, (f"torch=={version}",), place)
