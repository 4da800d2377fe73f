"""Failures as people reported them, each rebuilt of small true parts: it fails, verify names file and cause, and its
fix, run as it stands, ends in an environment that works and has no error.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dataloader.verify.tables import load_tables
from tests.helpers.broken import TAG, UV, Broken, Case, check_case
from tests.helpers.elf import needs_gcc
from tests.helpers.prefixes import EXTENSION

pytestmark = [needs_gcc, pytest.mark.skipif(UV is None, reason="needs uv")]

ONE_VERSION = """python -c 'from importlib.metadata import distributions as d
assert sum(each.name == "dep" for each in d()) == 1'"""
IMPORT = "python -c 'import app'"

CASES: dict[str, Case] = {}
Make = Callable[[Broken], None]


def case(name: str, kind: str, path: str, words: str, fix: str = "runs", run: str = IMPORT) -> Callable[[Make], Make]:
    def keep(make: Callable[[Broken], None]) -> Callable[[Broken], None]:
        CASES[name] = Case(make, kind, path, words, fix, run)
        return make

    return keep


# -- a library that nobody has -----------------------------------------------------------------------------------------

PROVIDED = {
    "libcudart.so.12": "nvidia-cuda-runtime-cu12",
    "libcublas.so.12": "nvidia-cublas-cu12",
    "libcublasLt.so.12": "nvidia-cublas-cu12",
    "libcurand.so.10": "nvidia-curand-cu12",
    "libnccl.so.2": "nvidia-nccl-cu12",
    "libnvrtc.so.12": "nvidia-cuda-nvrtc-cu12",
    "libcusparseLt.so.0": "nvidia-cusparselt-cu12",
    "libnvJitLink.so.12": "nvidia-nvjitlink-cu12",
    "libcufft.so.11": "nvidia-cufft-cu12",
    "libcupti.so.12": "nvidia-cuda-cupti-cu12",
    "libcusolver.so.11": "nvidia-cusolver-cu12",
}


def lacks(soname: str, project: str) -> Callable[[Broken], None]:
    def make(world: Broken) -> None:
        library = world.library(soname, "int it(void) { return 1; }")
        world.wheel(project, "12.4", {f"nvidia/lib/{soname}": library}, tag="py3-none-manylinux2014_x86_64")
        world.app(library, calls=["it"], runpath="$ORIGIN/../nvidia/lib")
        world.wheel("nvidia-nvtx-cu12", "12.4", {"nvidia/nvtx.py": ""})  # what tells the CUDA of the environment
        world.install("app", "nvidia-nvtx-cu12")

    return make


for soname, project in PROVIDED.items():
    CASES[f"no {soname}"] = Case(lacks(soname, project), "missing-library", f"app/_ext{EXTENSION}", soname)


def uninstalled(soname: str, project: str) -> Callable[[Broken], None]:
    def make(world: Broken) -> None:
        library = world.library(soname, "int it(void) { return 1; }")
        world.wheel(project, "12.4", {f"nvidia/lib/{soname}": library}, tag="py3-none-manylinux2014_x86_64")
        world.app(library, calls=["it"], runpath="$ORIGIN/../nvidia/lib", requires=[f"{project}==12.4"])
        world.install("app")
        world.shell(f"{UV} pip uninstall -q -p {world.prefix}/bin/python {project}")

    return make


for soname in ("libcublas.so.12", "libnccl.so.2", "libnvJitLink.so.12"):
    CASES[f"{soname} was uninstalled"] = Case(
        uninstalled(soname, PROVIDED[soname]), "missing-library", f"app/_ext{EXTENSION}", soname
    )


@case("library beside no search path", "missing-library", f"app/_ext{EXTENSION}", "on no search path")
def _(world: Broken) -> None:
    library = world.library("libdep.so.1", "int it(void) { return 1; }")
    world.wheel("dep", "1.0", {"dep.libs/libdep.so.1": library})
    world.app(library, calls=["it"], requires=["dep"])
    world.install("app")


