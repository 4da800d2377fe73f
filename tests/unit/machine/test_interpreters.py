"""The Pythons of a machine."""

from __future__ import annotations

import json
import os
import sys
import venv
from pathlib import Path

import pytest

from dataloader.machine.interpreters import (
    Interpreter,
    ask_interpreter,
    each_interpreter,
    find_interpreter,
    find_interpreters,
)

BASE = Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))
RUNNING = ".".join(map(str, sys.version_info[:3]))


def environ_with(tmp_path: Path, *directories: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path), "PATH": ":".join(map(str, directories))}


def fake_python(path: Path, version: str, **more: object) -> Path:
    """An executable that describes itself as asked, and counts how often it was."""
    answer = {
        "path": str(path),
        "version": version,
        "implementation": "cpython",
        "prefix": str(path.parent.parent),
        "machine": "x86_64",
        "bits": 64,
        "multiarch": "x86_64-linux-gnu",
        "soabi": "cpython",
    } | more
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho asked >> {path}.log\necho '{json.dumps(answer)}'\n")
    path.chmod(0o755)
    return path


def test_the_running_python_comes_first_and_is_described_truly(tmp_path: Path) -> None:
    first = find_interpreters(environ=environ_with(tmp_path))[0]

    assert (first.path, first.version, first.implementation) == (BASE, RUNNING, "cpython")
    assert first.abi == f"cp{sys.version_info[0]}{sys.version_info[1]}"
    assert (first.bits, first.musl) == (64, "musl" in first.multiarch)


def test_a_virtual_environment_stands_for_its_base(tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=False, symlinks=True)

    answer = ask_interpreter(tmp_path / "env" / "bin" / "python")

    assert answer is not None
    assert answer.path == BASE


def test_pythons_of_path_pyenv_and_uv_are_found_newest_first(tmp_path: Path) -> None:
    fake_python(tmp_path / "bin" / "python3.12", "3.12.9")
    fake_python(tmp_path / ".pyenv" / "versions" / "3.10.13" / "bin" / "python3", "3.10.13")
    fake_python(tmp_path / ".local" / "share" / "uv" / "python" / "cpython-3.13" / "bin" / "python3", "3.13.1")

    found = find_interpreters(environ=environ_with(tmp_path, tmp_path / "bin"))
    ours = [one.version for one in found if str(one.path).startswith(str(tmp_path))]

    assert ours == ["3.13.1", "3.12.9", "3.10.13"]


def test_what_does_not_run_is_left_out(tmp_path: Path) -> None:
    shim = tmp_path / "bin" / "python3.9"
    fake_python(shim, "3.9.1")
    shim.write_text("#!/bin/sh\necho 'pyenv: python3.9: command not found' >&2\nexit 127\n")
    (tmp_path / "bin" / "python3.8").write_text("not executable")

    found = find_interpreters(environ=environ_with(tmp_path, tmp_path / "bin"))

    assert not [one for one in found if str(one.path).startswith(str(tmp_path))]


def test_pyenv_shims_are_not_asked(tmp_path: Path) -> None:
    shim = fake_python(tmp_path / ".pyenv" / "shims" / "python3", "3.9.1")

    find_interpreters(environ=environ_with(tmp_path, shim.parent))

    assert not Path(f"{shim}.log").exists()


def test_each_is_asked_once_until_it_changes(tmp_path: Path) -> None:
    python = fake_python(tmp_path / "bin" / "python3.12", "3.12.1")
    environ = environ_with(tmp_path, python.parent)
    log = Path(f"{python}.log")

    for _ in range(3):
        find_interpreters(tmp_path / "cache", environ)
    once = log.read_text().count("asked")
    fake_python(python, "3.12.2", prerelease=False)
    changed = find_interpreter("3.12.2", tmp_path / "cache", environ)

    assert once == 1
    assert changed is not None
    assert log.read_text().count("asked") == 2


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b'{"version": 1, "entries": {"x": 3}}', b'{"version": 99}'])
def test_a_broken_memory_only_costs_time(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "interpreters.json").write_bytes(content)

    assert find_interpreters(tmp_path, environ_with(tmp_path))[0].version == RUNNING


def test_a_memory_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert find_interpreters(tmp_path / "file" / "below", environ_with(tmp_path))


def test_free_threaded_debug_and_prerelease_builds_are_less_preferred(tmp_path: Path) -> None:
    directory = tmp_path / "bin"
    fake_python(directory / "python3.13t", "3.13.9", free_threaded=True)
    fake_python(directory / "python3.14", "3.14.0", prerelease=True)
    fake_python(directory / "python3.12", "3.12.1")

    found = find_interpreters(environ=environ_with(tmp_path, directory))
    ours = [one for one in found if str(one.path).startswith(str(tmp_path))]

    assert [one.version for one in ours] == ["3.12.1", "3.13.9", "3.14.0"]
    assert ours[1].abi == "cp313t"


def test_other_implementations_and_old_pythons_are_left_out(tmp_path: Path) -> None:
    fake_python(tmp_path / "bin" / "python3.10", "3.10.14", implementation="pypy")
    fake_python(tmp_path / "bin" / "python3.7", "3.7.16")

    found = find_interpreters(environ=environ_with(tmp_path, tmp_path / "bin"))

    assert not [one for one in found if str(one.path).startswith(str(tmp_path))]


def test_a_version_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert find_interpreter("3.99", environ=environ_with(tmp_path)) is None


def test_musl_is_told_by_the_build(tmp_path: Path) -> None:
    python = fake_python(tmp_path / "python3", "3.12.1", multiarch="x86_64-linux-musl")

    answer = ask_interpreter(python)

    assert isinstance(answer, Interpreter)
    assert answer.musl


def test_the_others_are_asked_only_where_the_running_one_does_not_do(tmp_path: Path) -> None:
    other = fake_python(tmp_path / "bin" / "python3.99", "3.99.1")
    environ, log = environ_with(tmp_path, tmp_path / "bin"), Path(f"{other}.log")

    running = find_interpreter(f"{sys.version_info[0]}.{sys.version_info[1]}", environ=environ)

    assert running is not None
    assert running.path == BASE
    assert not log.exists()
    assert find_interpreter("3.99", environ=environ) is not None
    assert log.exists()
    assert tuple(each_interpreter(environ=environ)) == find_interpreters(environ=environ)
