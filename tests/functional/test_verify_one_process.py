"""What packages come to in one process: the first library of a name serves all, runtimes that end the process, and
libraries whose parts come from two places. Each is opened by the real loader, or by Python, before verify is asked.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from dataloader.machine.detect import detect_target
from dataloader.verify import Finding, VerifyOptions, verify_prefix
from tests.helpers.elf import make_library, needs_gcc
from tests.helpers.prefixes import EXTENSION, SITE, make_prefix, module_source, register

pytestmark = needs_gcc


def _lzma_is_a_file() -> bool:
    import _lzma

    return bool(getattr(_lzma, "__file__", None))


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return make_prefix(tmp_path / "env")


def verify(prefix: Path, **options: object) -> list[Finding]:
    return list(verify_prefix(prefix, target=detect_target(), options=VerifyOptions(**options)).findings)  # type: ignore[arg-type]


def imports(prefix: Path, code: str) -> bool:
    """Whether this Python, which the environment stands on, runs the code with the environment's packages."""
    setup = f"import sys; sys.path.insert(0, {str(prefix / SITE)!r})\n{code}"
    return subprocess.run([sys.executable, "-I", "-c", setup], capture_output=True, check=False).returncode == 0


def brings(prefix: Path, package: str, functions: list[str], soname: str = "libdep.so.1") -> None:
    """A package whose module needs the last of the functions of a library of its own."""
    site = prefix / SITE
    versions = " ".join(f"D_{each} {{ global: {each}; }};" for each in functions)
    source = "".join(f"int {each}(void) {{ return 1; }} " for each in functions)
    library = make_library(site / f"{package}.libs/{soname}", source, soname=soname, versions=versions)
    body = f"extern int {functions[-1]}(void); " + module_source(f"_{package}", f"{functions[-1]}();")
    module = f"{package}/_{package}{EXTENSION}"
    make_library(site / module, body, needs=[library], runpath=f"$ORIGIN/../{package}.libs")
    files = {f"{package}/__init__.py": f"from {package} import _{package}\n"}
    register(prefix, package, "1.0", paths=[module, f"{package}.libs/{soname}"], files=files)


@pytest.mark.parametrize(
    ("left", "right", "code", "severity"),
    [
        (["a", "b"], ["a", "c"], "import left, right", "error"),
        (["a"], ["a", "c"], "import left, right", "warning"),
        (["a", "b"], ["a", "c"], "", "warning"),
        (["a"], ["a"], "import left, right", None),
    ],
    ids=["in no order", "in one order", "perhaps in one process", "one content"],
)
def test_the_first_library_of_a_name_serves_all(
    prefix: Path, left: list[str], right: list[str], code: str, severity: str | None
) -> None:
    brings(prefix, "left", left)
    brings(prefix, "right", right)
    register(prefix, "app", "1.0", files={"app/__init__.py": code}, requires=["left", "right"])
    orders = [imports(prefix, "import left, right"), imports(prefix, "import right, left")]
    assert orders == {"error": [False, False], "warning": [False, left == ["a"]], None: [True, True]}[severity]

    found = [each for each in verify(prefix) if each.kind == "version-not-provided"]

    assert {each.severity for each in found} == ({severity} if severity else set())
    assert all("left 1.0 and right 1.0 are in one process" in each.message for each in found)


def test_libraries_of_other_names_do_not_meet(prefix: Path) -> None:
    brings(prefix, "left", ["a", "b"])
    brings(prefix, "right", ["a", "c"], soname="libdep-0badcafe.so.1")
    register(prefix, "app", "1.0", files={"app/__init__.py": "import left, right"}, requires=["left", "right"])

    assert imports(prefix, "import app")
    assert verify(prefix) == []


def test_packages_that_nobody_imports_together_are_no_finding(prefix: Path) -> None:
    brings(prefix, "left", ["a", "b"])
    brings(prefix, "right", ["a", "c"])

    assert verify(prefix) == []