@case("library of a wheel was deleted to make an image smaller", "file-missing", "app.libs/libdep.so.1", "is gone")
def _(world: Broken) -> None:
    library = world.library("libdep.so.1", "int it(void) { return 1; }")
    module = world.module("_ext", library, calls=["it"], runpath="$ORIGIN/../app.libs")
    files: dict[str, Path | str] = {"app/__init__.py": "from app import _ext", f"app/_ext{EXTENSION}": module}
    world.wheel("app", "1.0", files | {"app.libs/libdep.so.1": library})
    world.install("app")
    (world.site / "app.libs/libdep.so.1").unlink()


def system(soname: str, package: str, sibling: str = "") -> Callable[[Broken], None]:
    def make(world: Broken) -> None:
        if soname in world.shell("/sbin/ldconfig -p"):
            pytest.skip(f"this machine has {soname}")
        library = world.library(soname, "int it(void) { return 1; }")
        module = world.module("_ext", library, calls=["it"])
        files: dict[str, Path | str] = {"app/__init__.py": "from app import _ext", f"app/_ext{EXTENSION}": module}
        world.wheel(package, "4.9", files)
        if sibling:
            world.wheel(sibling, "4.9", {"app/__init__.py": ""})
        world.install(package)

    return make


def of_the_desktop(package: str) -> Callable[[Broken], None]:
    """OpenCV with windows, where a server lacks one of the libraries that it takes from the system."""

    def make(world: Broken) -> None:
        here = world.shell("/sbin/ldconfig -p")
        absent = sorted(name for name in load_tables().without[package][0] if name not in here)
        system(absent[0] if absent else "libGL.so.1", package, f"{package}-headless")(world)

    return make


for project in ("opencv-python", "opencv-contrib-python"):
    CASES[f"{project} on a server"] = Case(of_the_desktop(project), "missing-library", f"_ext{EXTENSION}", "not found")
for soname, apt in {
    "libodbc.so.2": "libodbc2",
    "libusb-1.0.so.0": "libusb-1.0-0",
    "libsndfile.so.1": "libsndfile1",
    "libpulse.so.0": "libpulse0",
}.items():
    CASES[f"no {soname} on the system"] = Case(
        system(soname, "some"), "missing-library", f"_ext{EXTENSION}", soname, f"apt-get install {apt}"
    )

# -- a version that is not provided ------------------------------------------------------------------------------------


def too_old(soname: str, project: str, version: str) -> Callable[[Broken], None]:
    def make(world: Broken) -> None:
        script = f"{version}_4 {{ global: old; }};"
        newer = f"{script} {version}_9 {{ global: it; }} {version}_4;"
        source = "int old(void) { return 1; }"
        old = world.library(soname, source, versions=script)
        new = world.library(soname, source + "int it(void) { return 1; }", versions=newer)
        for release, library in (("12.1", old), ("12.9", new)):
            world.wheel(project, release, {f"nvidia/lib/{soname}": library}, tag="py3-none-manylinux2014_x86_64")
        world.app(new, calls=["it"], runpath="$ORIGIN/../nvidia/lib")
        world.install("app", f"{project}==12.1")

    return make


for soname, project, version in (
    ("libnvJitLink.so.12", "nvidia-nvjitlink-cu12", "__nvJitLinkComplete_12"),
    ("libcublasLt.so.12", "nvidia-cublas-cu12", "libcublasLt.so.12"),
    ("libcusparse.so.12", "nvidia-cusparse-cu12", "libcusparse.so.12"),
    ("libcudart.so.12", "nvidia-cuda-runtime-cu12", "libcudart.so.12"),
    ("libmkl_rt.so.2", "mkl", "MKL_2024"),
):
    CASES[f"{soname} is older than what was linked"] = Case(
        too_old(soname, project, version), "version-not-provided", f"_ext{EXTENSION}", f"{project} 12.1"
    )


@case("a newer glibc than this one", "version-not-provided", f"_ext{EXTENSION}", "GLIBC_2.99")
def _(world: Broken) -> None:
    libc = world.library("libc.so.6", "int it(void) { return 1; }", versions="GLIBC_2.99 { global: it; };")
    world.app(version="0.9")
    world.app(libc, calls=["it"], tag=TAG.replace("linux", "manylinux_2_17"))
    world.install("app")


