"""What other systems read of this repository names commands that do what is said of them."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

from tests.helpers.command import run_command
from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_wheel
from tests.unit.cli.test_commands_named import read

ROOT = Path(__file__).parents[2]
HOOKS = ROOT / ".pre-commit-hooks.yaml"
FILES = (ROOT / ".github/actions/dataloader/action.yml", ROOT / ".gitlab/dataloader.yml", HOOKS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_their_commands_can_be_typed(path: Path) -> None:
    text = yaml.safe_dump(yaml.safe_load(path.read_text()), width=1000)  # it is YAML
    found = [
        re.sub(r'\$\{?\w+(\[@\])?\}?"?', "x1", each)
        for each in re.findall(r"dataloader\"? ((?:sync|verify)[^>|\n]*)", text)
    ]
    lines = [f"dataloader {re.sub(r'[^a-z]+$', '', each)}" for each in found]

    assert lines
    assert [why for line in lines if (why := read(line.replace('"', "").replace("\\", "")))] == []


def test_the_hook_fails_where_the_lock_was_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (hook,) = yaml.safe_load(HOOKS.read_text())
    make_wheel(tmp_path / "wheels", "lib", "1.0")
    make_wheel(tmp_path / "wheels", "more", "1.0")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("DATALOADER_CONDA", "never")

    def run(*words: str) -> int:
        return run_command(*words, cwd=tmp_path).returncode

    words = shlex.split(hook["entry"])[1:]
    manifest = tmp_path / "dataloader.toml"
    with IndexServer(tmp_path / "wheels") as index:
        manifest.write_text(f'[workspace]\nchannels = []\n[pypi-options]\nindex-url = "{index.index_url}"\n'
                            '[pypi-dependencies]\nlib = "*"\n')  # fmt: skip
        assert run(*words) == 1
        assert run("lock") == 0
        assert run(*words) == 0
    manifest.write_text(manifest.read_text() + 'more = "*"\n')
    assert run(*words) == 1
    assert re.search(hook["files"], "sub/dataloader.toml")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose lock is in step, and a cache that has what it names."""
    here = tmp_path / "project"
    here.mkdir()
    for name in ("lib", "more"):
        make_wheel(tmp_path / "wheels", name, "1.0", files={f"{name}/__init__.py": "x = 1\n"})
    places = {"HOME": tmp_path, "DATALOADER_CACHE_DIR": tmp_path / "cache", "CI_PROJECT_DIR": here}
    for name, value in {**places, "PIP_CONFIG_FILE": "/dev/null", "DATALOADER_CONDA": "never"}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.chdir(here)
    (here / "dataloader.toml").write_text(
        f'[workspace]\nchannels = []\n[pypi-options]\nno-index = true\nfind-links = [{{path = "{tmp_path}/wheels"}}]\n'
        '[pypi-dependencies]\nlib = "*"\n'
    )
    command = [sys.executable, "-m", "dataloader", "lock"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return here


def bash(script: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """As runners of both call it."""
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    return subprocess.run(command, env={**os.environ, **environ}, capture_output=True, text=True, check=False)


def damage(prefix: Path) -> None:
    next(prefix.rglob("lib/__init__.py")).unlink()


def test_the_steps_of_the_action_run(project: Path, tmp_path: Path) -> None:
    """Each as it stands there, but for the first two, which bring the program and its cache."""
    action = yaml.safe_load(FILES[0].read_text())
    inputs = {f"${{{{ inputs.{name} }}}}": str(each["default"]) for name, each in action["inputs"].items()}
    _, _, *steps = action["runs"]["steps"]
    program = tmp_path / "dataloader/bin/dataloader"
    program.parent.mkdir(parents=True)
    program.symlink_to(Path(sys.executable).parent / "dataloader")
    files = {"GITHUB_OUTPUT": str(tmp_path / "output"), "GITHUB_STEP_SUMMARY": str(tmp_path / "summary")}

    def run() -> list[subprocess.CompletedProcess[str]]:
        done = []
        for step in steps:
            assert step["shell"] == "bash"
            environ = {name: inputs.get(str(value), str(value)) for name, value in step["env"].items()}
            done.append(bash(step["run"], RUNNER_TEMP=str(tmp_path), **files, **environ))
        return done

    assert [(done.returncode, done.stderr) for done in run() if done.returncode] == []
    sarif = Path((tmp_path / "output").read_text().partition("sarif=")[2].strip())
    assert json.loads(sarif.read_text())["version"] == "2.1.0"
    assert (tmp_path / "summary").read_text()

    damage(project / ".dataloader/envs/default")
    steps = steps[1:]
    (judged,) = run()
    assert judged.returncode == 1
    assert "::error" in judged.stdout
    assert json.loads(sarif.read_text())["runs"][0]["results"]


def test_the_script_of_the_template_runs(project: Path, tmp_path: Path) -> None:
    template = yaml.safe_load(FILES[1].read_text())
    variables = {name: os.path.expandvars(str(value)) for name, value in template[".dataloader"]["variables"].items()}
    script = "\n".join(template["dataloader"]["script"]).replace(
        "/tmp/dataloader/bin/dataloader", f"{Path(sys.executable).parent}/dataloader"
    )
    done = bash(script, **variables)
    assert done.returncode == 0, done.stderr
    report = project / template["dataloader"]["artifacts"]["reports"]["junit"]
    assert ET.parse(report).getroot().tag == "testsuites"

    damage(project / ".dataloader/envs/default")
    assert bash("\n".join(script.splitlines()[1:]), **variables).returncode == 1
    assert "<failure" in report.read_text()
