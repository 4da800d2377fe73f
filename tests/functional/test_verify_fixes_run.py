"""Every form of a fix that any test provokes is run by one case; those that the corpus of failures does not have are
here, in environments of other tools and of our own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.functional.test_verify_corpus import CASES as CORPUS
from tests.helpers.broken import TAG, UV, Broken, Case, check_case
from tests.helpers.channel_server import Channel, serve
from tests.helpers.conda import index_channel, make_conda_package, make_python_package
from tests.helpers.elf import make_library, needs_gcc
from tests.helpers.fixes import listed
from tests.helpers.prefixes import EXTENSION, module_source

pytestmark = [needs_gcc, pytest.mark.skipif(UV is None, reason="needs uv")]


class Ours(Broken):
    """An environment that dataloader made, of wheels."""

    def begin(self) -> None:
        self.lock = str(self.folder / "dataloader.lock")

    def environ(self) -> dict[str, str]:
        wheels = {"DATALOADER_FIND_LINKS": str(self.shelf), "DATALOADER_NO_INDEX": "1", "DATALOADER_CONDA": "never"}
        return {**super().environ(), **wheels, "DATALOADER_YES": "1", **self.variables}

    def install(self, *specs: str, deps: bool = True) -> None:
        self.shell(f"dataloader install -p env {' '.join(map(repr, specs))}")


class Conda(Ours):
    """One with packages of a channel."""

    def begin(self) -> None:
        super().begin()
        self.channel = self.folder / "channel"
        make_python_package(self.channel)

    def environ(self) -> dict[str, str]:
        found = super().environ()
        del found["DATALOADER_CONDA"]
        return {**found, "DATALOADER_CHANNEL": self.channel.as_uri()}

    def program(self, source: str, library: Path) -> Path:
        """A program that is linked with a library, and looks for it beside itself."""
        self.built += 1
        path = self.folder / f"built/{self.built}/tool"
        path.parent.mkdir(parents=True)
        (path.parent / "tool.c").write_text(source)
        self.shell(f"gcc -o {path} {path}.c {library} '-Wl,-rpath,$ORIGIN/../lib'")
        return path

    def serve_as(self, name: str) -> None:
        """Have the channel's packages also under a name of anaconda.org."""
        Channel.folder, Channel.fault = self.channel, "none"
        served = self.open.enter_context(serve())
        self.variables["DATALOADER_MIRROR"] = f"https://conda.anaconda.org/{name}={served}"

    def package(self, name: str, version: str, files: dict[str, Path | str], **options: Any) -> Path:
        return make_conda_package(self.channel, name, version, files=files, **options)

    def install(self, *specs: str, deps: bool = True) -> None:
        index_channel(self.channel)
        super().install(*specs)


CASES: dict[str, Case] = {}


def case(
    name: str, kind: str, path: str, words: str, world: type[Any] = Broken, run: str = ""
) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    def keep(make: Callable[[Any], None]) -> Callable[[Any], None]:
        CASES[name] = Case(make, kind, path, words, run=run, world=world)
        return make

    return keep


# -- NumPy, families ---------------------------------------------------------------------------------------------------

NUMPY = """extern void *PyCapsule_GetPointer(void *, const char *);
const char *names[] = {{"{where}", "_ARRAY_API", "{said}"}};
"""


def of_numpy(where: str, said: str, there: str, other: str) -> Callable[[Broken], None]:
    def make(world: Broken) -> None:
        source = NUMPY.format(where=where, said=said) + module_source("_ext", "PyCapsule_GetPointer(0, names[1]);")
        module = make_library(world.folder / f"built/_ext{EXTENSION}", source)
        files: dict[str, Path | str] = {"app/__init__.py": "from app import _ext\n", f"app/_ext{EXTENSION}": module}
        world.wheel("app", "1.0", files, requires=["numpy"], tag=TAG)
        world.wheel("app", "0.9", {"app/__init__.py": ""}, requires=["numpy"])
        for version in (there, other):
            world.wheel("numpy", version, {"numpy/__init__.py": ""})
        world.install(f"numpy=={there}", "app==1.0")

    return make


OLD_API = "module compiled against ABI version 0x%x but this version of numpy is 0x%x"
NEW_API = "module was compiled against NumPy C-API version 0x%x (NumPy 2.0) but the running NumPy has"
CASES["an extension of NumPy 1 beside NumPy 2"] = Case(
    of_numpy("numpy.core._multiarray_umath", OLD_API, "2.1.0", "1.26.4"), "numpy-abi", EXTENSION, "NumPy 1", run=""
)
CASES["an extension of a newer NumPy"] = Case(
    of_numpy("numpy._core._multiarray_umath", NEW_API, "1.26.4", "2.1.0"), "numpy-abi", EXTENSION, "2.0", run=""
)

