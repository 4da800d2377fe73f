"""``init`` and ``info``, as typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dataloader.cli.app import main
from dataloader.request.manifest import load_manifest

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_init_writes_a_manifest_here_and_says_where(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init"]) == 0

    out, err = capsys.readouterr()
    assert out == "dataloader.toml\n"
    assert err.startswith("[INFO] Wrote dataloader.toml\n")
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
