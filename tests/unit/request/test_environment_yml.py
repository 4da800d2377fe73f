"""conda's environment.yml."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataloader.base.errors import ManifestError
from dataloader.request.input_file import InputFile
from dataloader.request.readers.environment_yml import read_environment

TEXT = """
name: training
channels: [pytorch, nvidia, conda-forge, nodefaults]
dependencies:
  - python=3.10
  - pytorch::pytorch=2.1.0=*cuda11.8*
  - cudnn >=8,<9
  - pip
  - pip:
    - transformers==4.36.0
    - --extra-index-url https://example.org/simple
    - -r more.txt
prefix: /home/someone/envs/training
variables:
  OMP_NUM_THREADS: 4
"""


def read(tmp_path: Path, text: str) -> InputFile:
    path = tmp_path / "environment.yml"
    path.write_text(text)
    return read_environment(path)


def test_a_usual_file(tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("accelerate\n")

    file = read(tmp_path, TEXT)

    assert (file.name, file.channels) == ("training", ("pytorch", "nvidia", "conda-forge"))
    assert [str(requirement) for requirement in file.requirements] == [
        "conda:python[version='3.10.*']",
        "conda:pytorch::pytorch[version='2.1.0', build='*cuda11.8*']",
        "conda:cudnn[version='>=8,<9']",
        "conda:pip",
        "transformers==4.36.0",
        "accelerate",
    ]
    assert file.extra_index_urls == ("https://example.org/simple",)
    assert file.variables == (("OMP_NUM_THREADS", "4"),)
    assert any("prefix is not used" in note for note in file.notes)


def test_all_mistakes_are_reported_together(tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as caught:
        read(tmp_path, "channels: x\ndependencies:\n  - a[foo=1]\n  - 3\n  - fine\n")

    assert caught.value.code == "environment-invalid"
    assert len(caught.value.causes) == 3


@pytest.mark.parametrize("text", ["a: [", "- just\n- a list\n", "\x00"])
def test_what_is_no_environment_file_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ManifestError) as caught:
        read(tmp_path, text)

    assert caught.value.code == "environment-invalid"


def test_a_mistake_in_the_pip_section_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as caught:
        read(tmp_path, "dependencies:\n  - pip:\n    - numpy=1\n")

    assert "pip item 1" in caught.value.causes[0]
