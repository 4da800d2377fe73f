"""A read-only root without a folder for temporary files and without a cache: who reads works, who writes says why."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.functional.test_flow import Desk
from tests.functional.test_options_are_read import LINES

LINES_HERE = {
    "sync": ["-p env", "-p env --reinstall"],
    "install": ["more -p env"],
    "lock": ["lib"],
    "verify": ["-p env", "{shelf}/lib-1.0-py3-none-any.whl"],
    "run": ["-p env -- true"],
    "shell": [f"-p env --shell {name}" for name in ("sh", "bash", "zsh", "fish") if shutil.which(name)],
    "env": ["list", "remove -p env"],
    "cache": ["info", "prune"],
    "kernel": ["list"],
    "init": [""],
}
"""What is run here of a command, in place of what tests of options run."""
WORKS = {
    "sync -p env",
    "verify -p env",
    "run -p env -- true",
    "list -p env",
    "tree",
    "explain lib",
    "cache info",
    "info",
}
SKIPPED = {"add", "remove", "upgrade", "k8s", "push", "pull", "generations", "rollback", "prune", "unbundle", "clean"}
"""They need what is not there, and end before they write."""
SKIPPED |= {"help", "completion", "config", "diff", "search", "plan"}
"""They write nothing that others here do not."""
PROGRAM = """
import json, os, sys
from dataloader.cli.app import main
for line in json.loads(sys.argv[1]):
    sys.stdout.flush()
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        sys.argv = ["dataloader", *line.split()]
        code = 1
        try:
            code = main(line.split())
        except SystemExit as left:
            code = left.code or 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    print(json.dumps([line, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])]))
"""


@pytest.mark.slow
def test_nothing_fails_but_by_name(desk: Desk) -> None:
    if not shutil.which("bwrap"):
        pytest.skip("bwrap is not installed")
    desk.ok("install", "lib", "-p", "env")
    named = {"here": desk.here, "shelf": desk.index.folder}
    lines = [
        f"{command} {line.format(**named)}".strip()
        for command, usual in LINES.items()
        if command not in SKIPPED
        for line in LINES_HERE.get(command, usual[:1])
    ]
    box = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
    environ = {**os.environ, "HOME": "/nonexistent", "DATALOADER_CONDA": "never"}
    environ |= {"DATALOADER_INDEX_URL": desk.index.index_url}
    environ.pop("DATALOADER_CACHE_DIR")
    if subprocess.run([*box, "true"], capture_output=True, check=False).returncode:
        pytest.skip("bwrap may not make a root here")
    done = subprocess.run(
        [*box, sys.executable, "-c", PROGRAM, json.dumps(lines)], cwd=desk.here, env=environ, capture_output=True,
        text=True, check=False,
    )  # fmt: skip

    codes = dict(map(json.loads, done.stdout.splitlines()))
    assert set(codes) == set(lines), done.stderr
    assert {line: code for line, code in codes.items() if code not in (0, 1, 2, 3)} == {}, done.stderr
    assert {line: codes.get(line) for line in WORKS} == dict.fromkeys(WORKS, 0), done.stderr
    assert ".tmp" not in done.stderr
