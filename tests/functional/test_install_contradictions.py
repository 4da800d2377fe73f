"""What no metadata says and the files show: found before anything is installed, and solved around."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.command import run_command
from tests.helpers.conda import index_channel, make_conda_package, make_python_package
from tests.helpers.elf import make_library, needs_gcc
from tests.helpers.fatbin import cubin, fatbin_source, ptx
from tests.helpers.prefixes import EXTENSION, SITE
from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_wheel

pytestmark = [needs_gcc, pytest.mark.slow]

TAG = "py3-none-manylinux_2_17_x86_64"
RUNPATH = "$ORIGIN:$ORIGIN/../engine:$ORIGIN/../../.."
MODULE = "extern int {symbol}(void); int PyInit__ext(void) {{ return {symbol}(); }}"


@dataclass(frozen=True)
class Bench:
    """A shelf of wheels behind an index, and a directory to work in."""

    here: Path
    shelf: Path
    parts: Path
    index: IndexServer
    channel: str = ""

    def library(self, name: str, source: str, **options: Any) -> Path:
        return make_library(self.parts / name, source, soname=name.rsplit("/", 1)[-1], **options)

    def extension(
        self, name: str, version: str, symbol: str, needs: Sequence[Path], *, runpath: str = RUNPATH, **options: Any
    ) -> None:
        """A wheel whose import loads an extension module that calls ``symbol`` of ``needs``."""
        folder = self.parts / f"{name}-{version}"
        module = make_library(
            folder / f"_ext{EXTENSION}",
            MODULE.format(symbol=symbol),
            needs=needs,
            runpath=runpath,
        )
        files: dict[str, str | bytes] = {
            f"{name}/__init__.py": f"from {name} import _ext\n",
            f"{name}/_ext{EXTENSION}": module.read_bytes(),
            **options.pop("files", {}),
        }
        make_wheel(self.shelf, name, version, files=files, tag=TAG, **options)

    def engine(self, version: str, symbols: Sequence[str], soname: str = "libengine.so.1") -> Path:
        """A wheel that brings a library; returns the library."""
        source = "".join(f"int {symbol}(void) {{ return 1; }}\n" for symbol in symbols)
        library = self.library(f"engine-{version}/{soname}", source)
        make_wheel(
            self.shelf, "engine", version, tag=TAG,
            files={"engine/__init__.py": "", f"engine/{soname}": library.read_bytes()},
        )  # fmt: skip
        return library

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        worlds = {"DATALOADER_CHANNEL": self.channel} if self.channel else {"DATALOADER_CONDA": "never"}
        env = {**os.environ, **worlds, "DATALOADER_INDEX_URL": self.index.index_url, **environ}
        done = run_command(*arguments, cwd=self.here, env=env)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def install(self, *arguments: str, code: int = 0, **environ: str) -> tuple[dict[str, Any], str]:
        """The document and what was said."""
        done = self.run("install", *arguments, "-p", "env", "--json", **environ)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout), done.stderr

    def versions(self) -> dict[str, str]:
        done = self.run("list", "-p", "env", "--json")
        return {each["name"]: each["version"] for each in json.loads(done.stdout)["packages"]}

    def loader_says(self, name: str) -> str:
        """The error of the real loader for a package's extension module; empty when it loads."""
        program = (
            "import ctypes, pathlib, sysconfig\n"
            f"module = next(pathlib.Path(sysconfig.get_path('platlib'), '{name}').glob('_ext*'))\n"
            "try: ctypes.CDLL(str(module))\n"
            "except OSError as error: print(error, end='')\n"
        )
        return self.run("run", "-p", "env", "--", "python", "-c", program).stdout

    def fetched(self, pattern: str) -> int:
        """How often a wheel was asked for whole, not only for its METADATA."""
        return sum(1 for each in self.index.requests if pattern in each.path and "range" not in each.headers)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    here, shelf = tmp_path / "here", tmp_path / "shelf"
    here.mkdir()
    shelf.mkdir()
    with IndexServer(shelf) as index:
        yield Bench(here, shelf, tmp_path / "parts", index)


