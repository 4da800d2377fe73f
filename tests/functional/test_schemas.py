"""What commands write with --json is what their published schemas say: real documents of all commands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from dataloader.cli.app import main
from dataloader.cli.commands import COMMANDS
from tests.helpers.conda import index_channel, make_conda_package, make_python_package
from tests.helpers.schemas import check_document
from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_wheel

NO_DOCUMENT = {"shell"}
"""Commands that become another program."""
ELSEWHERE = {"push", "pull", "abi"}
"""Commands whose own tests hold their documents against the schemas: they need a registry, a compiler."""

LINES = [
    "init -q",
    "add lib<2 app --no-sync -q",
    "lock",
    "lock nobody-has-this",
    "install more conda:tool -q",
    "sync --check",
    "remove app",
    "upgrade lib --dry-run",
    "list",
    "tree",
    "explain lib",
    "plan --cuda=12.1 --torch",
    "export requirements.txt",
    "export explicit --partial -o out.txt",
    "diff first.lock",
    "outdated",
    "search lib",
    "search tool",
    "verify",
    "verify --tree bin/python",
    "verify --target t.toml",
    "verify nowhere",
    "run",
    "shell-hook --shell fish",
    "completion zsh",
    "config --all",
    "kernel install",
    "kernel list",
    "kernel remove --name here",
    "env list",
    "sync --root volume --name train",
    "sync --root volume --name train --reinstall",
    "generations --root volume --name train",
    "rollback --root volume --name train",
    "prune --root volume --name train --keep=0",
    "bundle --no-program -o bundle.tar.zst",
    "unbundle bundle.tar.zst -p unbundled",
    "k8s warm --name x --claim y",
    "k8s warm --name x -o manifests",
    "cache info",
    "cache verify",
    "cache prune --all --dry-run",
    "cache warm",
    "info",
    "info --target t.toml",
    "help lock",
    "clean --dry-run",
    "env remove default",
    "clean",
]
TARGETS = '[[target]]\nname = "a"\nplatform = "linux-64"\nglibc = "2.36"\n'
TARGETS += '[[target]]\nname = "b"\nplatform = "linux-64"\nglibc = "2.28"\n'


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    channel, here = tmp_path / "channel", tmp_path / "here"
    for name, version, requires in (
        ("lib", "1.0", []),
        ("lib", "2.0", []),
        ("app", "1.0", ["lib"]),
        ("more", "1.0", []),
    ):
        make_wheel(tmp_path / "shelf", name, version, requires=requires)
    make_wheel(tmp_path / "shelf", "ipykernel", "1.0")
    make_python_package(channel)
    make_conda_package(channel, "tool", "1.0", noarch="generic")
    index_channel(channel)
    here.mkdir()
    monkeypatch.chdir(here)
    (here / "t.toml").write_text(TARGETS)
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    with IndexServer(tmp_path / "shelf") as index:
        monkeypatch.setenv("DATALOADER_INDEX_URL", index.index_url)
        monkeypatch.setenv("DATALOADER_CHANNEL", channel.as_uri())
        yield here


@pytest.mark.slow
def test_every_document_is_as_its_schema_says(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen: dict[str, list[Any]] = {}
    for line in LINES:
        words = line.split()
        code = main([words[0], "--json", *words[1:]])
        out, err = capsys.readouterr()
        assert code in (0, 1, 2), err
        document = json.loads(out)
        try:
            check_document(words[0], document, strict=True)
        except jsonschema.ValidationError as error:
            pytest.fail(f"{line}: {jsonschema.exceptions.best_match([error]).message}\n{out[:2000]}")
        if document["status"] == "ok" or "error" not in document:
            seen.setdefault(words[0], []).append(document)
        if line.startswith("add"):
            (here / "first.lock").write_bytes((here / "dataloader.lock").read_bytes())
            manifest = here / "dataloader.toml"
            manifest.write_text(manifest.read_text() + '\n[tasks]\nt = { cmd = "x", depends-on = [] }\n')
        if line.startswith("config"):
            assert main(["add", "ipykernel", "-q"]) == 0
            capsys.readouterr()

    assert COMMANDS.keys() - seen.keys() == NO_DOCUMENT | ELSEWHERE


def test_the_schema_of_a_command_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "--schema", "diff"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert set(schema["$defs"]) == {"diff", "package", "error"}
    assert main(["help", "--schema"]) == 0
    assert "list" in json.loads(capsys.readouterr().out)["$defs"]
    assert main(["help", "--schema", "shell"]) == 2
    assert "shell writes no document" in capsys.readouterr().err
