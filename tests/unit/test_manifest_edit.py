"""Adding to manifests, and writing new ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataloader.base.errors import UsageError
from dataloader.inputs import read_input
from dataloader.inputs.model import PypiRequirement
from dataloader.inputs.spec import parse_spec
from dataloader.manifest import parse_manifest
from dataloader.manifest_edit import add_to_manifest, new_manifest

HERE = Path("/project")


def test_comments_and_formatting_stay() -> None:
    text = '# mine\n[pypi-dependencies]\nnumpy   = "<2"   # ABI\n'

    added = add_to_manifest(text, "dataloader.toml", [parse_spec("torch==2.1.0")])

    assert added == text + 'torch = "==2.1.0"\n'


def test_what_is_there_is_replaced_in_its_own_spelling() -> None:
    added = add_to_manifest(
        '[pypi-dependencies]\nTyping_Extensions = "*"\n', "pixi.toml", [parse_spec("typing-extensions>=4")]
    )

    assert added == '[pypi-dependencies]\nTyping_Extensions = ">=4"\n'


def test_what_is_gone_is_taken_out() -> None:
    text = (
        '[pypi-dependencies]\nTyping_Extensions = "*"\na = "*"\n\n[dependencies]\nmkl = "*"\n\n[stack]\ncuda = "11.8"\n'
    )

    added = add_to_manifest(text, "dataloader.toml", (), gone=["typing-extensions", "conda:mkl", "stack:cuda", "b"])

    assert added == '[pypi-dependencies]\na = "*"\n\n[dependencies]\n\n[stack]\n'


@pytest.mark.parametrize("name", ["dataloader.toml", "pixi.toml", "pyproject.toml"])
@pytest.mark.parametrize(
    "spec",
    [
        "torch==2.1.0",
        "ray[tune]>=2 ; python_version < '3.12'",
        "numpy",
        "conda:cudnn=8.7",
        "conda:nvidia::cuda-nvcc",
        "conda:pytorch=2.1.0=*cuda*",
    ],
)
def test_what_was_added_is_read_back_the_same(name: str, spec: str) -> None:
    requirement = parse_spec(spec)

    text = add_to_manifest("", name, [requirement], {"cuda": "12.1", "torch": ""})
    environment = parse_manifest(text, HERE / name).environment()

    assert [str(found) for found in environment.requirements] == [str(requirement)]
    assert environment.stack == {"cuda": "12.1", "torch": ""}


@pytest.mark.parametrize("name", ["dataloader.toml", "pixi.toml"])
def test_insisting_on_pypi_is_kept_where_pixi_does_not_stumble_over_it(name: str) -> None:
    text = add_to_manifest("", name, [parse_spec("pypi:numpy")])

    manifest = parse_manifest(text, HERE / name)

    assert manifest.resolution.pypi_only == ("numpy",)
    assert 'numpy = "*"' in text


def test_a_new_manifest_reads_back_and_says_what_goes_where() -> None:
    for pixi in (False, True):
        text = new_manifest(name="x", channels=["conda-forge"], platform="linux-64", pixi=pixi)
        manifest = parse_manifest(text, HERE / ("pixi.toml" if pixi else "dataloader.toml"))

        assert (manifest.name, manifest.environment().channels) == ("x", ("conda-forge",))
        assert ("[tool.dataloader.stack]" in text) is pixi


def test_other_files_are_taken_over(tmp_path: Path) -> None:
    yml = tmp_path / "environment.yml"
    yml.write_text(
        "name: train\nchannels: [nvidia]\ndependencies:\n  - python=3.10\n  - pip:\n    - torch==2.1.0\n    - -f https://l.example/\n"
    )

    text = new_manifest(name="x", channels=["conda-forge"], platform="linux-64", inputs=[read_input(yml)])
    manifest = parse_manifest(text, HERE / "dataloader.toml")
    environment = manifest.environment()

    assert (manifest.name, environment.channels) == ("train", ("nvidia",))
    assert [str(r) for r in environment.requirements] == ["conda:python[version='3.10.*']", "torch==2.1.0"]
    assert environment.pypi.find_links == ("https://l.example/",)


def test_hashes_cannot_be_said_in_a_manifest() -> None:
    requirement = PypiRequirement(name="a", specifier="==1", hashes=("sha256:00",))

    with pytest.raises(UsageError, match="cannot hold the hashes of a"):
        add_to_manifest("", "dataloader.toml", [requirement])
