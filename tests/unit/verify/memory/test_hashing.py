"""Several processes hash what one would, also where there are threads, or one of them is lost."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = """
import os, sys, threading
from dataloader.verify.memory import hashing

hashing.available_processors = lambda: 3
hashing._BATCH = 64 << 10
own, how, folder = os.getpid(), sys.argv[1], sys.argv[2]
if how == "threads":
    threading.Thread(target=threading.Event().wait, daemon=True).start()

def then(number, digest):
    if how == "killed" and number % 7 == 3 and os.getpid() != own:
        os._exit(9)
    with open(f"{folder}/told", "a") as told:
        told.write(f"{number} {digest.hex()} {os.getpid() == own}\\n")

paths = [f"{folder}/{number}" for number in range(300)]
sizes = [os.path.getsize(path) if os.path.exists(path) else 0 for path in paths]
for number, digest in hashing.hash_all(paths, sizes, then):
    print(number, digest and digest.hex())
sys.stdout.flush()
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    os._exit(0)
"""


@pytest.mark.parametrize("how", ["", "threads", "killed"])
def test_every_file_is_hashed_once(tmp_path: Path, how: str) -> None:
    known: dict[int, str | None] = {}
    for number in range(300):
        content = bytes([number % 256]) * (number * 997 % 5000 if number else 1 << 20)
        (tmp_path / str(number)).write_bytes(content)
        known[number] = hashlib.sha256(content).hexdigest()
    (tmp_path / "200").unlink()
    known[200] = None

    command = [sys.executable, "-c", _PROGRAM, how, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    rows = [line.split() for line in done.stdout.splitlines()]
    assert sorted(int(number) for number, _ in rows) == list(range(300))
    assert {int(number): digest if digest != "None" else None for number, digest in rows} == known
    told = [line.split() for line in (tmp_path / "told").read_text().splitlines()]
    assert {(int(number), digest) for number, digest, _ in told} == {each for each in known.items() if each[1]}
    assert {where for _, _, where in told} == {"": {"False"}, "threads": {"True"}, "killed": {"False", "True"}}[how]
