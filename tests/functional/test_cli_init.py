"""``init`` and ``info``, as typed."""

from __future__ import annotations

import io
import json
import os
import pty
from pathlib import Path

import pytest

from dataloader.cli.app import main
from dataloader.request.manifests.manifest import load_manifest

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_init_writes_a_manifest_here_and_says_where(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init"]) == 0

    out, err = capsys.readouterr()
    assert out == "dataloader.toml\n"
    assert err.startswith("[INFO] dataloader.toml is written\n")
    assert load_manifest(here / "dataloader.toml").name == here.name


def test_init_makes_the_directory(here: Path) -> None:
    assert main(["init", "new/project", "-c", "nvidia", "-q"]) == 0

    assert load_manifest(here / "new" / "project" / "dataloader.toml").environment().channels == ("nvidia",)


def test_init_for_pixi_keeps_ours_apart(here: Path) -> None:
    assert main(["init", "--pixi", "--json"]) == 0

    assert "[tool.dataloader.stack]" in (here / "pixi.toml").read_text()


def test_init_takes_other_files_over(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "environment.yml").write_text("name: e\nchannels: [nvidia]\nprefix: /x\ndependencies: [python=3.11]\n")
    (here / "requirements.txt").write_text("numpy<2\n")

    assert main(["init", "--from", "environment.yml", "--from", "requirements.txt"]) == 0

    manifest = load_manifest(here / "dataloader.toml")
    assert manifest.name == "e"
    assert [str(r) for r in manifest.environment().requirements] == ["conda:python[version='3.11.*']", "numpy<2"]
    assert "[WARN] environment.yml: prefix is not used" in capsys.readouterr().err


def test_init_never_writes_over_a_manifest(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "dataloader.toml").write_text("# mine\n")

    assert main(["init"]) == 2

    assert "error[manifest-exists]" in capsys.readouterr().err
    assert (here / "dataloader.toml").read_text() == "# mine\n"


def test_init_from_a_broken_file_writes_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "requirements.txt").write_text("numpy=1\n--odd .\n")

    assert main(["init", "--from", "requirements.txt"]) == 2

    assert "requirements.txt:2: " in capsys.readouterr().err
    assert list(here.iterdir()) == [here / "requirements.txt"]


def test_info_shows_this_machine(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDA_OVERRIDE_CUDA", "12.4")
    monkeypatch.setenv("CONDA_OVERRIDE_GLIBC", "2.17")

    assert main(["info"]) == 0

    out = capsys.readouterr().out
    assert "glibc 2.17" in out
    assert "__cuda=12.4=0" in out


def test_info_as_json_holds_the_same(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDA_OVERRIDE_CUDA", "")

    assert main(["info", "--json"]) == 0

    document = json.loads(capsys.readouterr().out)
    (target,) = document["targets"]
    assert (document["version"], document["status"], target["driver_cuda"]) == (1, "ok", None)
    assert "__cuda" not in [package["name"] for package in target["virtual_packages"]]
    assert document["pythons"][0]["abi"].startswith("cp3")


def test_info_shows_the_machines_of_a_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "fleet.toml").write_text(
        '[[pool]]\nname = "old"\ngpus = ["V100"]\n[[pool]]\nname = "new"\ngpus = ["H100"]\n'
    )

    assert main(["info", "--target", "fleet.toml"]) == 0

    out = capsys.readouterr().out
    assert "V100 (compute capability 7.0)" in out
    assert "H100 (compute capability 9.0)" in out


def test_info_on_a_broken_target_file_names_the_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "fleet.toml").write_text('glibc = "2.31"\ngpus = ["Voodoo 2"]\n')

    assert main(["info", "--target", "fleet.toml"]) == 2

    assert "fleet.toml:2: gpus: 'Voodoo 2'" in capsys.readouterr().err


def test_init_names_what_lies_there_and_takes_nothing_over_unasked(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "requirements.txt").write_text("numpy<2\n")
    (here / "pyproject.toml").write_text("[project]\nname = 'x'\nversion = '1'\ndependencies = ['numpy']\n")
    assert main(["init"]) == 0

    err = capsys.readouterr().err
    assert "requirements.txt was not taken over: `dataloader install -r requirements.txt` does it" in err
    assert "pyproject.toml was not taken over: `dataloader install -r pyproject.toml` does it" in err
    assert 'numpy = "<2"' not in (here / "dataloader.toml").read_text()


def test_init_asks_at_a_terminal_whether_to_take_over_what_lies_there(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "environment.yml").write_text("channels: [nvidia]\ndependencies: [cudnn]\n")
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "r+b", buffering=0) as terminal:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(terminal))
        monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
        os.write(ours, b"y\n")
        assert main(["init"]) == 0
    os.close(ours)

    assert "Take over environment.yml? [Y/n]" in capsys.readouterr().err
    assert "cudnn" in (here / "dataloader.toml").read_text()


def test_init_leaves_a_manifest_of_another_kind_in_use(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "pixi.toml").write_text("[workspace]\nname = 'x'\nchannels = []\nplatforms = ['linux-64']\n")
    assert main(["init"]) == 2
    assert "pixi.toml is there, and is used as it is" in capsys.readouterr().err
    assert main(["init", "--from", "pixi.toml"]) == 0


def test_a_new_project_has_its_environments_ignored(here: Path) -> None:
    (here / ".gitignore").write_text("*.pyc")
    assert main(["init"]) == 0
    assert main(["init", "other"]) == 0

    assert (here / ".gitignore").read_text() == "*.pyc\n.dataloader/\n"
    assert (here / "other" / ".gitignore").read_text() == ".dataloader/\n"
