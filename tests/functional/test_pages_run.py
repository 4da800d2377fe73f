"""The commands of the tutorial, of how-tos and of README are typed, page by page, against an index of stand-ins.

Each page's lines run in their order in one place, as its reader would type them. What cannot be run here is named.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_wheel

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
BEGUN = (
    "dataloader init; dataloader lock; git init -q .; git add .; git -c user.name=a -c user.email=a@b commit -qm one"
)
PAGES = {"README.md": "", "docs/tutorial.md": "", "docs/howto/packages.md": BEGUN}
"""Page -> what its reader has done before."""
NOT_RUN = {
    r"pip install|^\.ci/run": "sets up this program, or everything that checks it",
    r"conda:|--tensorflow": "needs a channel, or releases that there are no stand-ins for",
    r"device='cuda'": "needs a GPU",
    r"^dataloader sync {10}|^dataloader verify {10}|--torch=2\.1\.0 {6}": "the command itself is what is spoken of",
}
"""Lines that are not run, and why."""
TORCH = """
__version__ = "{version}"
class version: cuda = "{cuda}"
class ones:
    def __init__(self, *shape, device=None): pass
    def numpy(self): return [1.0]
"""
RUNTIMES = {"12.1": "12.1.105", "11.8": "11.8.89", "12.4": "12.4.127", "12.6": "12.6.77", "12.8": "12.8.90"}


@pytest.fixture
def index(tmp_path: Path) -> Iterator[IndexServer]:
    shelf = tmp_path / "shelf"
    for cuda, version in RUNTIMES.items():
        make_wheel(shelf, f"nvidia-cuda-runtime-cu{cuda.partition('.')[0]}", version)
    for version, cuda in (("2.1.0", "12.1"), ("2.4.1", "12.1"), ("2.5.1", "12.4"), ("2.7.1", "12.6")):
        requires = [f"nvidia-cuda-runtime-cu12=={RUNTIMES[cuda]}"]
        files = {"torch/__init__.py": TORCH.format(version=version, cuda=cuda)}
        make_wheel(shelf, "torch", version, requires=requires, files=files, tag="py3-none-manylinux_2_17_x86_64")
    for name, versions in {
        "numpy": ("1.26.4", "2.2.0"), "scipy": ("1.13.0", "1.14.0"), "pytest": ("8.0",),
        "transformers": ("4.36.0", "4.40.0"),
    }.items():  # fmt: skip
        for version in versions:
            make_wheel(shelf, name, version, requires=["numpy"] if name in ("scipy", "transformers") else [])
    make_wheel(shelf, "accelerate", "0.25.0", requires=["torch", "numpy"])
    with IndexServer(shelf) as server:
        yield server


def lines_of(page: str) -> list[str]:
    """The lines of a page that are for a terminal."""
    text = (ROOT / page).read_text().replace("\\\n", " ")
    return re.findall(r"^ {4}((?:dataloader|cd|git|python3|\.ci/run)\b.*)$", text, re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_each_command_of_a_page_runs(page: str, index: IndexServer, tmp_path: Path) -> None:
    here, programs = tmp_path / "here", tmp_path / "programs"
    (here / "wheels").mkdir(parents=True)
    programs.mkdir()
    make_wheel(here / "wheels", "ours", "1.0")
    program = programs / "dataloader"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dataloader "$@"\n')
    program.chmod(0o755)
    environ = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "DATALOADER_CONDA": "never",
        "DATALOADER_INDEX_URL": index.index_url,
        "HOME": str(tmp_path),
    }
    (tmp_path / "pools.toml").write_text(
        '[[pool]]\nname = "old"\nplatform = "linux-64"\nglibc = "2.31"\ndriver = "535.104.05"\n'
    )
    lines = [line for line in lines_of(page) if not any(re.search(why, line) for why in NOT_RUN)]
    assert lines
    script = "\n".join([PAGES[page], *(f"[ -e pools.toml ] || cp '{tmp_path}/pools.toml' .\n{line}" for line in lines)])
    done = subprocess.run(
        ["bash", "-exc", script], cwd=here, env=environ, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, f"{script}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