@pytest.fixture
def mismatched(bench: Bench) -> Bench:
    """fast 2.0 was built for engine 2.0 and does not say so; app holds engine below 2."""
    old = bench.engine("1.0", ["engine_run"])
    new = bench.engine("2.0", ["engine_run", "engine_run_fast"])
    bench.extension("fast", "1.0", "engine_run", [old], requires=["engine"])
    bench.extension("fast", "2.0", "engine_run_fast", [new], requires=["engine"])
    make_wheel(bench.shelf, "app", "1.0", requires=["fast", "engine<2"])
    return bench


def test_a_symbol_that_the_chosen_engine_lacks_makes_the_solver_choose_again(mismatched: Bench) -> None:
    document, said = mismatched.install("app")

    assert mismatched.versions() == {"app": "1.0", "engine": "1.0", "fast": "1.0"}
    assert document["left_out"] == ["fast 2.0 needs engine_run_fast, which engine 1.0 does not define"]
    assert "fast 2.0 needs engine_run_fast, which engine 1.0 does not define: choosing again" in said
    assert mismatched.loader_says("fast") == ""
    assert json.loads(mismatched.run("verify", "-p", "env", "--json").stdout)["findings"] == []


def test_what_one_machine_found_out_another_solves_right_at_once(mismatched: Bench) -> None:
    mismatched.install("app")
    for name in ("dataloader.lock", "env"):
        (mismatched.here / name).rename(mismatched.here / f"old-{name}")
    before = mismatched.fetched("fast-2.0")
    assert before == 1

    _, said = mismatched.install("app")

    assert mismatched.versions()["fast"] == "1.0"
    assert "choosing again" not in said
    assert mismatched.fetched("fast-2.0") == before


def test_the_newer_one_is_kept_where_its_engine_may_come(mismatched: Bench) -> None:
    mismatched.install("fast", "engine")

    assert mismatched.versions() == {"engine": "2.0", "fast": "2.0"}


def test_without_another_choice_nothing_is_changed_and_the_reason_told(mismatched: Bench) -> None:
    mismatched.run("init")
    manifest = (mismatched.here / "dataloader.toml").read_bytes()
    mismatched.install("engine<2")
    before = {path: path.read_bytes() for path in mismatched.here.glob("dataloader.*")}

    document, _ = mismatched.install("fast==2.0", code=1)

    assert document["error"]["code"] == "would-not-load"
    assert "fast 2.0 needs engine_run_fast, which engine 1.0 does not define" in document["error"]["causes"]
    assert {path: path.read_bytes() for path in mismatched.here.glob("dataloader.*")} == before
    assert manifest != before[mismatched.here / "dataloader.toml"]
    assert mismatched.versions() == {"engine": "1.0"}

    _, said = mismatched.install("fast==2.0", "--no-verify")
    assert mismatched.versions() == {"engine": "1.0", "fast": "2.0"}
    assert "undefined symbol: engine_run_fast" in mismatched.loader_says("fast")
    findings = json.loads(mismatched.run("verify", "-p", "env", "--json").stdout)["findings"]
    assert [each["kind"] for each in findings if each["severity"] == "error"] == ["undefined-symbol"]
    assert "choosing again" not in said


def test_sync_solves_a_lock_again_that_would_not_load_unless_it_must_not(mismatched: Bench) -> None:
    mismatched.run("init")
    manifest = mismatched.here / "dataloader.toml"
    manifest.write_text(manifest.read_text().replace("[pypi-dependencies]", '[pypi-dependencies]\napp = "*"'))
    assert mismatched.run("lock").returncode == 0
    lock = mismatched.here / "dataloader.lock"
    before = lock.read_bytes()

    for flag in ("--locked", "--frozen"):
        refused = mismatched.run("sync", flag, "-p", "env", "--json")
        assert refused.returncode == 1, refused.stderr
        assert json.loads(refused.stdout)["error"]["code"] == "would-not-load"
        assert (lock.read_bytes(), (mismatched.here / "env").exists()) == (before, False)

    # What --locked found out is known by now; the lock was made before.
    done = mismatched.run("sync", "-p", "env", "--json")
    assert done.returncode == 0, done.stderr
    assert mismatched.versions()["fast"] == "1.0"
    (mismatched.here / "env").rename(mismatched.here / "first")
    assert lock.read_bytes() != before
    assert mismatched.run("sync", "--locked", "-p", "env").returncode == 0