@case("a newer libstdc++ than this one", "version-not-provided", f"_ext{EXTENSION}", "GLIBCXX_3.4.99")
def _(world: Broken) -> None:
    library = world.library("libstdc++.so.6", "int it(void) { return 1; }", versions="GLIBCXX_3.4.99 { global: it; };")
    world.app(version="0.9")
    world.app(library, calls=["it"])
    world.install("app")


# -- symbols -----------------------------------------------------------------------------------------------------------

SYMBOLS = {
    "torchvision": ("_ZN3c106detail14torchCheckFailEv", "2.2.0", "0.17.0", "0.16.0"),
    "torchvision ": ("_ZN3c105ErrorC2ENS_14SourceLocationESs", "2.0.1", "0.15.2", "0.16.0"),
    "torchaudio": ("_ZN5torch3jit17parseSchemaOrNameEv", "2.3.0", "2.3.0", "2.2.0"),
    "xformers": ("_ZN2at4_ops5zeros4callEv", "2.1.1", "0.0.23", "0.0.22"),
}


def other_torch(project: str, symbol: str, torch: str, right: str, wrong: str) -> Callable[[Broken], None]:
    def make(world: Broken) -> None:
        library = world.library("libtorch.so", "int it(void) { return 1; }")
        files: dict[str, Path | str] = {"torch/__init__.py": "", "torch/lib/libtorch.so": library}
        world.wheel("torch", torch, files, tag=TAG)
        for version, calls in ((right, "it"), (wrong, symbol)):
            module = world.module("_ext", library, calls=[calls], runpath="$ORIGIN/../torch/lib")
            files = {"app/__init__.py": "import torch\nfrom app import _ext", f"app/_ext{EXTENSION}": module}
            world.wheel(project, version, files, requires=["torch"], tag=TAG)
        world.install(f"torch=={torch}", f"{project}=={wrong}")

    return make


for project, values in SYMBOLS.items():
    CASES[f"{project} of another torch"] = Case(
        other_torch(project.strip(), *values), "undefined-symbol", f"app/_ext{EXTENSION}", f"torch {values[1]}"
    )


@case("a module for CUDA beside a torch for the CPU", "missing-library", f"_ext{EXTENSION}", "libc10_cuda.so", "CPU")
def _(world: Broken) -> None:
    library = world.library("libc10_cuda.so", "int it(void) { return 1; }")
    world.wheel("torch", "2.1.0+cpu", {"torch/__init__.py": "", "torch/lib/libtorch.so": world.library("libtorch.so")})
    world.app(library, calls=["it"], runpath="$ORIGIN/../torch/lib", requires=["torch"])
    world.install("app")


@case("a library for CUDA beside a torch for the CPU", "missing-library", "_ext.abi3.so", "libtorch_cuda.so", "CPU")
def _(world: Broken) -> None:
    library = world.library("libtorch_cuda.so", "int it(void) { return 1; }")
    world.wheel("torch", "2.4.0+cpu", {"torch/__init__.py": "", "torch/lib/libtorch.so": world.library("libtorch.so")})
    module = world.module("_ext", library, calls=["it"], runpath="$ORIGIN/../torch/lib")
    files: dict[str, Path | str] = {"app/__init__.py": "import torch\nfrom app import _ext", "app/_ext.abi3.so": module}
    world.wheel("app", "1.0", files, requires=["torch"])
    world.install("app")


@case("abi3 of a newer Python", "undefined-symbol", "app/_ext.abi3.so", "Python")
def _(world: Broken) -> None:
    module = world.module("_ext", calls=["PyNothing_OfNow"])
    world.wheel("app", "0.9", {"app/__init__.py": ""})
    world.wheel("app", "1.0", {"app/__init__.py": "from app import _ext", "app/_ext.abi3.so": module})
    world.install("app==1.0")


# -- files -------------------------------------------------------------------------------------------------------------


def damaged(change: Callable[[Path], object], name: str = f"app/_ext{EXTENSION}") -> Callable[[Broken], None]:
    def make(world: Broken) -> None:
        world.app(entry_points={"console_scripts": {"tool": "app:main"}})
        world.install("app")
        change(world.site / name)

    return make


LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 4096\n"
DAMAGES: dict[str, tuple[str, str, Callable[[Path], object]]] = {
    "truncated by a full disk": ("malformed-elf", "past its end", lambda p: p.write_bytes(p.read_bytes()[:9000])),
    "empty": ("malformed-elf", "not a library", lambda p: p.write_bytes(b"")),
    "a pointer of Git LFS": ("malformed-elf", "not a library", lambda p: p.write_text(LFS)),
    "of zeros": ("malformed-elf", "not a library", lambda p: p.write_bytes(bytes(p.stat().st_size))),
    "gone": ("file-missing", "is gone", lambda p: p.unlink()),
}
for name, (kind, words, change) in DAMAGES.items():
    CASES[f"module that is {name}"] = Case(damaged(change), kind, f"_ext{EXTENSION}", words)
CASES["source with a conflict of git"] = Case(
    damaged(lambda p: p.write_text("<<<<<<< HEAD\n"), "app/__init__.py"),
    "file-changed",
    "app/__init__.py",
    "instead of",
)
CASES["__init__ that a cleaner removed"] = Case(
    damaged(lambda p: p.unlink(), "app/__init__.py"),
    "file-missing",
    "app/__init__.py",
    "is gone",
    run="python -c 'import app; app._ext'",
)


@case(
    "two packages with one module",
    "clobbered-path",
    "app/__init__.py",
    "both own",
    run="python -c 'import app; app.first'",
)
def _(world: Broken) -> None:
    world.wheel("first", "1.0", {"app/__init__.py": "first = 1\n"})
    world.wheel("second", "1.0", {"app/__init__.py": "second = 1\n"})
    world.wheel("user", "1.0", {"user.py": ""}, requires=["first"])
    world.install("user")
    world.install("second")


@case("one of two packages with one module was removed", "file-missing", "app/core.py", "is gone")
def _(world: Broken) -> None:
    files: dict[str, Path | str] = {"app/__init__.py": "from app import core", "app/core.py": ""}
    for name in ("opencv-python", "opencv-python-headless"):
        world.wheel(name, "4.9", files)
        world.install(name)
    world.shell(f"{UV} pip uninstall -q -p {world.prefix}/bin/python opencv-python-headless")


@case("module of another machine", "wrong-machine", f"_ext{EXTENSION}", "aarch64")
def _(world: Broken) -> None:
    damaged(lambda path: path.write_bytes(of_arm(path.read_bytes())))(world)


def of_arm(data: bytes) -> bytes:
    return data[:18] + (183).to_bytes(2, "little") + data[20:]


@case("object file under the name of a module", "not-a-library", f"_ext{EXTENSION}", "shared objects only")
def _(world: Broken) -> None:
    damaged(lambda path: path.write_bytes(b"".join([path.read_bytes()[:16], b"\1\0", path.read_bytes()[18:]])))(world)


@case("too much static thread-local storage", "static-tls", "libbig.so.1", "static thread-local storage")
def _(world: Broken) -> None:
    source = '__thread char a[9000] __attribute__((tls_model("initial-exec"))); int it(void) { a[1] = 1; return a[0]; }'
    library = world.library("libbig.so.1", source)
    world.wheel("big", "1.0", {"big/lib/libbig.so.1": library})
    world.app(library, calls=["it"], runpath="$ORIGIN/../big/lib", requires=["big"])
    world.install("app")


# -- metadata ----------------------------------------------------------------------------------------------------------


@case("a dependency was not installed", "unmet-requirement", "app-1.0.dist-info", "dep")
def _(world: Broken) -> None:
    world.wheel("dep", "1.0", {"dep.py": ""})
    world.wheel("app", "1.0", {"app/__init__.py": "import dep"}, requires=["dep"])
    world.install("app", deps=False)


@case("a dependency was upgraded", "unmet-requirement", "app-1.0.dist-info", "dep 2.0 is installed")
def _(world: Broken) -> None:
    world.wheel("dep", "1.0", {"dep.py": "old = 1"})
    world.wheel("dep", "2.0", {"dep.py": ""})
    world.wheel("app", "1.0", {"app/__init__.py": "from dep import old"}, requires=["dep<2"])
    world.install("app")
    world.install("dep==2.0", deps=False)


