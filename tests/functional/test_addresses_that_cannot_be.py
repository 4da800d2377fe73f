"""Addresses that no request could be made to are refused by name, wherever they are read; locks of others are kept."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

from dataloader.base.errors import DataloaderError, LockfileError
from dataloader.lockfile.yaml import read_lock
from dataloader.oci.reference import parse_reference
from dataloader.request.specs.spec import parse_editable, parse_spec
from tests.helpers.command import run_command


def _run(here: Path, line: str) -> tuple[int, str]:
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "DATALOADER_"))}
    environ |= {"PIP_CONFIG_FILE": "/dev/null", "DATALOADER_CACHE_DIR": f"{here}/cache"}
    done = run_command(*line.split(), cwd=here, env=environ)
    return done.returncode, done.stderr


@pytest.mark.parametrize("host", ["localhost:99999", "localhost:x1", "[::1", "[::zz]"])
@pytest.mark.parametrize("rest", ["x-1-py3-none-any.whl", "x-1-py3-none-any.whl#sha256=0", "x-1.tar.gz"])
@pytest.mark.parametrize("how", ["{}", "x @ {}", "pypi:x @ {}", "-e {}"])
def test_a_requirement_is_refused_where_it_is_read(host: str, rest: str, how: str) -> None:
    text = how.format(f"http://{host}/{rest}")
    read = partial(parse_editable, origin="a file") if text.startswith("-e ") else parse_spec
    with pytest.raises(DataloaderError) as caught:
        read(text.removeprefix("-e "))
    assert (caught.value.code, int(caught.value.exit_code)) == ("index-bad-url", 2)


@pytest.mark.parametrize("host", ["localhost:99999", "[::zz]:80", "[:]"])
def test_an_image_is_refused_where_it_is_read(host: str) -> None:
    with pytest.raises(DataloaderError) as caught:
        parse_reference(f"{host}/x:1")
    assert caught.value.code == "image-name-invalid"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("pull localhost:99999/x:1 -p d --plain-http", "image-name-invalid"),
        ("add http://[::1/x-1-py3-none-any.whl", "index-bad-url"),
        ("lock --index-url http://[::1/simple six --lockfile q.lock", "index-bad-url"),
        ("lock --index-url http://localhost:99999/simple six --lockfile q.lock", "index-bad-url"),
        ("lock --extra-index-url http://[::1/simple six --lockfile q.lock", "index-bad-url"),
        ("lock --find-links http://[::1/ six --lockfile q.lock", "index-bad-url"),
        ("lock -c http://localhost:99999/ conda:zlib --conda auto", "index-bad-url"),
        ("lock -c http://[::1/ conda:zlib", "index-bad-url"),
        ("lock -r asked.txt", "index-bad-url"),
    ],
)
def test_a_command_refuses_it_and_writes_nothing(tmp_path: Path, line: str, code: str) -> None:
    (tmp_path / "asked.txt").write_text("--index-url http://[::1/simple\nsix\n")
    before = sorted(tmp_path.iterdir())

    exit_code, said = _run(tmp_path, line)

    assert (exit_code, f"error[{code}]" in said) == (2, True), said
    assert [p for p in sorted(tmp_path.iterdir()) if p.name != "cache"] == before


@pytest.mark.parametrize(
    "text",
    [
        'version = 1\nrequires-python = ">=3.11"\npackage = []\n',
        "version: 6\nenvironments: {}\npackages: []\n",
        "six==1.16\n",
        '{"_meta": {}, "default": {}}\n',
    ],
)
def test_nothing_advises_to_delete_the_lock_of_another_tool(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.lock").write_text(text)

    with pytest.raises(LockfileError) as caught:
        read_lock(tmp_path / "a.lock")

    assert "is not a lock of dataloader's" in caught.value.message
    assert not any("delete it" in each for each in caught.value.suggestions)


def test_what_is_advised_of_a_list_in_the_place_of_a_lock_takes_it_as_a_list(tmp_path: Path) -> None:
    (tmp_path / "asked.txt").write_text("six\n")

    code, said = _run(tmp_path, "sync --lockfile asked.txt -p env")

    assert (code, "`dataloader install -p env -r asked.txt`" in said) == (2, True), said