PARTS = ("graph", "ops", "cnn", "adv", "heuristic", "engines_precompiled", "engines_runtime_compiled")


def cudnn(world: Broken, project: str, folder: str, *, front: bool = True, parts: bool = True) -> None:
    names = [*(["libcudnn.so.9"] if front else []), *(f"libcudnn_{part}.so.9" for part in PARTS if parts)]
    files: dict[str, Path | str] = {
        f"{folder}/{name}": world.library(name, f"int x_{len(folder)};", runpath="$ORIGIN") for name in names
    }
    world.wheel(project, "9.1.0.70", files, tag="py3-none-manylinux2014_x86_64")


@case("cuDNN without its parts", "cannot-open", "libcudnn.so.9", "libcudnn_ops.so.9")
def _(world: Broken) -> None:
    cudnn(world, "some", "some/lib", parts=False)
    cudnn(world, "nvidia-cudnn-cu12", "some/lib", front=False)
    world.wheel("nvidia-nvtx-cu12", "12.4", {"nvidia/nvtx.py": ""})  # what tells the CUDA of the environment
    world.install("some", "nvidia-nvtx-cu12")


@case("cuDNN that was installed without its parts", "cannot-open", "libcudnn.so.9", "libcudnn_ops.so.9")
def _(world: Broken) -> None:
    cudnn(world, "nvidia-cudnn-cu12", "nvidia/cudnn/lib")
    world.install("nvidia-cudnn-cu12")
    for path in (world.site / "nvidia/cudnn/lib").glob("libcudnn_*"):
        path.unlink()
    record = next(world.site.glob("nvidia_cudnn*/RECORD"))  # by a tool that keeps records true
    record.write_text("".join(line for line in record.read_text().splitlines(True) if "libcudnn_" not in line))


@case("parts of cuDNN of another package", "split-family", "libcudnn.so.9", "from other")
def _(world: Broken) -> None:
    cudnn(world, "nvidia-cudnn-cu12", "nvidia/cudnn/lib")
    cudnn(world, "other", "other/lib")
    world.install("nvidia-cudnn-cu12", "other")
    (world.site / "nvidia/cudnn/lib/libcudnn_ops.so.9").unlink()
    world.variables["LD_LIBRARY_PATH"] = str(world.site / "other/lib")


@case("parts of cuDNN from the host", "split-family", "libcudnn.so.9", "from the system")
def _(world: Broken) -> None:
    cudnn(world, "nvidia-cudnn-cu12", "nvidia/cudnn/lib")
    world.install("nvidia-cudnn-cu12")
    other = world.library("libcudnn_ops.so.9", "int y;")
    world.variables["LD_LIBRARY_PATH"] = str(other.parent)


# -- what abi knows ----------------------------------------------------------------------------------------------------


@case(
    "a companion that no table knows, of another torch",
    "undefined-symbol",
    f"app/_ext{EXTENSION}",
    "app 1.0 loads with torch 2.2.0 to 2.3.0, of the releases that were looked at",
    run="python -c 'import app'",
)
def _(world: Broken) -> None:
    old, new = "_ZN3c104heldEv", "_ZN3c103newEv"
    code = "int {}(void) {{ return 1; }} "
    has = {"2.1.0": [old], "2.2.0": [old, new], "2.3.0": [new], "2.4.0": []}
    for version, symbols in has.items():
        library = world.library("libtorch.so", "int it;" + "".join(map(code.format, symbols)))
        files: dict[str, Path | str] = {"torch/__init__.py": "", "torch/lib/libtorch.so": library}
        world.wheel("torch", version, files, tag=TAG)
    library = world.library("libtorch.so", code.format(new))
    module = world.module("_ext", library, calls=[new], runpath="$ORIGIN/../torch/lib")
    files = {"app/__init__.py": "import torch\nfrom app import _ext", f"app/_ext{EXTENSION}": module}
    wheel = world.wheel("app", "1.0", files, requires=["torch"], tag=TAG)
    world.shell(f"dataloader abi {wheel} --with 'torch<2.4'")
    world.install("torch==2.1.0", "app")


# -- metadata ----------------------------------------------------------------------------------------------------------


@case("a dependency is older than what is required", "unmet-requirement", "app-1.0.dist-info", "dep 1.0", run="")
def _(world: Broken) -> None:
    for version in ("1.0", "2.0"):
        world.wheel("dep", version, {"dep.py": ""})
    world.wheel("app", "1.0", {"app.py": "import dep"}, requires=["dep>=2"])
    world.install("app")
    world.install("dep==1.0", deps=False)


