"""Activation: what each shell is told, and which libraries it must be told of."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from dataloader.base.errors import PrefixError
from dataloader.install.tree.runtime import library_folders
from dataloader.prefix.activate import Dialect, activation
from tests.helpers.conda import make_library


def venv(folder: Path, *libraries: str) -> Path:
    (folder / ".dataloader").mkdir(parents=True)
    (folder / "pyvenv.cfg").touch()
    if libraries:
        (folder / ".dataloader" / "activation.json").write_text(json.dumps({"library_path": libraries}))
    return folder


@pytest.mark.parametrize(
    ("shell", "dialect"), [("sh", "posix"), ("bash", "posix"), ("zsh", "posix"), ("fish", "fish"), ("tcsh", "csh")]
)
def test_shells_understand_their_hook(tmp_path: Path, shell: str, dialect: Dialect) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    prefix = venv(tmp_path / "it's an env!", "lib/deep dir")
    base = {"PATH": os.environ["PATH"], "PYTHONHOME": "/elsewhere", "HOME": str(tmp_path)}
    script = tmp_path / "hook"
    script.write_text(activation(prefix).shell(base, dialect) + "env\n")

    done = subprocess.run([shell, script], env=base, capture_output=True, text=True, check=True)

    seen = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    assert seen["PATH"] == f"{prefix}/bin:{base['PATH']}"
    assert seen["VIRTUAL_ENV"] == str(prefix)
    assert seen["LD_LIBRARY_PATH"] == f"{prefix}/lib/deep dir"
    assert "PYTHONHOME" not in seen


def test_activating_twice_names_each_folder_once(tmp_path: Path) -> None:
    active = activation(venv(tmp_path / "env", "lib/x"))

    once = active.environ({"PATH": "/usr/bin"})

    assert active.environ(once) == once


def test_without_an_environment_there_is_nothing_to_activate(tmp_path: Path) -> None:
    with pytest.raises(PrefixError, match="no environment"):
        activation(tmp_path)


def test_variables_of_conda_packages_yield_to_those_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "conda-meta").mkdir()
    (tmp_path / "etc/conda/env_vars.d").mkdir(parents=True)
    (tmp_path / "etc/conda/env_vars.d/a.json").write_text('{"ONE": "package", "TWO": "package"}')
    (tmp_path / "conda-meta/state").write_text('{"env_vars": {"TWO": "user"}}')

    environ = activation(tmp_path).environ({})

    assert (environ["ONE"], environ["TWO"], environ["CONDA_PREFIX"]) == ("package", "user", str(tmp_path))


def libraries(root: Path, *, reached: bool) -> list[str]:
    """libnvrtc, which opens its builtins by name, in one folder; the builtins in another."""
    make_library(root / "nvidia/builtins/lib", "libnvrtc-builtins.so.12.1", "int builtins;")
    runpath = "$ORIGIN/../../builtins/lib" if reached else "$ORIGIN"
    source = root / "nvrtc.c"
    source.write_text("int nvrtc;")
    folder = root / "nvidia/nvrtc/lib"
    folder.mkdir(parents=True)
    command = ["gcc", "-shared", "-fPIC", "-o", str(folder / "libnvrtc.so.12"), str(source)]
    subprocess.run([*command, f"-Wl,-rpath,{runpath}", "-Wl,--enable-new-dtags"], check=True)
    return [path.relative_to(root).as_posix() for path in root.rglob("*.so.*") if path.suffix != ".c"]


def test_folder_that_a_runpath_misses_is_named(tmp_path: Path) -> None:
    assert library_folders(str(tmp_path), libraries(tmp_path, reached=False), {}) == ("nvidia/builtins/lib",)


def test_folder_that_a_runpath_reaches_is_not_named(tmp_path: Path) -> None:
    assert library_folders(str(tmp_path), libraries(tmp_path, reached=True), {}) == ()
