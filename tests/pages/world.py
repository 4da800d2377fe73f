"""The network that readers of the pages have, on one machine: small true packages in the places of the named ones.

Addresses stand for others at the network's edge alone: as mirrors of hosts, and in git's own settings.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.helpers.builds import make_source
from tests.helpers.command import program
from tests.helpers.conda import index_channel, make_conda_package, make_python_package
from tests.helpers.registry import PROGRAM, running_registry
from tests.helpers.repositories import GitServer, committed, git
from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_wheel

TORCH = """
__version__ = "{version}"
class version: cuda = {cuda!r}
class ones:
    def __init__(self, *shape, device=None): pass
    def numpy(self): return [1.0]
"""
RUNTIMES = {"12.1": "12.1.105", "11.8": "11.8.89", "12.4": "12.4.127", "12.6": "12.6.77", "12.8": "12.8.90"}
PLAIN = {
    "numpy": ("1.26.4", "2.2.0"), "scipy": ("1.13.0", "1.14.0"), "six": ("1.16.0", "1.17.0"),
    "transformers": ("4.36.0", "4.40.0"), "accelerate": ("0.25.0",), "ours": ("1.0",),
}  # fmt: skip
PROGRAMS = {"jupyterlab": ("4.4.0", "jupyter"), "pytest": ("8.0", "pytest"), "ipykernel": ("6.29.5", "ipython")}
"""Projects whose program says how it was called and ends."""
INDEXES = ("https://pypi.org", "https://mirror.example.org/pypi", "https://packages.example.org", "https://example.org")


class World(NamedTuple):
    """Where everything is."""

    shelf: Path
    environ: Mapping[str, str]
    git: str
    """The address of the repositories."""
    registry: str
    """Its host and port; where none is installed, nobody's."""


@contextmanager
def running_world(folder: Path) -> Iterator[World]:
    """Fill indexes, channels, repositories and a registry below a folder, and serve them."""
    fill_shelf(folder / "shelf")
    for version, cuda in (("2.1.0+cu118", "11.8"), ("2.5.1+cpu", None)):
        make_torch(folder / "pytorch", version, cuda, [])
    fill_channels(folder / "channels")
    fill_repositories(folder / "repositories")
    programs = program(folder / "programs").parent
    with ExitStack() as stack:
        times = dict.fromkeys((file.name for file in (folder / "shelf").iterdir()), "2023-10-05T00:00:00Z")
        serving = IndexServer(folder / "shelf", metadata="hashed", json=True, upload_times=times)
        index = stack.enter_context(serving).url
        registry = stack.enter_context(running_registry(folder / "registry")) if PROGRAM else "registry.invalid"
        pytorch = stack.enter_context(IndexServer(folder / "pytorch", metadata="hashed", json=True)).url
        repositories = stack.enter_context(GitServer(folder / "repositories")).url
        channels = (folder / "channels").as_uri()
        mirrors = {
            **dict.fromkeys(INDEXES, index),
            "https://download.pytorch.org": pytorch,
            "https://download.pytorch.org/whl/cu118": f"{pytorch}/simple",
            "https://download.pytorch.org/whl/cpu": f"{pytorch}/simple",
            "https://conda.anaconda.org": channels,
            "https://conda.example.org": channels,
            "https://repo.anaconda.com/pkgs": channels,
        }
        kept = {name: os.environ[name] for name in ("SSL_CERT_FILE", "LD_LIBRARY_PATH") if name in os.environ}
        environ = {
            **kept,
            "PATH": f"{programs}:{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "LANG": "C.UTF-8",
            "PIP_CONFIG_FILE": os.devnull,
            "DATALOADER_MIRROR": " ".join(f"{prefix}={url}" for prefix, url in mirrors.items()),
        }
        yield World(folder / "shelf", environ, repositories, registry)


def fill_shelf(shelf: Path) -> None:
    """Write the wheels and source archives of the indexes."""
    for cuda, version in RUNTIMES.items():
        make_wheel(shelf, f"nvidia-cuda-runtime-cu{cuda.partition('.')[0]}", version)
    for version, cuda in (("2.1.0", "12.1"), ("2.4.1", "12.1"), ("2.5.1", "12.4"), ("2.7.1", "12.6")):
        make_torch(shelf, version, cuda, [f"nvidia-cuda-runtime-cu12=={RUNTIMES[cuda]}"])
    for name, versions in PLAIN.items():
        needs = {"scipy": ["numpy"], "transformers": ["numpy"], "accelerate": ["numpy", "torch"]}.get(name, [])
        for version in versions:
            make_wheel(shelf, name, version, requires=needs)
    for name, (version, command) in PROGRAMS.items():
        code = "import sys\ndef main(): print(*sys.argv)\n"
        points = {"console_scripts": {command: f"{name}:main"}}
        make_wheel(shelf, name, version, files={f"{name}.py": code}, entry_points=points)
    for name in ("docopt", "demo"):
        make_source(shelf, name)


def make_torch(shelf: Path, version: str, cuda: str | None, requires: list[str]) -> None:
    """Write a wheel that says of itself what torch does."""
    files = {"torch/__init__.py": TORCH.format(version=version, cuda=cuda)}
    make_wheel(shelf, "torch", version, requires=requires, files=files, tag="py3-none-manylinux_2_17_x86_64")


def fill_channels(channels: Path) -> None:
    """Write the packages of the channels, Python among them."""
    make_python_package(channels / "conda-forge")
    for name, version in (("ffmpeg", "7.1"), ("cudnn", "8.9.7.29"), ("zlib", "1.3.1")):
        make_conda_package(channels / "conda-forge", name, version, files={f"share/{name}.txt": name})
    make_conda_package(channels / "ours", "ours", "1.0", files={"share/ours.txt": "ours"})
    for name in ("pip", "ipykernel", "nb_conda_kernels", "notebook"):
        make_conda_package(channels / "main", name, "25.0", noarch="generic")
    for empty in ("nvidia", "r"):
        (channels / empty / "noarch").mkdir(parents=True)
    for channel in channels.iterdir():
        index_channel(channel)


def fill_repositories(repositories: Path) -> None:
    """Write the repositories that the pages name."""
    make_source(repositories / "demo.git", "demo", as_tree=True)
    make_source(repositories / "mono.git" / "py" / "demo", "demo", as_tree=True)
    for repository in repositories.iterdir():
        committed(repository)
    git(repositories / "demo.git", "tag", "v1.2")