@case(
    "a plugin of JAX of another version",
    "matrix-rule",
    "jax_cuda12_plugin-0.5.0.dist-info",
    "jaxlib 0.4.35",
    run="python -c 'import jax_plugin, jaxlib; assert jax_plugin.v == jaxlib.v'",
)
def _(world: Broken) -> None:
    world.wheel("jaxlib", "0.4.35", {"jaxlib.py": "v = '0.4.35'"})
    for version in ("0.5.0", "0.4.35"):
        world.wheel("jax-cuda12-plugin", version, {"jax_plugin.py": f"v = {version!r}"})
    world.install("jaxlib", "jax-cuda12-plugin==0.5.0")


# -- the process -------------------------------------------------------------------------------------------------------


def variable(name: str, how: str = "shell") -> Callable[[Broken], None]:
    def make(world: Broken) -> None:
        script = "D_1 { global: it; };"
        good = world.library("libdep.so.1", "int it(void) { return 1; }", versions=script)
        old = world.library("libdep.so.1", "int no(void) { return 1; }", versions="D_0 { global: no; };")
        world.wheel("dep", "1.0", {"dep/lib/libdep.so.1": good})
        world.app(good, calls=["it"], runpath="$ORIGIN/../dep/lib", requires=["dep"])
        world.install("app")
        world.variables[name] = str(old if name == "LD_PRELOAD" else old.parent)

    return make


for name in ("LD_LIBRARY_PATH", "LD_PRELOAD"):
    CASES[f"{name} of the shell"] = Case(variable(name), "library-path-takes-over", f"_ext{EXTENSION}", name)


@case("PYTHONPATH to another environment", "python-path-takes-over", "app/__init__.py", "PYTHONPATH")
def _(world: Broken) -> None:
    world.wheel("app", "1.0", {"app/__init__.py": ""})
    world.install("app")
    other = world.folder / "other/app"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("from app import _ext\n")
    world.variables["PYTHONPATH"] = str(other.parent)


@case("a folder that an editable installation names is gone", "path-missing", ".pth", "is gone", "")
def _(world: Broken) -> None:
    source = world.folder / "src"
    source.mkdir()
    (source / "app.py").write_text("")
    world.wheel("app", "1.0", {"__editable__.app-1.0.pth": f"{source}\n"})
    world.install("app")
    (source / "app.py").unlink()
    source.rmdir()


@case("a source that setuptools' finder maps to is gone", "path-missing", "_finder.py", "is gone", "is gone")
def _(world: Broken) -> None:
    finder = (
        "import sys\nfrom importlib.util import spec_from_file_location as spec\n"
        "MAPPING: dict[str, str] = {'app': '/nowhere/src/app'}\n"
        "class Finder:\n  def find_spec(name, *_):\n"
        "    return spec(name, MAPPING[name] + '/__init__.py') if name in MAPPING else None\n"
        "sys.meta_path.append(Finder)\n"
    )
    files = {
        "__editable___app_1_0_finder.py": finder,
        "__editable__.app-1.0.pth": "import __editable___app_1_0_finder\n",
    }
    world.wheel("app", "1.0", files)
    world.install("app")


@case("a dependency was uninstalled", "unmet-requirement", "app-1.0.dist-info", "dep")
def _(world: Broken) -> None:
    world.wheel("dep", "1.0", {"dep.py": ""})
    world.wheel("app", "1.0", {"app/__init__.py": "import dep"}, requires=["dep==1.0"])
    world.install("app")
    world.shell(f"{UV} pip uninstall -q -p {world.prefix}/bin/python dep")


@case("the environment was moved", "interpreter-missing", "bin/tool", "is not there", run="env/bin/tool")
def _(world: Broken) -> None:
    world.wheel("app", "1.0", {"app.py": "def main(): pass"}, entry_points={"console_scripts": {"tool": "app:main"}})
    world.install("app")
    script = world.prefix / "bin/tool"
    script.write_text(script.read_text().replace(str(world.prefix), str(world.folder / "before"), 1))


