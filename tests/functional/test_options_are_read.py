"""Each option that a command shows is read by it: recorded while the commands run."""

from __future__ import annotations

import itertools
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import dataloader.cli.line.command
import dataloader.request.request
from dataloader.cli.app import main
from dataloader.cli.commands import COMMANDS, load
from dataloader.cli.line.options import CommonOptions, declared
from dataloader.request.request import Request, make_request
from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_wheel

BECOMES = {
    "requirements": {"pypi"},
    "files": {"pypi"},
    "extra": {"groups", "pypi"},
    "group": {"groups", "pypi"},
    "all_extras": {"groups", "pypi"},
    "skip_unbuildable": {"left_out", "notes"},
    "build": {"built"},
    "conda": {"conda_mode"},
    "target": {"target_file"},
    "environment": {"prefix", "lockfile", "pypi", "stack"},
    "manifest": {"prefix", "lockfile", "manifest", "stack", "channels"},
}
"""Option -> what make_request makes of it, where that has another name."""

LINES: dict[str, list[str]] = {
    "init": ["{here}"],
    "lock": ["lib", "lib>=9"],
    "install": ["lib -p env", "lib -p env", "lib>=9 -p env", "more -p env --dry-run"],
    "add": ["lib --manifest m.toml -p env2", "lib>=9 --manifest m.toml", "more --manifest m.toml -p env2"],
    "remove": ["more --manifest m.toml -p env2", "more --manifest bad.toml"],
    "upgrade": ["lib --manifest m.toml -p env2", "--manifest m.toml --dry-run", "--manifest bad.toml"],
    "sync": [
        "-p env",
        "DATALOADER_PRERELEASE=allow -p env",
        "DATALOADER_REQUIREMENT=bad.txt -p env",
        "--root r --name n",
        "--root r --name n --reinstall",
        "-p env --require-attestation=no=any",
    ],
    "verify": ["env", "-p env", "env --target t.toml"],
    "run": ["-p env -- true", "-- true", "--manifest m.toml -- true", "--manifest bad.toml -- true"],
    "shell-hook": ["-p env", ""],
    "shell": ["-p env", "", "--manifest m.toml", "--manifest bad.toml"],
    "list": ["-p env", ""],
    "tree": ["", "-p env"],
    "explain": ["lib", "lib -p env"],
    "export": ["requirements.txt", "cyclonedx -p env"],
    "bundle": ["--no-program -o made.tar.zst"],
    "unbundle": ["made.tar.zst -p unbundled"],
    "diff": ["dataloader.lock"],
    "outdated": ["", "--refresh", "--target t.toml"],
    "search": ["lib"],
    "abi": ["{here}/../shelf/lib-1.0-py3-none-any.whl --with lib"],
    "plan": ["--cuda", "--cuda --target t.toml --conda=auto -c conda-forge"],
    "generations": ["--root r --name n", "--root r"],
    "rollback": ["--root r --name n"],
    "prune": ["--root r --name n"],
    "push": ["127.0.0.1:1/a/b:1 -p env --target-prefix /opt/env", "127.0.0.1:1/a/b:1 -p no-such"],
    "pull": ["127.0.0.1:1/a/b:1 -p other", "127.0.0.1:1/a/b:1 -p other --lockfile x.lock --dry-run"],
    "k8s": ["warm --name n", "prune -p env --target t.toml"],
    "env": ["list", "remove -p env2"],
    "clean": ["--dry-run", ""],
    "config": ["", "--manifest m.toml -p env"],
    "kernel": ["list", "install", "install -p env"],
    "completion": ["bash"],
    "cache": ["info", "verify", "prune", "warm"],
    "info": ["", "--target t.toml"],
    "help": ["sync"],
}
"""What is run of each command, in this order, behind variables; some of it fails, as it should."""

TARGET = """
platform = "linux-64"
glibc = "2.36"
"""


class Record:
    """What was read of options, and of requests that were made from them."""

    def __init__(self) -> None:
        self.command = ""
        self.options: defaultdict[str, set[str]] = defaultdict(set)
        self.requests: defaultdict[str, set[str]] = defaultdict(set)

    def note(self, reads: defaultdict[str, set[str]], name: str) -> None:
        caller: FrameType | None = sys._getframe(2)
        if caller is None or caller.f_globals["__name__"] in {"dataclasses", "dataloader.cli.line.command"}:
            return  # all of them are copied
        while caller is not None:
            if caller.f_code is make_request.__code__:
                return  # what becomes of the request counts
            caller = caller.f_back
        reads[self.command].add(name)

    def is_read(self, command: str, option: str) -> bool:
        return option in self.options[command] or bool(BECOMES.get(option, {option}) & self.requests[command])


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> Record:
    kept = Record()

    class ReadOptions(CommonOptions):
        def __getattribute__(self, name: str) -> Any:
            kept.note(kept.options, name)
            return CommonOptions.__getattribute__(self, name)

    class ReadRequest(Request):
        def __getattribute__(self, name: str) -> Any:
            kept.note(kept.requests, name)
            return Request.__getattribute__(self, name)

    collect = dataloader.cli.line.command._collect

    def recorded(kind: Any, *arguments: Any) -> Any:
        return collect(ReadOptions if kind is CommonOptions else kind, *arguments)

    monkeypatch.setattr(dataloader.cli.line.command, "_collect", recorded)
    monkeypatch.setattr(dataloader.request.request, "Request", ReadRequest)
    return kept


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in ("lib", "more"):
        make_wheel(tmp_path / "shelf", name, "1.0", files={f"{name}.py": "V = 1\n"})
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    (here / "t.toml").write_text(TARGET)
    (here / "bad.txt").write_text("lib>=9\n")
    (here / "m.toml").write_text("[workspace]\nchannels = []\n")
    (here / "bad.toml").write_text('[workspace]\nchannels = []\n[pypi-dependencies]\nlib = ">=9"\nmore = "*"\n')
    with IndexServer(tmp_path / "shelf") as index:
        monkeypatch.setenv("DATALOADER_INDEX_URL", index.index_url)
        monkeypatch.setenv("DATALOADER_CONDA", "never")
        yield here


def test_every_option_that_a_command_shows_is_read_by_it(
    record: Record, here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def no_program(*_: object) -> None:
        raise SystemExit(0)

    monkeypatch.setattr("os.execve", no_program)  # it would end this process
    for name, lines in LINES.items():
        record.command = name
        for line in lines:
            words = line.format(here=here).split()
            variables = list(itertools.takewhile(lambda word: word.startswith("DATALOADER_"), words))
            with pytest.MonkeyPatch.context() as patch:
                for variable, _, value in (word.partition("=") for word in variables):
                    patch.setenv(variable, value)
                try:
                    code = main([name, *words[len(variables) :]])
                except SystemExit:
                    code = 0
            assert code in (0, 1, 2, 3), capfd.readouterr()
    shared = {spec.name for spec in declared(CommonOptions)}

    unread = {
        name: [p.name for p in load(name).parameters if p.name in shared and not record.is_read(name, p.name)]
        for name in COMMANDS
    }
    assert {name: names for name, names in unread.items() if names} == {}