def test_a_missing_version_of_a_symbol_names_whose_it_is(bench: Bench) -> None:
    old = bench.library("engine-1.0/libengine.so.1", "int run(void) { return 1; }", versions="ENGINE_1 { run; };")
    new = bench.library("engine-2.0/libengine.so.1", "int run(void) { return 1; }", versions="ENGINE_2 { run; };")
    for version, library in (("1.0", old), ("2.0", new)):
        files: dict[str, str | bytes] = {"engine/__init__.py": "", "engine/libengine.so.1": library.read_bytes()}
        make_wheel(bench.shelf, "engine", version, tag=TAG, files=files)
    bench.extension("fast", "2.0", "run", [new], requires=["engine"])
    bench.extension("fast", "1.0", "run", [old], requires=["engine"])

    _, said = bench.install("fast", "engine<2")

    assert bench.versions() == {"engine": "1.0", "fast": "1.0"}
    assert "fast 2.0 needs ENGINE_2, which libengine.so.1 of engine 1.0 does not offer" in said


def test_another_soname_of_the_same_library(bench: Bench) -> None:
    bench.engine("1.0", ["run"])
    newer = bench.engine("2.0", ["run"], soname="libengine.so.2")
    bench.extension("fast", "2.0", "run", [newer], requires=["engine"])
    bench.extension("fast", "1.0", "run", [bench.parts / "engine-1.0/libengine.so.1"], requires=["engine"])

    _, said = bench.install("fast", "engine<2")

    assert bench.versions() == {"engine": "1.0", "fast": "1.0"}
    assert "fast 2.0 needs libengine.so.2, and engine 1.0 has libengine.so.1" in said


def test_a_cuda_runtime_of_another_major_than_the_stack(bench: Bench) -> None:
    for version, soname in (("1.0", "libcudart.so.11.0"), ("2.0", "libcudart.so.13")):
        runtime = bench.library(f"runtime-{version}/{soname}", "int cudaMalloc(void) { return 0; }")
        bench.extension("kernels", version, "cudaMalloc", [runtime], files={f"kernels/{soname}": runtime.read_bytes()})

    _, said = bench.install("kernels", "--cuda=11.8")
    assert bench.versions()["kernels"] == "1.0"
    assert "kernels 2.0 needs libcudart.so.13 of CUDA 13, and the stack is CUDA 11" in said

    bench.run("install", "kernels", "-p", "other", "--lockfile", "other.lock")
    assert '"version": "2.0"' in bench.run("list", "-p", "other", "--json").stdout


def test_gpus_and_drivers_of_the_machines_asked_for(bench: Bench) -> None:
    codes = {"1.0": cubin(90), "2.0": ptx(80, (8, 5)), "3.0": cubin(80)}
    for version, code in codes.items():
        source = f"{fatbin_source(code)} int PyInit__ext(void) {{ return fat[0]; }}"
        module = make_library(bench.parts / f"kernels-{version}" / f"_ext{EXTENSION}", source)
        files: dict[str, str | bytes] = {
            "kernels/__init__.py": "from kernels import _ext\n",
            f"kernels/_ext{EXTENSION}": module.read_bytes(),
        }
        make_wheel(bench.shelf, "kernels", version, files=files, tag=TAG)
    pool = 'glibc = "2.35"\ndriver = "{}"\ngpus = ["H100"]\n'
    for cuda, driver in (("12.4", "550.54.14"), ("12.5", "555.42.02")):
        (bench.here / f"{cuda}.toml").write_text(pool.format(driver))

    _, said = bench.install("kernels", "--target=12.4.toml")
    assert bench.versions()["kernels"] == "1.0"
    assert "kernels 3.0 has no code for H100 (9.0), only sm_80" in said
    assert "kernels 2.0 has no code for H100 (9.0), only PTX 80, which is too new for the driver" in said

    # What a driver does not compile is true of the machines that have it, and not told to others.
    bench.run("install", "kernels", "--target=12.5.toml", "-p", "other", "--lockfile", "other.lock")
    assert '"version": "2.0"' in bench.run("list", "-p", "other", "--json").stdout


