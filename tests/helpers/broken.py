"""Environments that fail as people reported it: true wheels with compiled modules, installed by uv, and then broken."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dataloader.cli.app import main
from dataloader.verify.fixes import command_for, maker_of
from dataloader.verify.report import printable
from tests.helpers.elf import make_library
from tests.helpers.fixes import PROVOKED, Form, fixes_of, form_of, listed
from tests.helpers.prefixes import EXTENSION, SITE, VERSION, module_source
from tests.helpers.wheels import make_wheel

UV = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
TAG = f"cp{VERSION.replace('.', '')}-cp{VERSION.replace('.', '')}-linux_x86_64"


class Broken:
    """One environment, and the shelf of wheels that it and its fixes are installed from."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.prefix, self.shelf = folder, folder / "env", folder / "shelf"
        self.site = self.prefix / SITE
        self.shelf.mkdir()
        self.variables: dict[str, str] = {}
        """Of the process that runs, and of the verify that judges it."""
        self.lock = ""
        """The lock of an environment that is ours."""
        self.target = ""
        """A description of the machine that is judged (TOML); else it is this one."""
        self.open = ExitStack()
        """What is served as long as the world lasts."""
        self.built = 0
        self.begin()

    def begin(self) -> None:
        """The environment, with nothing in it."""
        self.shell(f"{UV} venv -q --python {sys.executable} {self.prefix}")

    # -- making --------------------------------------------------------------------------------------------------------

    def library(self, soname: str, source: str = "", **options: Any) -> Path:
        """A shared library in a folder of its own."""
        self.built += 1
        return make_library(self.folder / f"built/{self.built}/{soname}", source, soname=soname, **options)

    def module(self, name: str, *needs: Path, calls: Sequence[str] = (), **options: Any) -> Path:
        """An extension module that is linked with libraries, and calls functions of theirs when it is imported."""
        self.built += 1
        externs = "".join(f"extern int {each}(void); " for each in calls)
        source = externs + module_source(name, "".join(f"{each}(); " for each in calls))
        path = self.folder / f"built/{self.built}/{name}{EXTENSION}"
        return make_library(path, source, needs=needs, **options)

    def wheel(self, name: str, version: str, files: Mapping[str, Path | str], **options: Any) -> Path:
        """A wheel on the shelf; a path stands for the file's content."""
        content = {path: each if isinstance(each, str) else each.read_bytes() for path, each in files.items()}
        return make_wheel(self.shelf, name, version, files=content, **options)

    def app(self, *needs: Path, calls: Sequence[str] = (), version: str = "1.0", **options: Any) -> Path:
        """A package ``app`` whose import takes its extension module."""
        how = {"requires", "tag", "entry_points"} & set(options)
        files: dict[str, Path | str] = {
            "app/__init__.py": "from app import _ext\n",
            f"app/_ext{EXTENSION}": self.module(
                "_ext", *needs, calls=calls, **{key: options[key] for key in options.keys() - how}
            ),
        }
        return self.wheel("app", version, files, **{key: options[key] for key in how})

    def install(self, *specs: str, deps: bool = True) -> None:
        """As somebody did it before it failed."""
        more = "" if deps else "--no-deps "
        self.shell(f"{UV} pip install -q -p {self.prefix}/bin/python {more}{' '.join(map(repr, specs))}")

    # -- looking -------------------------------------------------------------------------------------------------------

    def environ(self) -> dict[str, str]:
        """What commands run with: the shelf is all that they install from."""
        places = {"UV_OFFLINE": "1", "UV_FIND_LINKS": str(self.shelf), "PIP_NO_INDEX": "1"}
        places |= {"PIP_FIND_LINKS": str(self.shelf), "UV_LINK_MODE": "copy", "HOME": str(self.folder)}
        places |= {"DATALOADER_CACHE_DIR": str(self.folder / "cache"), "UV_CACHE_DIR": str(self.folder / "uv")}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("LD_", "PYTHON"))}
        return {**kept, "PATH": path, **places, **self.variables}

    def shell(self, command: str) -> str:
        """Run a command that is meant to work."""
        done = subprocess.run(
            ["bash", "-c", command], env=self.environ(), cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def run(self, command: str, before: str = "") -> str:
        """What a command that is run in the environment fails with; empty where it works."""
        done = subprocess.run(
            ["bash", "-c", before + command.replace("python", f"{self.prefix}/bin/python", 1)],
            env=self.environ(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        return "" if done.returncode == 0 else done.stderr or done.stdout or f"exit {done.returncode}"

    def verify(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
        """What verify finds, for a process with this world's variables."""
        environ = self.environ()
        with monkeypatch.context() as patch:
            for name in environ.keys() ^ os.environ.keys():
                patch.delenv(name, raising=False)
            for name, value in environ.items():
                patch.setenv(name, value)
            where = ["-p", str(self.prefix), *(["--lockfile", self.lock] if self.lock else [])]
            if self.target:
                (self.folder / "target.toml").write_text(self.target)
                where += ["--target", str(self.folder / "target.toml")]
            capsys.readouterr()
            assert main(["verify", "--json", *where]) in (0, 1)
        found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["findings"]
        return found

    # -- mending -------------------------------------------------------------------------------------------------------

    def carry_out(self, command: str) -> str:
        """Run a fix as it stands. What it says to the shell comes back, for what runs there afterwards."""
        before = ""
        for part in command.split(" && "):
            if part.startswith(("export ", "unset ")):
                before += f"{part}; "
                self.variables.pop(part.removeprefix("unset "), None)
            else:
                self.shell(part)
        return before

    def ways(self) -> dict[Form, tuple[str, str]]:
        """The fixes that verify said last: form -> command for who made this environment, and the finding's path."""
        maker = maker_of(self.prefix, self.lock)
        said = [(each, fix, command_for(fix, maker)) for each in PROVOKED for fix in fixes_of(each)]
        return {
            Form(each.kind, form_of(fix)): (printable(command), printable(each.path))
            for each, fix, command in reversed(said)
            if command
        }

    @contextmanager
    def kept(self) -> Iterator[None]:
        """What is done to the environment meanwhile is undone."""
        aside, variables = self.folder / "kept", dict(self.variables)
        places = [self.prefix, *([Path(self.lock)] if self.lock else [])]
        aside.mkdir()
        for place in places:
            self.shell(f"cp -a '{place}' '{aside}'")
        yield
        self.variables = variables
        for place in places:
            self.shell(f"rm -rf '{place}' && mv '{aside / place.name}' '{place}'")
        aside.rmdir()


class Case(NamedTuple):
    """One failure."""

    make: Callable[[Any], None]
    kind: str
    path: str
    """End of the file that the finding names."""
    words: str
    """In its message or evidence: the cause."""
    fix: str = "runs"
    """``runs``: the command that it says mends it. Else words of what it says."""
    run: str = "python -c 'import app'"
    """What fails before, and works afterwards; empty where nothing on this machine fails."""
    world: type[Broken] = Broken


def check_case(
    name: str, each: Case, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails, the finding names file and cause, and the fix, run as it stands, mends it; so does every other fix that
    ``tests/data/fixes.txt`` has of this case, each in the environment as it was.
    """
    world = each.world(folder)
    with world.open:
        each.make(world)
        _check(name, each, world, capsys, monkeypatch)


def _check(
    name: str, each: Case, world: Broken, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not each.run or world.run(each.run), "it works"

    PROVOKED.clear()
    findings = world.verify(capsys, monkeypatch)
    found = [one for one in findings if one["kind"] == each.kind and one["path"].endswith(each.path)]
    assert [one for one in found if each.words in told(one)], findings
    said = [found[0]["fix"], *found[0]["alternatives"]]
    if each.fix != "runs":
        assert any(each.fix in str(text) for text in (*said, told(found[0]))), found
        return
    assert said[0], found
    commands = list(dict.fromkeys([said[0], *(one["fix"] for one in findings if one["severity"] == "error")]))

    ways = world.ways()
    for form in (form for form, case in listed().items() if case == name):
        assert form in ways, f"{form} is not advised here: {sorted(ways)}"
        command, path = ways[form]
        if command not in commands:
            with world.kept():
                before = world.carry_out(command)
                assert not before or world.run(each.run, before) == ""
                left = [] if before else world.verify(capsys, monkeypatch)
                assert (form.kind, path) not in {(one["kind"], one["path"]) for one in left}, command

    before = "".join(world.carry_out(command) for command in commands if command)
    assert not each.run or world.run(each.run, before) == ""
    if "export " not in before:
        assert [one for one in world.verify(capsys, monkeypatch) if one["severity"] == "error"] == []


def told(finding: dict[str, Any]) -> str:
    """What it says."""
    return " ".join([finding["message"], *finding["evidence"]])