RUNTIME = """
#include <stdlib.h>
#include <unistd.h>
extern char **environ;
/* As Intel's and LLVM's do: the first registers itself in the environment block, the next one ends the process. */
int omp_get_max_threads(void) { if (getenv("REGISTERED_LIB")) abort(); setenv("REGISTERED_LIB", "%d", 1); return 2; }
"""


@pytest.mark.parametrize("copies", [1, 2])
@pytest.mark.parametrize("how", ["linked", "opened by code"])
def test_a_second_openmp_runtime_ends_the_process(prefix: Path, how: str, copies: int) -> None:
    site = prefix / SITE
    for number, package in enumerate(("left", "right")):
        name = f"{package}.libs/libiomp5.so"
        runtime = make_library(site / name, RUNTIME.replace("%d", str(number * (copies - 1))), soname="libiomp5.so")
        files, paths = {f"{package}/__init__.py": f"from {package} import _{package}\n"}, [name]
        if number and how == "opened by code":
            where = "pathlib.Path(__file__).parent.parent / 'right.libs/libiomp5.so'"
            files = {"right/__init__.py": f"import ctypes, pathlib\nctypes.CDLL({where}).omp_get_max_threads()\n"}
        else:
            body = "extern int omp_get_max_threads(void); " + module_source(f"_{package}", "omp_get_max_threads();")
            paths.append(f"{package}/_{package}{EXTENSION}")
            make_library(site / paths[-1], body, needs=[runtime], runpath=f"$ORIGIN/../{package}.libs")
        register(prefix, package, "1.0", paths=paths, files=files)
    register(prefix, "app", "1.0", files={"app/__init__.py": "import left, right"}, requires=["left", "right"])

    found = [(each.severity, each.files) for each in verify(prefix) if each.kind == "two-openmp-runtimes"]

    both = tuple(f"{SITE}/{package}.libs/libiomp5.so" for package in ("left", "right"))
    assert found == ([("warning", both)] if copies == 2 else [])


PARTS = ("graph", "ops", "cnn", "adv", "heuristic", "engines_precompiled", "engines_runtime_compiled")


def cudnn(prefix: Path, front: str = "libcudnn.so.9", folder: str = "nvidia/cudnn/lib", parts: bool = True) -> None:
    site = prefix / SITE
    paths = [f"{folder}/{front}", *(f"{folder}/libcudnn_{part}.so.9" for part in PARTS if parts)]
    for path in paths:
        make_library(site / path, "int x;", soname=path.rpartition("/")[2], runpath="$ORIGIN")
    register(prefix, "nvidia-cudnn-cu12", "9.1.0.70", paths=paths)


def test_a_family_comes_from_one_place(prefix: Path, tmp_path: Path) -> None:
    cudnn(prefix)
    assert verify(prefix) == []
    other = make_library(tmp_path / "host/libcudnn_ops.so.9", "int y;", soname="libcudnn_ops.so.9")

    variables = (("LD_LIBRARY_PATH", str(other.parent)),)
    (found,) = [each for each in verify(prefix, variables=variables) if each.kind == "split-family"]

    assert (found.severity, found.fix) == ("warning", "unset LD_LIBRARY_PATH")
    assert str(other) in " ".join(found.evidence)


@pytest.mark.parametrize("parts", [True, False])
def test_a_front_that_auditwheel_renamed_opens_its_parts_by_their_names(prefix: Path, parts: bool) -> None:
    cudnn(prefix, front="libcudnn-0badcafe.so.9.1.0", parts=parts)

    found = [(each.severity, each.kind) for each in verify(prefix)]

    assert found == ([] if parts else [("error", "cannot-open")])


