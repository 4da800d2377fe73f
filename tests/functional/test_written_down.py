"""Users and passwords are not written down, wherever they were said; what is not written is told."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataloader.cli.app import main
from tests.functional.test_flow import Desk
from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_wheel

SECRET = "s3cr3t"
HOST = f"me:{SECRET}@pkgs.example.org"

INPUTS = {
    "requirements.txt": {
        "index": f"--index-url https://{HOST}/simple\nsix\n",
        "further index": f"--extra-index-url https://{HOST}/simple\nsix\n",
        "links": f"--find-links https://{HOST}/links\nsix\n",
        "a wheel": f"lib @ https://{HOST}/lib-1.0-py3-none-any.whl\n",
        "a bare wheel": f"https://{HOST}/lib-1.0-py3-none-any.whl ; python_version > '3'\n",
        "a token": f"--extra-index-url https://{SECRET}@pkgs.example.org/simple\nsix\n",
        "hashes": f"lib @ https://{HOST}/lib-1.0-py3-none-any.whl --hash=sha256:{'0' * 64}\n",
    },
    "environment.yml": {
        "channel": f"channels: ['https://{HOST}/channel']\ndependencies: [zlib]\n",
        "pip": f"channels: []\ndependencies:\n- pip:\n  - --extra-index-url https://{HOST}/simple\n  - six\n",
    },
    "pixi.toml": {
        "channel": f"[workspace]\nchannels = ['https://{HOST}/c']\nplatforms = ['linux-64']\n[dependencies]\nzlib='*'",
        "options": f"[workspace]\nchannels = []\nplatforms = ['linux-64']\n[pypi-options]\nindex-url = 'https://{HOST}/s'\n",
        "target": "[workspace]\nchannels = []\nplatforms = ['linux-64']\n[target.linux-64.pypi-dependencies]\n"
        f"lib = {{url = 'https://{HOST}/lib-1.0-py3-none-any.whl'}}\n",
    },
}
CASES = [(name, kind, text) for name, kinds in INPUTS.items() for kind, text in kinds.items()]


@pytest.mark.parametrize(("name", "kind", "text"), CASES, ids=[f"{name} {kind}" for name, kind, _ in CASES])
@pytest.mark.parametrize("pixi", [False, True], ids=["dataloader.toml", "pixi.toml"])
def test_a_new_manifest_holds_no_secret(
    name: str, kind: str, text: str, pixi: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if pixi and kind == "hashes":
        pytest.skip("pixi.toml cannot hold hashes")
    (tmp_path / "from").mkdir()
    source = tmp_path / "from" / name
    source.write_text(text)

    code = main(["init", str(tmp_path / "new"), "--from", str(source), *(["--pixi"] if pixi else [])])

    heard = capsys.readouterr()
    assert code == 0, heard.err
    made = tmp_path / "new" / ("pixi.toml" if pixi else "dataloader.toml")
    assert {path.name for path in (tmp_path / "new").iterdir()} == {made.name, ".gitignore"}
    assert SECRET not in made.read_text() + heard.out + heard.err
    assert "pkgs.example.org" in made.read_text()
    assert "the user and password for pkgs.example.org are not written down" in heard.err
    assert "DATALOADER_INDEX_URL" in heard.err


def test_variables_of_a_program_are_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "environment.yml"
    source.write_text("channels: []\ndependencies: [zlib]\nvariables:\n  DATABASE: 'postgres://me:mine@db/x'\n")
    assert main(["init", str(tmp_path / "new"), "--from", str(source)]) == 0
    assert "postgres://me:mine@db/x" in (tmp_path / "new" / "dataloader.toml").read_text()
    assert "not written down" not in capsys.readouterr().err


def test_trust_in_a_host_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "requirements.txt"
    source.write_text("--trusted-host pkgs.example.org\nsix\n")
    assert main(["init", str(tmp_path / "new"), "--from", str(source)]) == 0
    assert "DATALOADER_TRUSTED_HOST='pkgs.example.org'" in capsys.readouterr().err


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    here = tmp_path / "here"
    here.mkdir()
    make_wheel(tmp_path / "shelf", "lib", "1.0", files={"lib.py": "\n"})
    with IndexServer(tmp_path / "shelf", auth=("me", SECRET)) as index:
        yield Desk(here, index)


@pytest.mark.parametrize("way", ["a wheel", "a file with a wheel", "an index", "links"])
@pytest.mark.parametrize("project", [True, False], ids=["project", "no manifest"])
def test_what_was_typed_is_used_and_not_written(way: str, project: bool, desk: Desk, tmp_path: Path) -> None:
    if project:
        (desk.here / "dataloader.toml").write_text("[workspace]\nchannels = []\n")
    index = desk.index.index_url.replace("//", f"//me:{SECRET}@")
    files = index.replace("/simple/", "/files/")
    wheel = f"lib @ {files}lib-1.0-py3-none-any.whl"
    (tmp_path / "asked.txt").write_text(f"{wheel}\n")
    words = {
        "a wheel": [wheel],
        "a file with a wheel": ["-r", str(tmp_path / "asked.txt")],
        "an index": ["lib", "--index-url", index],
        "links": ["lib", "--find-links", f"{index}lib/"],
    }[way]

    done = desk.run(
        "install", *words, index=False, DATALOADER_EXTRA_INDEX_URL="", PIP_NO_INDEX="1" if way == "links" else ""
    )

    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert ("are not written down" in done.stderr) is project
    holding = [path for path in desk.here.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert holding == []

    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login me password {SECRET}\n")
    netrc.chmod(0o600)
    env = {
        **os.environ,
        "NETRC": str(netrc),
        "DATALOADER_CACHE_DIR": str(tmp_path / "another"),
        "DATALOADER_CONDA": "never",
        "PIP_NO_INDEX": "1" if way == "links" else "",
    }
    command = [
        sys.executable,
        "-m",
        "dataloader",
        "sync",
        "-p",
        "again",
        *(["--locked"] if project else ["--lockfile", "dataloader.lock"]),
    ]
    again = subprocess.run(command, env=env, cwd=desk.here, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
