"""The mixed project of a public benchmark of package managers, beside rattler's and uv's part of it.

Its requirements are those of https://github.com/brandonrc/python-package-manager-benchmark: some 400 packages, of
conda-forge and of PyPI. No channel is asked: the lock is solved over a sample of conda-forge's metadata
(tests/data/mlbench), and what is installed of conda is made of PyPI's wheels, for there are no archives to that sample.
What needs torch is left out there, and OpenCV is PyPI's.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from email.parser import Parser
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from dataloader.base.names import conda_name
from tests.bench.results import Result, ratio
from tests.bench.samples import unpack_sample
from tests.bench.tools import World, alternate, calm, dataloader, timed, uv
from tests.bench.volumes import pins
from tests.helpers.conda import index_channel, make_conda_package, make_python_package
from tests.helpers.rattler_alone import solve_alone

if TYPE_CHECKING:
    import rattler

SAMPLE = Path(__file__).parents[1] / "data" / "mlbench"

CONDA = (
    *("numpy >=1.24", "scipy >=1.11", "pandas >=2.0", "scikit-learn >=1.3", "matplotlib >=3.7", "h5py >=3.9"),
    *("pillow >=10.0", "tqdm >=4.65", "jupyterlab >=4.0", "protobuf >=4.0", "pytest >=7.0", "pytest-timeout >=2.1"),
)
CONDA_ONLY = ("pytorch >=2.0", "torchvision >=0.15", "opencv >=4.8")
"""Of these no archives can be made."""
PYPI = (
    *("transformers>=4.30", "datasets>=3.0", "wandb>=0.15", "albumentations>=1.3", "onnx>=1.14", "onnxruntime>=1.15"),
    *("onnxscript>=0.1", "gradio>=4.0", "safetensors>=0.3", "evaluate>=0.4"),
)
PYPI_ON_TORCH = ("lightning>=2.0", "timm>=0.9", "torchmetrics>=1.0")
_PYTHON = "{}.{}".format(*sys.version_info[:2])


def mixed(world: World) -> Iterator[Result]:
    """Lock the whole project, and install what there are files of, against both parts one after the other."""
    yield from _locks(world)
    yield from _installs(world)


def _locks(world: World) -> Iterator[Result]:
    here = world.directory("mixed")
    channel = (unpack_sample(SAMPLE, here / "channels") / "conda-forge").as_uri()
    specs, wheels = (*CONDA, *CONDA_ONLY), (*PYPI, *PYPI_ON_TORCH)
    env = world.environ(DATALOADER_CACHE_DIR=str(here / "cache"), UV_CACHE_DIR=str(here / "uv-cache"))
    _write_project(here, channel, specs, wheels, python=">=3.11,<3.13")
    (here / "requirements.in").write_text("\n".join(wheels) + "\n")
    compiled = [uv(), "pip", "compile", "-q", "--python-version", "3.11", "requirements.in", "-o", "requirements.txt"]
    solve = "import sys; from tests.bench import mixed; mixed.solve(*sys.argv[1:])"
    solved = [sys.executable, "-c", solve, channel, "python >=3.11,<3.13", *specs]

    def ours() -> float:
        (here / "dataloader.lock").unlink(missing_ok=True)
        return timed([dataloader(), "lock"], cwd=here, env=env)

    def theirs() -> float:
        (here / "requirements.txt").unlink(missing_ok=True)
        with_root = {**env, "PYTHONPATH": str(Path(__file__).parents[2])}
        return timed(solved, cwd=here, env=with_root) + timed(compiled, cwd=here, env=env)

    def emptied(name: str, run: Callable[[], float]) -> Callable[[], float]:
        def from_nothing() -> float:
            shutil.rmtree(here / name, ignore_errors=True)
            return run()

        return from_nothing

    cold = alternate(world.runs, emptied("cache", ours), emptied("uv-cache", theirs))
    yield ratio("mixed project, lock, cold", cold, None, "rattler+uv")
    yield ratio("mixed project, lock, warm", alternate(world.runs, ours, theirs), None, "rattler+uv")


def _installs(world: World) -> Iterator[Result]:
    here = world.directory("mixed-install", empty=False)
    env = world.environ(DATALOADER_CACHE_DIR=str(here / "cache"), UV_CACHE_DIR=str(here / "uv-cache"))
    channel = here / "channel"
    if not (channel / "noarch" / "repodata.json").exists():
        _make_channel(channel, world, here)
    _write_project(here, channel.as_uri(), CONDA, PYPI, python=f"{_PYTHON}.*")
    timed([dataloader(), "lock"], cwd=here, env=env)
    lock = (here / "dataloader.lock").read_text()
    (here / "requirements.txt").write_text("\n".join(pins(lock.splitlines())) + "\n")
    records = asyncio.run(solve_alone([channel.as_uri()], (f"python {_PYTHON}.*", *CONDA)))
    fresh = (here / f"run-{number}" for number in itertools.count(1))

    def ours() -> float:
        return timed([dataloader(), "sync", "--offline", "-p", str(next(fresh))], cwd=here, env=env)

    def theirs() -> float:
        where = next(fresh)
        started = time.perf_counter()
        asyncio.run(_linked(records, where, here / "rattler-cache"))
        linked = time.perf_counter() - started
        command = [uv(), "pip", "install", "-q", "--no-deps", "-r", "requirements.txt", "-p", f"{where}/bin/python"]
        return linked + timed(command, cwd=here, env=env)

    timed([dataloader(), "sync", "-p", str(next(fresh))], cwd=here, env=env)
    theirs()
    calm()
    yield ratio("mixed project, install, warm", alternate(world.runs, ours, theirs), None, "rattler+uv")
    for left in here.glob("run-*"):
        shutil.rmtree(left)


def solve(channel: str, *specs: str) -> None:
    """Solve the conda part with rattler alone."""
    asyncio.run(solve_alone([channel], specs))


async def _linked(records: list[rattler.RepoDataRecord], prefix: Path, cache: Path) -> None:
    import rattler

    await rattler.install(records, target_prefix=prefix, cache_dir=cache, show_progress=False)


def _write_project(here: Path, channel: str, specs: Sequence[str], wheels: Sequence[str], *, python: str) -> None:
    """Write the project as its own manifest has it, pixi's."""
    conda = "".join(f'{name} = "{bound}"\n' for name, bound in (spec.split(" ") for spec in specs))
    pypi = "".join(f'{wanted.name} = "{wanted.specifier}"\n' for wanted in map(Requirement, wheels))
    (here / "pixi.toml").write_text(
        f'[workspace]\nname = "mlbench"\nchannels = ["{channel}"]\nplatforms = ["linux-64"]\n'
        f'[dependencies]\npython = "{python}"\n{conda}[pypi-dependencies]\n{pypi}'
    )


