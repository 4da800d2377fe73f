"""Builds of further indexes, in the form that their publishers give them: labels in versions and in file names."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.command import run_command
from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_wheel

TAG = "cp38-abi3-manylinux_2_17_x86_64"


@dataclass(frozen=True)
class Desk:
    """A directory to work in, an index that stands for PyPI, and rows that say where the others are."""

    here: Path
    index: IndexServer
    matrix: Path

    def lock(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        env = {
            **os.environ,
            "DATALOADER_CONDA": "never",
            "DATALOADER_INDEX_URL": self.index.index_url,
            "DATALOADER_CACHE_DIR": str(self.here / "cache"),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_FIND_LINKS": "",
        }
        done = run_command("lock", "--json", "--matrix", str(self.matrix), *arguments, cwd=self.here, env=env)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)  # type: ignore[no-any-return]

    def versions(self, *arguments: str) -> dict[str, str]:
        return {p["name"]: p["version"] for p in self.lock(*arguments)["packages"]}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """PyPI has the engine for CUDA 13 in its newest releases, its publisher's index has it for CUDA 12 too."""
    pypi, torch, vllm = tmp_path / "pypi", tmp_path / "torch", tmp_path / "vllm"
    for version, needs in (("2.10.0", "2.10.0"), ("2.11.0", "2.11.0"), ("2.14.0", "2.14.0")):
        make_wheel(pypi, "torch", version, tag="py3-none-any")
        assert needs == version
    make_wheel(pypi, "vllm", "0.19.1", requires=["torch==2.10.0"], tag=TAG)
    make_wheel(pypi, "vllm", "0.26.0", requires=["torch==2.11.0"], tag=TAG)
    make_wheel(pypi, "vllm", "0.33.0", requires=["torch==2.14.0"], tag=TAG)
    make_wheel(torch, "torch", "2.11.0+cu128", tag="py3-none-any")
    make_wheel(vllm, "vllm", "0.26.0+cu128", requires=["torch==2.11.0"], tag=TAG)
    here = tmp_path / "here"
    here.mkdir()
    with ExitStack() as stack:
        main, second, third = (stack.enter_context(IndexServer(folder)) for folder in (pypi, torch, vllm))
        rows = [
            {"id": "index-pytorch", "name": "pytorch-index", "url": second.index_url, "local": "{variant}"}
            | {"projects": ["torch", "torchvision"]},
            {"id": "index-vllm", "name": "vllm-index", "url": f"{third.index_url}", "local": "{variant}"}
            | {"projects": ["vllm"]},
        ]
        common = {"table": "index", "source": "this test", "date": "2026-11-28"}
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps({**row, **common}) + "\n" for row in rows))
        yield Desk(here, main, tmp_path / "rows.jsonl")


def test_the_newest_engine_for_an_older_cuda_comes_from_its_publishers_index(desk: Desk) -> None:
    assert desk.versions("vllm", "--cuda=12.8") == {"torch": "2.11.0+cu128", "vllm": "0.26.0+cu128"}


def test_where_nothing_is_said_pypis_newest_is_taken_and_no_other_index_is_asked(desk: Desk) -> None:
    assert desk.versions("vllm") == {"torch": "2.14.0", "vllm": "0.33.0"}


def test_a_driver_says_as_much_as_an_option(desk: Desk) -> None:
    (desk.here / "fleet.toml").write_text('driver = "550.54.15"\nglibc = "2.36"\n')

    assert desk.versions("vllm", "--target", "fleet.toml") == {"torch": "2.11.0+cu128", "vllm": "0.26.0+cu128"}


def test_an_index_that_lacks_what_was_announced_is_done_without(desk: Desk) -> None:
    """CUDA 12.6 of torch 2.11 is announced, and the index does not have it."""
    assert desk.lock("torch==2.11.0", "--cuda=12.6", code=1)["error"]["code"] in ("no-solution", "no-matching-version")


def test_an_index_that_does_not_answer_is_the_refusal(desk: Desk) -> None:
    text = desk.matrix.read_text().replace(f"{desk.index.index_url}", "x")
    lines = [json.loads(line) for line in text.splitlines()]
    lines[0]["url"] = "http://127.0.0.1:9/simple"
    desk.matrix.write_text("".join(json.dumps(line) + "\n" for line in lines))

    assert desk.lock("torch==2.11.0", "--cuda=12.8", code=3)["error"]["code"] == "index-unreachable"


def test_a_label_that_the_file_name_alone_has_binds(tmp_path: Path) -> None:
    """flash-attn's METADATA says 2.5.7, its file names which torch and which C++ ABI."""
    shelf, here = tmp_path / "shelf", tmp_path / "here"
    here.mkdir()
    make_wheel(shelf, "torch", "2.4.1", tag="py3-none-any")
    for abi in ("TRUE", "FALSE"):
        for torch in ("2.3", "2.4"):
            plain = make_wheel(shelf / "plain", "flash-attn", "2.5.7", requires=["torch"], tag="py3-none-any")
            plain.rename(shelf / f"flash_attn-2.5.7+cu12torch{torch}cxx11abi{abi}-py3-none-any.whl")
    with IndexServer(tmp_path / "shelf") as index:
        (tmp_path / "none.jsonl").write_text("")
        desk = Desk(here, index, tmp_path / "none.jsonl")

        assert desk.versions("torch==2.4.1", "flash-attn") == {
            "torch": "2.4.1",
            "flash-attn": "2.5.7+cu12torch2.4cxx11abifalse",
        }
        env = {**os.environ, "DATALOADER_CACHE_DIR": str(here / "cache"), "DATALOADER_CONDA": "never"}
        for changed in (True, False):
            done = run_command("sync", "--json", "--frozen", "--no-verify", cwd=here, env=env)
            assert done.returncode == 0, done.stdout + done.stderr
            document = json.loads(done.stdout)
            assert bool(document["installed"]) == changed, document
