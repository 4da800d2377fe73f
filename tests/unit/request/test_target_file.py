"""Machines described in a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dataloader.base.errors import ManifestError
from dataloader.compat.matrix import load_matrix
from dataloader.request.target_file import find_gpu, load_target

GPUS = {
    "a100": "8.0",
    "A10": "8.6",
    "V100": "7.0",
    "RTX 4000 Ada": "8.9",
    "Quadro RTX 4000": "7.5",
    "GeForce RTX 30 series": "8.6",
}

POOLS = """
[[pool]]
name = "training"
glibc = "2.31"
driver = "535.104.05"
cuda = "12.2"
gpus = ["A100", "9.0"]

[[pool]]
name = "arm"
platform = "linux-aarch64"
"""


cuda_of_driver = load_matrix().cuda_of_driver


def write(tmp_path: Path, text: str, name: str = "target.toml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_several_pools(tmp_path: Path) -> None:
    training, arm = load_target(write(tmp_path, POOLS), GPUS, cuda_of_driver)

    assert (training.name, training.platform, training.driver, training.driver_cuda) == (
        "training",
        "linux-64",
        "535.104.05",
        "12.2",
    )
    assert [(gpu.name, gpu.capability) for gpu in training.gpus] == [("A100", "8.0"), ("9.0", "9.0")]
    assert (arm.platform, arm.arch, arm.glibc) == ("linux-aarch64", "aarch64", None)


@pytest.mark.parametrize(
    ("driver", "cuda"),
    [
        ("535.104.05", "12.2"),
        ("535.54", "12.2"),
        ("550.40.07", "12.4"),  # before the release of its branch
        ("565.57.01", "12.6"),  # no toolkit has this branch: what the one before knows, it knows
        ("580.159.04", "13.0"),
        ("999.1", None),
        ("390.48", None),
    ],
)
def test_driver_implies_the_cuda_of_its_branch(tmp_path: Path, driver: str, cuda: str | None) -> None:
    (target,) = load_target(write(tmp_path, f'driver = "{driver}"'), GPUS, cuda_of_driver)

    assert (target.driver, target.driver_cuda) == (driver, cuda)


def test_one_machine_needs_no_list_and_json_serves_too(tmp_path: Path) -> None:
    (target,) = load_target(
        write(tmp_path, json.dumps({"glibc": "2.28", "gpus": ["V100"]}), "t.json"), GPUS, cuda_of_driver
    )

    assert (target.glibc, target.gpus[0].capability) == ("2.28", "7.0")


@pytest.mark.parametrize(
    ("name", "capability"),
    [
        ("NVIDIA A100-SXM4-80GB", "8.0"),
        ("NVIDIA A10G", "8.6"),
        ("Tesla V100-SXM2-16GB", "7.0"),
        ("NVIDIA RTX 4000 Ada Generation", "8.9"),
        ("Quadro RTX 4000", "7.5"),
        ("NVIDIA GeForce RTX 3070", "8.6"),
        ("12.1", "12.1"),
        ("A1000", None),
        ("", None),
    ],
)
def test_gpus_are_known_by_the_names_that_people_and_drivers_use(name: str, capability: str | None) -> None:
    gpu = find_gpu(name, GPUS)

    assert (gpu.capability if gpu else None) == capability


def test_all_mistakes_are_reported_with_their_lines(tmp_path: Path) -> None:
    text = '[[pool]]\nglibc = "2.31"\n[[pool]]\nglibc = "new"\ngpu = ["A100"]\ngpus = ["Voodoo 2"]\nplatform = "dos"\n'

    with pytest.raises(ManifestError) as caught:
        load_target(write(tmp_path, text), GPUS, cuda_of_driver)

    assert caught.value.code == "target-invalid"
    assert [cause.split(":")[1] for cause in caught.value.causes] == ["4", "5", "6", "7"]
    assert "did you mean gpus?" in caught.value.causes[1]


@pytest.mark.parametrize("text", ["[pool", "pool = 3", "pool = [1]"])
def test_what_cannot_be_read_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ManifestError):
        load_target(write(tmp_path, text), GPUS, cuda_of_driver)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"no\.toml cannot be read: No such file"):
        load_target(tmp_path / "no.toml", GPUS, cuda_of_driver)


def test_several_machines_are_told_how_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text('[[targets]]\nname = "cpu"\n')
    with pytest.raises(ManifestError) as refusal:
        load_target(path, GPUS, lambda _: None)
    assert "pool)" in str(refusal.value.causes)
