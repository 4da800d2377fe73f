"""What is said of Python is one thing, whoever says it: it is the stack's, is saved there, and is asked for again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dataloader.base.reporter import Reporter
from dataloader.cli.line.options import CommonOptions, StackFlags
from dataloader.cli.stages.saving import manifest_with
from dataloader.cli.stages.session import Session
from dataloader.cli.telling.console import Style
from dataloader.request.manifests.manifest import Manifest, load_manifest, parse_manifest
from dataloader.request.manifests.new import new_manifest
from dataloader.request.readers import read_file
from dataloader.request.request import Request, make_request

FILES = {
    "poetry/pyproject.toml": '[tool.poetry]\nname = "p"\nversion = "1"\n'
    '[tool.poetry.dependencies]\npython = ">=3.8,<4.0"\nlib = "*"\n',
    "plain/pyproject.toml": '[project]\nname = "p"\nversion = "1"\n'
    'requires-python = ">=3.8,<4.0"\ndependencies = ["lib"]\n',
    "lines.txt": "lib\npython<4.0,>=3.8\n",
    "two.txt": "lib\npython>=3.8\npython<4.0\n",
}

MANIFESTS = {
    "dataloader.toml": "[workspace]\nchannels = []\n",
    "pixi.toml": "[workspace]\nchannels = []\n",
    "pyproject.toml": '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.7"\ndependencies = []\n'
    "[tool.dataloader.workspace]\nchannels = []\n",
    "among distributions": '[workspace]\nchannels = []\n[pypi-dependencies]\npython = ">=3.7"\n',
    "in the stack": '[workspace]\nchannels = []\n[stack]\npython = "3.11"\n',
}

LINES: dict[str, tuple[str, list[str], str | None, str | None]] = {
    **{name: (name, [], None, "<4.0,>=3.8") for name in FILES},
    "a requirement": ("", ["lib", "python>=3.8"], None, ">=3.8"),
    "an option": ("", ["lib"], "3.10", "3.10"),
    "both": ("", ["python<4.0"], ">=3.8", "<4.0,>=3.8"),
    "a name": ("", ["lib", "python"], None, None),
}


def asked(options: CommonOptions, specs: list[str], flags: StackFlags, here: Path) -> Request:
    return make_request(options, specs, flags, environ={}, here=here)


@pytest.mark.parametrize("manifest", MANIFESTS)
@pytest.mark.parametrize("line", LINES)
def test_it_is_saved_in_the_stack_and_nowhere_else(line: str, manifest: str, tmp_path: Path) -> None:
    file, specs, option, expected = LINES[line]
    path = tmp_path / (manifest if "." in manifest else "dataloader.toml")
    path.write_text(MANIFESTS[manifest])
    options = CommonOptions(conda="never")
    if file:
        (tmp_path / "from" / file).parent.mkdir(parents=True)
        (tmp_path / "from" / file).write_text(FILES[file])
        options = replace(options, requirements=(tmp_path / "from" / file,), typed=frozenset({"requirements"}))
    flags = StackFlags(python=option)
    request = asked(options, specs, flags, tmp_path)
    session = Session(
        options=options, style=Style(), reporter=Reporter(), environ={}, here=tmp_path, cache=tmp_path / "cache"
    )

    written = manifest_with(session, request, request, flags)[path]  # refused unless it is asked for again

    own = parse_manifest(written.decode(), path).features["default"]
    if expected is not None:
        if file and manifest == "in the stack":  # of another project: it binds beside
            expected = "<4.0,==3.11.*,>=3.8"
        assert own.stack["python"] == expected
        assert "python" not in {r.name for r in own.requirements}
    elif manifest == "in the stack":
        assert own.stack["python"] == "3.11"


def test_what_is_said_takes_the_place_of_what_was(tmp_path: Path) -> None:
    (tmp_path / "dataloader.toml").write_text(MANIFESTS["in the stack"])
    said = asked(CommonOptions(), ["python>=3.8"], StackFlags(), tmp_path)
    assert said.told == ("python: >=3.8 (the command line) takes the place of ==3.11.* ([stack] python)",)
    assert said.stack["python"] == ">=3.8"
    stays = asked(CommonOptions(), ["python"], StackFlags(), tmp_path)
    assert stays.told == ("python stays at ==3.11.* ([stack] python)",)
    assert stays.stack["python"] == "3.11"


@pytest.mark.parametrize("name", FILES)
def test_a_new_manifest_has_it_among_conda_packages(name: str, tmp_path: Path) -> None:
    """There other tools read it too."""
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(FILES[name])
    read = read_file(path, environ={}, platform=None)
    kind = {"manifests": [read]} if isinstance(read, Manifest) else {"inputs": [read]}
    text = new_manifest(name="new", channels=[], platform="linux-64", **kind)
    (tmp_path / "dataloader.toml").write_text(text)
    own = load_manifest(tmp_path / "dataloader.toml").features["default"]
    assert [str(r) for r in own.requirements if r.name == "python"] == ["conda:python[version='<4.0,>=3.8']"]
