"""What a command asks for, joined from all that says it."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

from dataloader.cli.line.options import CommonOptions, StackFlags
from dataloader.request import request as module
from dataloader.request.request import Request, make_request
from dataloader.request.supply import CHANNEL_ALIAS

CONDA_FORGE = f"{CHANNEL_ALIAS}/conda-forge/"


def ask(here: Path, *specs: str, flags: StackFlags | None = None, **options: object) -> Request:
    return make_request(CommonOptions(**options), specs, flags, environ={}, here=here)  # type: ignore[arg-type]


def test_examples_of_the_docstrings_hold() -> None:
    assert doctest.testmod(module).failed == 0


def test_features_and_the_default_are_combined_and_a_target_takes_the_place_of_its_own_feature(tmp_path: Path) -> None:
    """As pixi has it."""
    (tmp_path / "pixi.toml").write_text(
        """
[dependencies]
python = ">=3.10"
zlib = "1.2.*"
[target.linux-64.dependencies]
zlib = "1.3.*"
[feature.a.dependencies]
python = "3.11.*"
[environments]
a = ["a"]
"""
    )
    request = ask(tmp_path, environment="a", platform="linux-64")

    assert sorted(r.match_spec for r in request.conda) == [
        "python[version='3.11.*']",
        "python[version='>=3.10']",
        "zlib[version='1.3.*']",
    ]


@pytest.mark.parametrize(
    ("said", "urls"),
    [
        (None, (CONDA_FORGE,)),
        ("channels: []", ()),
        ("channels: [nodefaults]", ()),
        ("channels: [nodefaults, conda-forge]", (CONDA_FORGE,)),
        ("channels: [defaults]", ("https://repo.anaconda.com/pkgs/main/", "https://repo.anaconda.com/pkgs/r/")),
    ],
)
def test_channels_are_those_that_are_said(tmp_path: Path, said: str | None, urls: tuple[str, ...]) -> None:
    file = tmp_path / "environment.yml"
    file.write_text(f"dependencies: [zlib]\n{said or ''}\n")
    assert ask(tmp_path, files=(file,)).channels == urls


def test_a_manifest_without_channels_asks_none(tmp_path: Path) -> None:
    (tmp_path / "dataloader.toml").write_text("[workspace]\nchannels = []\n")
    assert ask(tmp_path).channels == ()


def test_all_that_is_said_of_python_binds(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("python<3.13\n")
    request = ask(tmp_path, "python>=3.9", flags=StackFlags(python="3.11"), requirements=(tmp_path / "a.txt",))
    assert request.stack == {"python": "<3.13,==3.11.*,>=3.9"}
