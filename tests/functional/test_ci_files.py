"""What other systems read of this repository names commands that do what is said of them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

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