def _make_channel(channel: Path, world: World, here: Path) -> None:
    """Make conda packages of the wheels that the conda part comes to on PyPI beside the rest, and of this Python."""
    env = world.environ(UV_CACHE_DIR=str(here / "uv-cache"))
    wanted = [spec.replace(" ", "") for spec in CONDA]
    (here / "all.in").write_text("\n".join((*wanted, *PYPI)) + "\n")
    (here / "conda.in").write_text("\n".join(wanted) + "\n")
    compiled = [uv(), "pip", "compile", "-q", "--no-annotate", "--no-header"]
    (here / "all.txt").write_text(_output([*compiled, "all.in"], here, env))
    (here / "conda.txt").write_text(_output([*compiled, "-c", "all.txt", "conda.in"], here, env))
    words = ["download", "-q", "--no-deps", "--only-binary=:all:", "-d", str(here / "wheels"), "-r", "conda.txt"]
    timed([sys.executable, "-m", "pip", *words], cwd=here, env=env)
    make_python_package(channel)
    for wheel in sorted((here / "wheels").glob("*.whl")):
        _repack(wheel, channel)
    index_channel(channel)


def _repack(wheel: Path, channel: Path) -> None:
    """Make a conda package of a wheel's modules, with what its METADATA requires."""
    name, version, _, _ = parse_wheel_filename(wheel.name)
    with zipfile.ZipFile(wheel) as archive:
        inside = [m for m in archive.namelist() if not m.endswith("/") and ".data/" not in m]
        files = {f"lib/python{_PYTHON}/site-packages/{member}": archive.read(member) for member in inside}
        (metadata,) = (m for m in inside if m.endswith(".dist-info/METADATA") and m.count("/") == 1)
        said = Parser().parsestr(archive.read(metadata).decode(), headersonly=True)
    needs = (Requirement(line) for line in said.get_all("Requires-Dist", ()))
    applying = (need for need in needs if need.marker is None or need.marker.evaluate({"extra": ""}))
    depends = [f"{_in_conda(need.name)} {need.specifier}".strip() for need in applying]
    identity = _in_conda(name)
    make_conda_package(channel, identity, str(version), depends=[f"python {_PYTHON}.*", *depends], files=files)
    if identity != name:  # as conda-forge has matplotlib, which is matplotlib-base
        make_conda_package(channel, name, str(version), depends=[f"{identity} {version}"])


def _in_conda(project: str) -> str:
    name = str(canonicalize_name(project))
    return conda_name(name) or name


def _output(command: list[str], cwd: Path, env: Mapping[str, str]) -> str:
    done = subprocess.run(command, cwd=cwd, env=dict(env), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed ({done.returncode}):\n{done.stderr}")
    return done.stdout


CASES: dict[str, Callable[[World], Iterator[Result]]] = {"mixed": mixed}