@case("a NumPy that a torch was not built for", "matrix-rule", "numpy-2.1.0.dist-info", "does not go with torch")
def _(world: Broken) -> None:
    for version in ("1.26.4", "2.1.0"):
        world.wheel("numpy", version, {"numpy.py": ""})
    world.wheel("torch", "2.1.0", {"torch.py": ""})
    world.install("torch", "numpy==2.1.0")


# -- our own environments ----------------------------------------------------------------------------------------------


def changed_behind_our_back(change: str) -> Callable[[Ours], None]:
    def make(world: Ours) -> None:
        for version in ("1.0", "2.0"):
            world.wheel("dep", version, {"dep.py": ""})
        world.wheel("more", "1.0", {"more.py": ""})
        world.wheel("app", "1.0", {"app.py": "import dep"}, requires=["dep"])
        world.install("app", "dep==1.0")
        world.shell(f"{UV} pip {change}".replace("ENV", f"-q -p {world.prefix}/bin/python"))

    return make


for name, kind, path, words, change in (
    ("a package was removed by another tool", "locked-package-missing", "", "dep", "uninstall ENV dep"),
    ("a package was changed by another tool", "locked-version-differs", "dep-2.0.dist-info", "1.0",
     "install ENV dep==2.0"),
    ("a package was added by another tool", "extraneous-package", "more-1.0.dist-info", "more", "install ENV more"),
):  # fmt: skip
    CASES[name] = Case(changed_behind_our_back(change), kind, path, words, run="", world=Ours)


@case("a file of a conda package was changed", "file-changed", "lib/a.txt", "instead of", Conda)
def _(world: Conda) -> None:
    world.package("alpha", "1.0", {"lib/a.txt": "a text"})
    world.install("python", "conda:alpha")
    (world.prefix / "lib/a.txt").unlink()
    (world.prefix / "lib/a.txt").write_text("b text")


@case("two conda packages with one path", "clobbered-path", "lib/a.txt", "both own", Conda)
def _(world: Conda) -> None:
    world.package("alpha", "1.0", {"lib/a.txt": "a text"})
    world.package("beta", "1.0", {"share/b.txt": "b text"})
    world.install("python", "conda:alpha", "conda:beta")
    # As another tool writes the other one's record: ours refuses two libraries of one path.
    lost = world.prefix / "__clobbers__/beta/lib/a.txt"
    lost.parent.mkdir(parents=True)
    lost.write_text("another text")
    record = next(world.prefix.glob("conda-meta/beta-*.json"))
    content = json.loads(record.read_text())
    content["files"].append("__clobbers__/beta/lib/a.txt")
    entry = {"_path": "__clobbers__/beta/lib/a.txt", "path_type": "hardlink", "original_path": "lib/a.txt"}
    content["paths_data"]["paths"].append(entry)
    record.write_text(json.dumps(content))


@case("a library of a channel is missing", "missing-library", "bin/tool", "libcublas.so.12", Conda)
def _(world: Conda) -> None:
    library = world.library("libcublas.so.12", "int it(void) { return 1; }")
    world.package("libcublas", "12.4", {"lib/libcublas.so.12": library})
    program = world.program("extern int it(void); int main(void) { return !it(); }", library)
    world.package("tool", "1.0", {"bin/tool": program})
    world.install("python", "conda:tool")
    world.serve_as("conda-forge")


@case("a conda package without what it depends on", "unmet-requirement", "alpha-1.0-0.json", "beta", Conda)
def _(world: Conda) -> None:
    world.package("alpha", "1.0", {"share/a.txt": "a"}, depends=["beta >=2"])
    for version in ("1.0", "2.0"):
        world.package("beta", version, {"share/b.txt": version})
    world.install("python", "conda:alpha")
    (record,) = world.prefix.glob("conda-meta/beta-2*.json")
    content = json.loads(record.read_text())
    record.unlink()
    record.with_name("beta-1.0-0.json").write_text(json.dumps({**content, "version": "1.0"}))


@case("a conda package that another tool removed", "unmet-requirement", "alpha-1.0-0.json", "not installed", Conda)
def _(world: Conda) -> None:
    world.package("alpha", "1.0", {"share/a.txt": "a"}, depends=["beta"])
    world.package("beta", "1.0", {"share/b.txt": "b"})
    world.install("python", "conda:alpha")
    next(world.prefix.glob("conda-meta/beta-*.json")).unlink()
    (world.prefix / "share/b.txt").unlink()


@case("a newer libstdc++ than this one, in an environment of a channel", "version-not-provided", "bin/tool",
      "GLIBCXX_3.4.99", Conda)  # fmt: skip