@pytest.mark.skipif(importlib.util.find_spec("_lzma") is None or not _lzma_is_a_file(), reason="no _lzma of its own")
def test_python_and_a_package_bring_one_library(prefix: Path) -> None:
    site = prefix / SITE
    library = make_library(
        site / "pkg.libs/liblzma.so.5",
        "int it(void) { return 1; }",
        soname="liblzma.so.5",
        versions="XZ_5.99 { global: it; };",
    )
    body = "extern int it(void); " + module_source("_pkg", "it();")
    make_library(site / f"pkg/_pkg{EXTENSION}", body, needs=[library], runpath="$ORIGIN/../pkg.libs")
    paths = [f"pkg/_pkg{EXTENSION}", "pkg.libs/liblzma.so.5"]
    register(prefix, "pkg", "1.0", paths=paths, files={"pkg/__init__.py": "from pkg import _pkg\n"})
    assert imports(prefix, "import pkg")
    assert not imports(prefix, "import lzma, pkg")
    assert not imports(prefix, "import pkg, lzma")

    found = sorted((each.message, each.severity, each.kind) for each in verify(prefix))

    assert [each[1:] for each in found] == [("warning", "version-not-provided")] * 2
    assert found[0][0] == "Python's own _lzma cannot be loaded after pkg 1.0"
    assert found[1][0] == "needs XZ_5.99, which liblzma.so.5 does not offer, after Python's own modules"


@pytest.mark.parametrize(
    ("place", "name", "severity"),
    [
        ("cuda/lib/stubs", "libcuda.so.1", "warning"),
        ("cuda/lib", "libcuda.so.450.51.06", "warning"),
        ("cuda/lib", "libcuda.so.580.95.05", "note"),
    ],
    ids=["a stub", "older than the driver", "newer than the driver"],
)
def test_a_library_in_the_place_of_the_drivers(prefix: Path, place: str, name: str, severity: str) -> None:
    site = prefix / SITE
    library = make_library(site / place / name, "int cuInit(int x) { return x; }", soname="libcuda.so.1")
    if name != "libcuda.so.1":
        (library.parent / "libcuda.so.1").symlink_to(name)
    body = "extern int cuInit(int); " + module_source("_pkg", "cuInit(0);")
    make_library(site / f"pkg/_pkg{EXTENSION}", body, needs=[library], runpath=f"$ORIGIN/../{place}")
    register(prefix, "pkg", "1.0", paths=[f"pkg/_pkg{EXTENSION}"], files={"pkg/__init__.py": "from pkg import _pkg\n"})
    assert imports(prefix, "import pkg")

    report = verify_prefix(prefix, target=detect_target()._replace(driver="535.104.05"), options=VerifyOptions())

    assert [(each.severity, each.kind) for each in report.findings] == [(severity, "driver-replaced")]


PROTOBUF = """
#include <stdlib.h>
void verify_version(int version) { if (version != %d) abort(); }
__attribute__((constructor)) static void begin(void) { verify_version(%d); }
"""


@pytest.mark.parametrize("versions", [(25, 32), (25, 25)], ids=["two", "one"])
def test_two_protobufs_in_one_search_list(prefix: Path, versions: tuple[int, int]) -> None:
    site, needs, paths = prefix / SITE, [], []
    for user, version in zip(("reader", "writer"), versions, strict=True):
        soname = f"libprotobuf.so.{version}"
        source = PROTOBUF.replace("%d", str(version))
        library = make_library(site / f"pkg.libs/{soname}", source, soname=soname)
        needs.append(make_library(site / f"pkg.libs/lib{user}.so", soname=f"lib{user}.so", needs=[library]))
        paths += [f"pkg.libs/{soname}", f"pkg.libs/lib{user}.so"]
    module = f"pkg/_pkg{EXTENSION}"
    make_library(site / module, module_source("_pkg"), needs=needs, rpath="$ORIGIN/../pkg.libs")
    register(
        prefix, "pkg", "1.0", paths=[*dict.fromkeys(paths), module], files={"pkg/__init__.py": "from pkg import _pkg\n"}
    )
    assert imports(prefix, "import pkg") is (versions == (25, 25))

    found = [(each.severity, each.kind) for each in verify(prefix) if each.kind == "two-copies"]

    assert found == ([("warning", "two-copies")] if versions == (25, 32) else [])
