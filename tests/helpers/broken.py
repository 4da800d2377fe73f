"""Environments that fail as people reported it: true wheels with compiled modules, installed by uv, and then broken."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from dataloader.cli.app import main
from tests.helpers.elf import make_library
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
        self.built = 0
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
            capsys.readouterr()
            assert main(["verify", "--json", "-p", str(self.prefix)]) in (0, 1)
        found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["findings"]
        return found