def _(world: Conda) -> None:
    library = world.library("libstdc++.so.6", "int it(void) { return 1; }", versions="GLIBCXX_3.4.99 { global: it; };")
    world.package("libstdcxx", "99", {"lib/libstdc++.so.6": library})
    program = world.program("extern int it(void); int main(void) { return !it(); }", library)
    world.package("tool", "1.0", {"bin/tool": program})
    world.install("python", "conda:tool")
    world.serve_as("conda-forge")


@case("a library of a channel that is older than what was linked", "version-not-provided", "bin/tool", "NEW_1", Conda)
def _(world: Conda) -> None:
    code, script, newer = "int old(void) { return 1; }", "OLD_1 { global: old; };", "NEW_1 { global: it; };"
    old = world.library("libdep.so.1", code, versions=script)
    new = world.library("libdep.so.1", code + "int it(void) { return 1; }", versions=f"{script} {newer}")
    for version, library in (("1.0", old), ("2.0", new)):
        world.package("dep", version, {"lib/libdep.so.1": library})
    program = world.program("extern int it(void); int main(void) { return !it(); }", new)
    world.package("tool", "1.0", {"bin/tool": program})
    world.install("python", "conda:tool", "conda:dep==1.0")


@case("two majors of CUDA", "two-cuda-stacks", "", "CUDA 11 and 12", Ours)
def _(world: Ours) -> None:
    for project, versions in (("first", ("11",)), ("second", ("12", "11"))):
        for major in versions:
            soname = {"11": "libcudart.so.11.0", "12": "libcudart.so.12"}[major]
            runtime = world.library(soname, "int it(void) { return 1; }")
            module = world.module("_ext", runtime, calls=["it"], runpath="$ORIGIN")
            files: dict[str, Path | str] = {f"{project}/{soname}": runtime, f"{project}/_ext{EXTENSION}": module}
            files |= {f"{project}/__init__.py": ""}
            world.wheel(project, f"1.0+cu{major}8", files, tag=TAG)
    world.install("first", "second==1.0+cu128")


@case("a CUDA for newer drivers", "driver-too-old", "nvidia_cuda_runtime_cu12-12.1.105.dist-info", "12.1", Ours)
def _(world: Ours) -> None:
    for major, version in (("12", "12.1.105"), ("11", "11.8.89")):
        world.wheel(f"nvidia-cuda-runtime-cu{major}", version, {}, tag="py3-none-manylinux2014_x86_64")
        world.wheel("torch", f"2.1.0+cu{major}{'1' if major == '12' else '8'}",
            {"torch/__init__.py": ""}, requires=[f"nvidia-cuda-runtime-cu{major}"], tag=TAG)  # fmt: skip
    world.variables["CONDA_OVERRIDE_CUDA"] = "12.4"
    world.install("torch==2.1.0")
    world.variables["CONDA_OVERRIDE_CUDA"] = "11.8"


@pytest.mark.parametrize("name", CASES)
def test_a_fix_is_run(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    check_case(name, CASES[name], tmp_path, capsys, monkeypatch)


def test_a_remount_lets_libraries_load(tmp_path: Path) -> None:
    """``mounted-noexec``: in a mount namespace of its own."""
    world = Broken(tmp_path)
    world.app()
    world.install("app")
    site, verify = world.site, f"{sys.executable} -m dataloader verify --json -p {world.prefix}"
    script = (
        f"cp -a {site} {site}.kept && mount -t tmpfs -o noexec none {site} && cp -a {site}.kept/. {site}/ && "
        f"{world.prefix}/bin/python -c 'import app' 2>/dev/null && exit 3; {verify} >{tmp_path}/before.json; "
        f"fix=$({sys.executable} -c \"import json; print(json.load(open('{tmp_path}/before.json'))"
        "['findings'][0]['fix'])\") && "
        f"sh -c \"$fix\" && {world.prefix}/bin/python -c 'import app' && {verify} >{tmp_path}/after.json"
    )
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, check=False, env=world.environ()
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip("needs a mount namespace")

    assert done.returncode == 0, done.stderr
    before, after = (json.loads((tmp_path / f"{when}.json").read_text())["findings"] for when in ("before", "after"))
    assert ([each["kind"] for each in before], after) == (["mounted-noexec"], [])


def test_every_line_of_the_table_names_a_case() -> None:
    elsewhere = {name for name in globals() if name.startswith("test_")}
    elsewhere |= {f"e2e/{path.name}" for path in (Path(__file__).parents[1] / "e2e").glob("test_*.py")}
    assert {case for case in listed().values() if case not in {*CORPUS, *CASES, *elsewhere}} == set()