@case(
    "two versions of one project",
    "two-versions",
    "dep-1.0.dist-info",
    "dep 2.0",
    run=ONE_VERSION,
)
def _(world: Broken) -> None:
    for version in ("1.0", "2.0"):
        world.wheel("dep", version, {"dep.py": f"v = {version!r}"})
    world.install("dep==1.0")
    kept = world.site / "dep-1.0.dist-info"
    kept.rename(world.folder / "kept")
    world.install("dep==2.0")
    (world.folder / "kept").rename(kept)


# -- several packages in one process -----------------------------------------------------------------------------------


def provides(world: Broken, package: str, *functions: str, version: str = "D_1") -> Path:
    """A package that brings a libdep.so.1 of its own, with these functions in a version of their own each."""
    nodes = [f"{version}_{each} {{ global: {each}; }};" for each in functions]
    source = "".join(f"int {each}(void) {{ return 1; }} " for each in functions)
    library = world.library("libdep.so.1", source, versions=" ".join(nodes))
    module = world.module(f"_{package}", library, calls=[functions[-1]], runpath="$ORIGIN/lib")
    files: dict[str, Path | str] = {
        f"{package}/__init__.py": f"from {package} import _{package}\n",
        f"{package}/_{package}{EXTENSION}": module,
        f"{package}/lib/libdep.so.1": library,
    }
    world.wheel(package, "1.0", files)
    return library


@case("two providers of one soname", "version-not-provided", f"_right{EXTENSION}", "in one process")
def _(world: Broken) -> None:
    provides(world, "left", "old")
    provides(world, "right", "old", "new")
    world.wheel("left", "2.0", {"left/__init__.py": ""})
    world.wheel("app", "1.0", {"app/__init__.py": "import left, right"}, requires=["left", "right"])
    world.install("app", "left==1.0")


@case(
    "optional parts that lack two libraries for two reasons",
    "missing-library",
    f"app/_one{EXTENSION}",
    "2 optional parts",
    run="python -c 'from app import _one, _two'",
)
def _(world: Broken) -> None:
    files: dict[str, Path | str] = {
        "app/__init__.py": "try:\n    from app import _one, _two\nexcept ImportError: pass\n"
    }
    for part, soname, project, runpath in (
        ("_one", "libcublas.so.12", "nvidia-cublas-cu12", "$ORIGIN/../nvidia/lib"),
        ("_two", "libnearby.so.1", "nearby", "$ORIGIN"),
    ):
        library = world.library(soname, "int it(void) { return 1; }")
        world.wheel(project, "12.4", {f"nvidia/lib/{soname}": library}, tag="py3-none-manylinux2014_x86_64")
        files[f"app/{part}{EXTENSION}"] = world.module(part, library, calls=["it"], runpath=runpath)
    world.wheel("app", "1.0", files)
    world.wheel("nvidia-nvtx-cu12", "12.4", {"nvidia/nvtx.py": ""})
    world.install("app", "nearby", "nvidia-nvtx-cu12")


OWN_TLS = '__thread char a[136] __attribute__((tls_model("initial-exec"))); int it(void) { a[1] = 1; return a[0] - 1; }'


@case("many private copies of libgomp", "static-tls", "libgomp-00000012.so.1.0.0", "static thread-local storage")
def _(world: Broken) -> None:
    names = [f"part{number:02}" for number in range(13)]
    for number, name in enumerate(names):
        library = world.library(f"libgomp-{number:08}.so.1.0.0", OWN_TLS + f" int unlike = {number};")
        module = world.module(f"_{name}", library, calls=["it"], runpath=f"$ORIGIN/../{name}.libs")
        files: dict[str, Path | str] = {
            f"{name}/__init__.py": f"from {name} import _{name}\n",
            f"{name}/_{name}{EXTENSION}": module,
            f"{name}.libs/{library.name}": library,
        }
        world.wheel(name, "1.0", files)
    world.wheel("app", "1.0", {"app/__init__.py": "import " + ", ".join(names)}, requires=names)
    world.install("app")


@pytest.mark.parametrize("name", CASES)
def test_a_failure_is_named_with_its_cause_and_mended(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    check_case(name, CASES[name], tmp_path, capsys, monkeypatch)
