"""A training job on a generation, with PyTorch and a Jupyter kernel: of one generation to its end."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dataloader.base.reporter import Reporter
from dataloader.install.switch.generations import current, generations, prune, sync_generation
from dataloader.lockfile.model import Lockfile
from tests.helpers.locks import FolderDownloads, lock_of, options_for
from tests.helpers.wheels import make_wheel

NAME = "train"
ENVIRON = dict(os.environ)
"""With what pip is told of indexes here; tests begin without."""
WANTED = ("torch==2.13.0+cpu", "numpy", "ipykernel", "jupyter_client")

RANK = """
import os, sys
import part.late
print(os.environ["RANK"], part.late.release, sys.prefix, flush=True)
"""
JOB = """
import json, subprocess, sys
import torch
from torch.utils.data import DataLoader, Dataset

SAY = "import part.late, sys; print(part.late.release, sys.prefix)"

class Numbers(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, number):
        import part.late
        return f"{part.late.release} {sys.prefix}"

def main():
    print("ready", flush=True)
    sys.stdin.readline()
    said = {}
    for context in ("spawn", "forkserver", "fork"):
        loader = DataLoader(Numbers(), num_workers=2, multiprocessing_context=context, collate_fn=list)
        said[context] = sorted({text for batch in loader for text in batch})
    import torch.distributions.laplace
    import part.late
    said["late"] = [f"{part.late.release} {sys.prefix}"]
    command = ["torchrun", "--standalone", "--nproc-per-node=2", "-m", "part.rank"]
    ranks = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    said["torchrun"] = sorted({line.partition(" ")[2] for line in ranks})
    said["ranks"] = len(ranks)
    from jupyter_client.manager import start_new_kernel
    manager, client = start_new_kernel(kernel_name="python3")
    kernel = []
    client.execute_interactive(SAY, timeout=60, output_hook=lambda m: kernel.append(m["content"].get("text", "")))
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    said["kernel"] = ["".join(kernel).strip()]
    said["torch"] = torch.__file__
    said["laplace"] = torch.distributions.laplace.__file__
    print(json.dumps(said))
"""


def stack(tmp_path: Path) -> list[Path]:
    """Wheels of PyTorch for the CPU and of a kernel, as pip would take them."""
    pip = [sys.executable, "-m", "pip"]
    folder = tmp_path / "stack"
    command = [*pip, "download", "-q", "--only-binary=:all:", "-d", str(folder), *WANTED]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRON)
    if done.returncode != 0:
        pytest.skip(f"no index that can be reached has PyTorch for the CPU alone: {done.stderr[-200:]}")
    return sorted(folder.glob("*.whl"))


def lock_at(tmp_path: Path, wheels: list[Path], release: str) -> Lockfile:
    name = f"release = {release!r}\n"
    files = {"part/__init__.py": name, "part/late.py": name, "part/job.py": JOB, "part/rank.py": RANK}
    entry_points = {"console_scripts": {"part-job": "part.job:main"}}
    part = make_wheel(tmp_path / "wheels", "part", release, files=files, entry_points=entry_points)
    return lock_of(*wheels, part)


@pytest.mark.e2e
@pytest.mark.pypi
def test_training_job_is_of_one_generation(tmp_path: Path) -> None:
    """Started by the link; three syncs and two prunes while it runs, then workers, ranks and a kernel begin."""
    wheels, root = stack(tmp_path), tmp_path / "root"

    def sync(release: str) -> None:
        lock = lock_at(tmp_path, wheels, release)
        asyncio.run(sync_generation(lock, root, NAME, options_for(tmp_path), Reporter(), FolderDownloads()))

    def prune_all() -> list[int]:
        asyncio.run(prune(root, NAME, Reporter(), keep=0))
        return [generation.number for generation in generations(root, NAME)]

    sync("1")
    first = current(root, NAME)
    environ = {
        "PATH": f"{root / NAME}/bin:/usr/bin:/bin",
        "HOME": str(tmp_path),
    }
    process = subprocess.Popen(
        [root / NAME / "bin/part-job"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        sync("2")
        assert prune_all() == [1, 2]
        sync("3")
        sync("4")
        assert prune_all() == [1, 4]
        output, _ = process.communicate("go\n", timeout=300)
    finally:
        process.kill()
        process.communicate()

    assert process.returncode == 0
    said = json.loads(output.splitlines()[-1])
    for what in ("spawn", "forkserver", "fork", "late", "torchrun", "kernel"):
        assert said[what] == [f"1 {first}"], what
    assert said["ranks"] == 2
    assert said["torch"].startswith(f"{first}/")
    assert said["laplace"].startswith(f"{first}/")
    assert prune_all() == [4]
