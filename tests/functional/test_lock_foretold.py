"""What libraries of wheels say of CUDA and GPUs decides before any wheel is fetched, where nothing else says it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.command import run_command
from tests.helpers.elf import make_library, needs_gcc
from tests.helpers.fatbin import cubin, fatbin_source, ptx
from tests.helpers.prefixes import EXTENSION
from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_wheel

pytestmark = [needs_gcc, pytest.mark.slow]

TAG = "py3-none-manylinux_2_17_x86_64"
METADATA = 1
"""Parts that are read for the METADATA of a small wheel."""
MODULE = "int PyInit__ext(void) { return 0; }\n"


@dataclass(frozen=True)
class Bench:
    """A shelf of wheels behind an index, and a directory to work in."""

    here: Path
    shelf: Path
    parts: Path
    index: IndexServer

    def wheel(
        self,
        name: str,
        version: str,
        *needs: str,
        code: Sequence[bytes] = (),
        source: str = MODULE,
        module: str = f"_ext{EXTENSION}",
        more: Mapping[str, bytes] | None = None,
        **options: Any,
    ) -> None:
        """A wheel with a module that needs libraries of these names, and has this GPU code."""
        folder = self.parts / f"{name}-{version}"
        beside = [make_library(folder / need, soname=need) for need in needs]
        library = make_library(folder / module, source + (fatbin_source(*code) if code else ""), needs=beside)
        package = name.replace("-", "_")
        files: dict[str, str | bytes] = {
            f"{package}/__init__.py": "",
            f"{package}/{module}": library.read_bytes(),
            **(more or {}),
        }
        make_wheel(self.shelf, name, version, files=files, tag=TAG, **options)

    def lock(self, *words: str, target: str = "", code: int = 0) -> tuple[dict[str, Any], str]:
        """The document, and what was said."""
        (self.here / "target.toml").write_text(target or 'glibc = "2.36"\n')
        (self.here / "dataloader.lock").unlink(missing_ok=True)
        env = {**os.environ, "DATALOADER_CONDA": "never", "DATALOADER_INDEX_URL": self.index.index_url}
        env = {"PIP_CONFIG_FILE": "/dev/null", **{k: v for k, v in env.items() if not k.startswith("PIP_")}}
        done = run_command("lock", "--json", "--target=target.toml", *words, cwd=self.here, env=env)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout), done.stderr

    def ranges(self, pattern: str) -> int:
        """How many parts of a wheel were read."""
        return sum(1 for seen in self.index.requests if seen.path.endswith(".whl") and pattern in seen.path)


def _versions(document: Mapping[str, Any]) -> dict[str, str]:
    return {package["name"]: package["version"] for package in document["packages"]}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    here, shelf = tmp_path / "here", tmp_path / "shelf"
    here.mkdir()
    shelf.mkdir()
    with IndexServer(shelf) as index:
        yield Bench(here, shelf, tmp_path / "parts", index)


OLD_DRIVER = 'glibc = "2.36"\ndriver = "535.54.03"\n'


@pytest.fixture
def of_two_cudas(bench: Bench) -> Bench:
    bench.wheel("fast-gpu", "1.0", "libcudart.so.12")
    bench.wheel("fast-gpu", "2.0", "libcudart.so.13")
    return bench


@pytest.mark.parametrize(
    ("words", "target", "taken"),
    [
        (("--cuda=12.4",), "", "1.0"),
        (("--cuda=12",), "", "1.0"),
        (("--cuda=13.0",), "", "2.0"),
        ((), OLD_DRIVER, "1.0"),
        ((), "", "2.0"),
    ],
)
def test_the_cuda_of_a_module_decides_where_the_request_has_one(
    of_two_cudas: Bench, words: tuple[str, ...], target: str, taken: str
) -> None:
    document, said = of_two_cudas.lock("fast-gpu", *words, target=target)

    assert _versions(document)["fast-gpu"] == taken
    is_passed = taken == "1.0"
    assert ("fast-gpu 2.0 needs libcudart.so.13 of CUDA 13, as its own files say: choosing again" in said) == is_passed


def test_nothing_is_read_where_nothing_is_decided(of_two_cudas: Bench) -> None:
    of_two_cudas.lock("fast-gpu")

    assert of_two_cudas.ranges("fast_gpu-2.0") == METADATA


def test_a_pin_that_only_files_contradict_is_refused_by_what_they_say(of_two_cudas: Bench) -> None:
    document, _ = of_two_cudas.lock("fast-gpu==2.0", "--cuda=12.4", code=1)

    told = json.dumps(document["error"])
    assert "fast-gpu 2.0 needs libcudart.so.13 of CUDA 13, as its own files say" in told
    assert "CUDA 12.4 was asked for" in told


def test_what_was_read_is_read_once(of_two_cudas: Bench) -> None:
    of_two_cudas.lock("fast-gpu", "--cuda=12.4")
    before = of_two_cudas.ranges("fast_gpu")
    assert before > 0
    document, _ = of_two_cudas.lock("fast-gpu", "--cuda=12.4")

    assert _versions(document)["fast-gpu"] == "1.0"
    assert of_two_cudas.ranges("fast_gpu") == before


def test_offline_what_nobody_read_stays_unknown(of_two_cudas: Bench) -> None:
    of_two_cudas.lock("fast-gpu")  # its page and METADATA are in the cache by now
    document, said = of_two_cudas.lock("fast-gpu==2.0", "--cuda=12.4", "--offline")

    assert _versions(document)["fast-gpu"] == "2.0"
    assert "not known which CUDA fast-gpu 2.0 is for" in said


def test_offline_what_was_read_before_counts(of_two_cudas: Bench) -> None:
    of_two_cudas.lock("fast-gpu==2.0", "--cuda=13.0")
    of_two_cudas.lock("fast-gpu==2.0", "--cuda=12.4", "--offline", code=1)


H200 = 'glibc = "2.36"\ngpus = ["H200"]\n'
T4 = 'glibc = "2.36"\ngpus = ["T4"]\n'


@pytest.mark.parametrize(
    ("code", "target", "fits"),
    [
        ((cubin(80), cubin(90)), H200, True),
        ((cubin(80),), H200, False),
        ((cubin(80), ptx(80)), H200, True),
        ((cubin(80), cubin(90)), T4, False),
        ((ptx(90),), T4, False),
        ((cubin(75),), T4, True),
    ],
)
def test_the_gpu_code_of_a_wheel_decides_for_machines_with_gpus(
    bench: Bench, code: Sequence[bytes], target: str, fits: bool
) -> None:
    bench.wheel("fast-gpu", "2.0", code=code)
    bench.wheel("fast-gpu", "1.0")

    document, said = bench.lock("fast-gpu", target=target)

    assert _versions(document)["fast-gpu"] == ("2.0" if fits else "1.0")
    assert ("fast-gpu 2.0 has no code for" in said) != fits


def test_libraries_that_are_chosen_when_they_run_say_nothing(bench: Bench) -> None:
    """bitsandbytes and their like have one library for each CUDA, and open one of them."""
    plugin = make_library(bench.parts / "plugin.so", needs=[make_library(bench.parts / "libcudart.so.13")])
    bench.wheel("many-gpu", "1.0", more={"many_gpu/libops_cuda13.so": plugin.read_bytes()})

    document, said = bench.lock("many-gpu", "--cuda=12.4")

    assert _versions(document) == {"many-gpu": "1.0"}
    assert "choosing again" not in said


def test_a_runtime_of_its_own_says_nothing(bench: Bench) -> None:
    own = make_library(bench.parts / "libcudart.so.13", soname="libcudart.so.13")
    bench.wheel("own-gpu", "1.0", "libcudart.so.13", more={"own_gpu/libcudart.so.13": own.read_bytes()})

    document, _ = bench.lock("own-gpu", "--cuda=12.4")

    assert _versions(document) == {"own-gpu": "1.0"}


def test_a_library_that_the_module_needs_counts(bench: Bench) -> None:
    core = make_library(
        bench.parts / "libcore.so",
        soname="libcore.so",
        needs=[make_library(bench.parts / "libcublas.so.11", soname="libcublas.so.11")],
    )
    bench.wheel("deep-gpu", "1.0", "libcore.so", more={"deep_gpu/libcore.so": core.read_bytes()})

    document, _ = bench.lock("deep-gpu==1.0", "--cuda=12.4", code=1)

    assert "deep-gpu 1.0 needs libcublas.so.11 of CUDA 11" in json.dumps(document["error"])


def test_wheels_without_anything_of_cuda_are_not_looked_into(bench: Bench) -> None:
    bench.wheel("plain", "1.0", "libcudart.so.13")

    document, _ = bench.lock("plain", "--cuda=12.4")

    assert _versions(document) == {"plain": "1.0"}
    assert bench.ranges("plain-1.0") == METADATA