def test_a_library_of_the_stack_that_nothing_brings_is_required(bench: Bench) -> None:
    cudnn = bench.library("cudnn/libcudnn.so.9", "int cudnnCreate(void) { return 0; }")
    make_wheel(
        bench.shelf, "nvidia-cudnn-cu12", "9.1.0.70", tag=TAG,
        files={"nvidia/cudnn/lib/libcudnn.so.9": cudnn.read_bytes()},
    )  # fmt: skip
    bench.extension("layers", "1.0", "cudnnCreate", [cudnn], runpath="$ORIGIN/../nvidia/cudnn/lib")

    document, _ = bench.install("layers", "--cuda=12.4")

    assert bench.versions() == {"layers": "1.0", "nvidia-cudnn-cu12": "9.1.0.70"}
    assert document["left_out"] == ["layers 1.0 needs libcudnn.so.9, which none of the packages has"]
    assert bench.loader_says("layers") == ""


def test_two_packages_that_want_one_path(bench: Bench) -> None:
    make_wheel(bench.shelf, "left", "1.0", files={"shared/core.py": "left = 1\n"})
    make_wheel(bench.shelf, "right", "2.0", files={"shared/core.py": "right = 1\n"})
    make_wheel(bench.shelf, "right", "1.0", files={"right/core.py": "right = 1\n"})

    _, said = bench.install("left", "right")

    assert bench.versions() == {"left": "1.0", "right": "1.0"}
    assert "shared/core.py" in said

    document, _ = bench.install("left", "right==2.0", code=1)
    assert document["error"]["code"] == "no-solution"
    assert any(line.startswith("rule learned-") and "shared/core.py" in line for line in document["error"]["causes"])


def test_a_wheel_that_needs_a_newer_glibc_than_its_tag_says(bench: Bench) -> None:
    future = bench.library("libc.so.6", "int future(void) { return 1; }", versions="GLIBC_2.99 { future; };")
    bench.extension("modern", "2.0", "future", [future])
    make_wheel(bench.shelf, "modern", "1.0")

    _, said = bench.install("modern")

    assert bench.versions() == {"modern": "1.0"}
    assert "modern 2.0 needs glibc 2.99" in said


def test_what_only_the_machine_lacks_is_told_and_installed(bench: Bench) -> None:
    system = bench.library("libscreen.so.1", "int draw(void) { return 1; }")
    bench.extension("viewer", "1.0", "draw", [system])
    make_wheel(bench.shelf, "viewer", "0.9")

    _, said = bench.install("viewer")

    assert bench.versions() == {"viewer": "1.0"}
    assert "libscreen.so.1" in said
    for name in ("env2", "env3"):  # and as long as it is so
        done = bench.run("sync", "-p", name)
        assert (done.returncode, "libscreen.so.1" in done.stderr) == (0, True), done.stderr


def test_a_file_that_two_conda_packages_have_in_two_forms_is_told(bench: Bench, tmp_path: Path) -> None:
    for name in ("alpha", "beta", "gamma"):
        content = "same" if name != "beta" else "other"
        make_conda_package(tmp_path / "channel", name, "1.0", files={"share/data.txt": content})
    both = replace(bench, channel=index_channel(tmp_path / "channel"))

    _, said = both.install("conda:alpha", "conda:gamma")
    assert "share/data.txt" not in said
    for name in ("env2", "env3"):
        said = both.run("install", "conda:alpha", "conda:beta", "-p", name, "--lockfile", f"{name}.lock").stderr
        assert "share/data.txt: alpha 1.0 and beta 1.0 both own this path" in said, said


def test_a_damaged_note_counts_as_absent(mismatched: Bench) -> None:
    mismatched.install("app")
    notes = list(Path(os.environ["DATALOADER_CACHE_DIR"]).glob("learned-2/*/contradictions/*.json"))
    assert len(notes) == 1
    notes[0].write_bytes(b'[{"artefact": 1}]')
    (mismatched.here / "dataloader.lock").unlink()
    (mismatched.here / "env").rename(mismatched.here / "old")

    _, said = mismatched.install("app")

    assert mismatched.versions()["fast"] == "1.0"
    assert "choosing again" in said


@pytest.fixture
def two_worlds(bench: Bench, tmp_path: Path) -> Bench:
    """libengine is conda's; the newest fast (a wheel) and tool (conda's) need libengine 2 and do not say so."""
    channel = tmp_path / "channel"
    make_python_package(channel)
    script = "ENGINE_1 { run; };"
    for version, versions in (("1.0", script), ("2.0", f"{script} ENGINE_2 {{ sprint; }} ENGINE_1;")):
        source = "int run(void) { return 1; } int sprint(void) { return 2; }"
        engine = bench.library(f"conda-{version}/libengine.so.1", source, versions=versions)
        make_conda_package(channel, "libengine", version, files={"lib/libengine.so.1": engine})
        symbol = "run" if version == "1.0" else "sprint"
        bench.extension("fast", version, symbol, [engine])
        use = f"extern int {symbol}(void); int use(void) {{ return {symbol}(); }}"
        tool = bench.library(f"tool-{version}/libtool.so.1", use, needs=[engine], runpath="$ORIGIN")
        source = "import ctypes, sys\nctypes.CDLL(sys.prefix + '/lib/libtool.so.1')\n"
        files: dict[str, str | bytes | Path] = {"lib/libtool.so.1": tool, f"{SITE}/tool.py": source}
        make_conda_package(channel, "tool", version, files=files, depends=["libengine", "python"])
    return replace(bench, channel=index_channel(channel))


@pytest.mark.parametrize("asked", ["fast", "conda:tool"])
def test_a_library_of_conda_contradicts_what_was_built_for_a_newer_one(two_worlds: Bench, asked: str) -> None:
    name = asked.removeprefix("conda:")
    two_worlds.install(asked, "conda:libengine", "conda:python")
    assert two_worlds.versions()[name] == "2.0"

    (two_worlds.here / "dataloader.lock").unlink()
    _, said = two_worlds.install(asked, "conda:libengine=1", "conda:python", "--reinstall")

    assert (two_worlds.versions()[name], two_worlds.versions()["libengine"]) == ("1.0", "1.0")
    assert f"{name} 2.0 needs ENGINE_2, which libengine.so.1 of libengine 1.0 does not offer: choosing again" in said


def test_the_c_api_of_numpy_that_a_wheel_was_compiled_for_is_learnt(bench: Bench) -> None:
    for version in ("1.26.4", "2.1.0"):
        make_wheel(bench.shelf, "numpy", version, files={"numpy/__init__.py": ""})
    for version, least in (("1.0", "1.23"), ("2.0", "2.0")):
        said = f"compiled against NumPy C-API version 0x%x (NumPy {least})"
        source = (
            f'const char *a = "numpy._core", *b = "_ARRAY_API", *c = "{said}";\n'
            "extern void *PyCapsule_GetPointer(void *, const char *);\n"
            "void *PyInit__ext(void) { return PyCapsule_GetPointer((void *)a, b); }\n"
        )
        module = make_library(bench.parts / f"arrays-{version}/_ext{EXTENSION}", source)
        files: dict[str, str | bytes] = {f"arrays/_ext{EXTENSION}": module.read_bytes()}
        files["arrays/__init__.py"] = "from arrays import _ext"
        make_wheel(bench.shelf, "arrays", version, files=files, tag=TAG, requires=["numpy"])

    document, _ = bench.install("arrays", "numpy<2")

    assert bench.versions() == {"arrays": "1.0", "numpy": "1.26.4"}
    assert document["left_out"] == ["arrays 2.0 was compiled for the C API of numpy 2.0"]


def test_packages_that_cannot_be_in_one_process_are_not_chosen_together(bench: Bench) -> None:
    """left 2.0 and right 1.0 each load by themselves, each with a libdep.so.1 of its own."""
    old = bench.library("old/libdep.so.1", "int old(void) { return 1; }", versions="D_old { global: old; };")
    new = bench.library("new/libdep.so.1", "int it(void) { return 1; }", versions="D_it { global: it; };")
    for name, version, symbol, library in (("left", "2.0", "old", old), ("right", "1.0", "it", new)):
        files = {f"{name}/lib/libdep.so.1": library.read_bytes()}
        bench.extension(name, version, symbol, [library], runpath="$ORIGIN/lib", files=files)
    make_wheel(bench.shelf, "left", "1.0", files={"left/__init__.py": ""}, tag=TAG)
    app = {"app/__init__.py": "import left, right\n"}
    make_wheel(bench.shelf, "app", "1.0", requires=["left", "right"], files=app)

    document, said = bench.install("app")

    assert bench.versions() == {"app": "1.0", "left": "1.0", "right": "1.0"}, said
    assert [each for each in document["left_out"] if "in one process" in each]
    assert json.loads(bench.run("verify", "-p", "env", "--json").stdout)["findings"] == []
