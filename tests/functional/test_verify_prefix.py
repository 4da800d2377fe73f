"""Faults seeded into small real environments: each is named with its true cause, and nothing else is said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dataloader.base.errors import PrefixError
from dataloader.loader.trace import format_tree
from dataloader.lockfile.model import LockedPython, Lockfile, PypiPackage
from dataloader.machine.detect import detect_target
from dataloader.machine.target import Gpu, Target
from dataloader.verify import Finding, VerifyOptions, VerifyReport, verify_prefix
from dataloader.verify.fleet import verify_fleet
from dataloader.verify.run import trace_file
from tests.helpers.elf import make_library, needs_gcc
from tests.helpers.prefixes import EXTENSION, SITE, make_prefix, register, register_conda

pytestmark = needs_gcc

_MODULE = "extern int answer(void); int PyInit_{name}(void) {{ return answer(); }}"


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return make_prefix(tmp_path / "env")


@pytest.fixture
def site(prefix: Path) -> Path:
    return prefix / SITE


def verify(prefix: Path, **options: object) -> VerifyReport:
    return verify_prefix(prefix, target=detect_target(), options=VerifyOptions(**options))  # type: ignore[arg-type]


def found(report: VerifyReport) -> list[tuple[str, str, str]]:
    return [(each.severity, each.kind, each.path.removeprefix(SITE + "/")) for each in report.findings]


def one(report: VerifyReport, kind: str) -> Finding:
    findings = [each for each in report.findings if each.kind == kind]
    assert len(findings) == 1, report.findings
    return findings[0]


def library(site: Path, path: str, source: str = "int answer(void) { return 42; }", **options: object) -> Path:
    options.setdefault("soname", path.rsplit("/", 1)[-1])
    return make_library(site / path, source, **options)  # type: ignore[arg-type]


def install(
    prefix: Path, *, runpath: str | None = "$ORIGIN/../pkg.libs", source: str = "from pkg import _ext\n"
) -> tuple[Path, Path]:
    """A package whose extension module needs a library of ``pkg.libs``, as repaired wheels are laid out."""
    site = prefix / SITE
    dependency = library(site, "pkg.libs/libanswer.so.1")
    name = f"pkg/_ext{EXTENSION}"
    extension = library(site, name, _MODULE.format(name="_ext"), needs=[dependency], runpath=runpath)
    register(
        prefix,
        "pkg",
        "1.0",
        files={"pkg/__init__.py": source},
        paths=[name, "pkg.libs/libanswer.so.1"],
    )
    return extension, dependency


def test_working_environment_has_no_finding(prefix: Path) -> None:
    install(prefix)

    report = verify(prefix)

    assert report.findings == ()
    assert report.ok
    assert report.counts["libraries"] == 2
    assert [verdict.loads for verdict in report.verdicts] == [True, True]


def test_directory_without_python_is_verified_too(tmp_path: Path) -> None:
    extension, _ = install(make_prefix(tmp_path / "env"))
    target = tmp_path / "target"
    extension.parents[1].rename(target)

    report = verify_prefix(target, target=detect_target())

    assert report.findings == ()
    assert report.counts["packages"] == 1


def test_missing_prefix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PrefixError) as caught:
        verify(tmp_path / "nowhere")

    assert caught.value.code == "prefix-missing"


def test_removed_library_is_named_as_missing_file_and_as_what_breaks(prefix: Path) -> None:
    _, dependency = install(prefix)
    dependency.unlink()

    report = verify(prefix)

    assert found(report) == [
        ("error", "file-missing", "pkg.libs/libanswer.so.1"),
        ("error", "missing-library", f"pkg/_ext{EXTENSION}"),
    ]
    assert one(report, "file-missing").fix == "dataloader install --reinstall pkg==1.0"
    assert "libanswer.so.1" in one(report, "missing-library").message


def test_stripped_runpath_says_where_the_library_lies(prefix: Path) -> None:
    install(prefix, runpath=None)

    finding = one(verify(prefix), "missing-library")

    assert finding.severity == "error"
    assert any("pkg.libs/libanswer.so.1 is in the environment" in line for line in finding.evidence)


def test_changed_soname_is_a_missing_library(prefix: Path, site: Path) -> None:
    _, dependency = install(prefix)
    dependency.rename(dependency.with_name("libanswer.so.2"))

    assert one(verify(prefix), "missing-library").message == "needs libanswer.so.1, which is not found"


def test_library_path_of_the_activation_finds_it(prefix: Path, site: Path) -> None:
    install(prefix, runpath=None)

    assert verify(prefix, library_path=(str(site / "pkg.libs"),)).findings == ()


def test_library_path_that_takes_over_is_warned_of(prefix: Path, site: Path, tmp_path: Path) -> None:
    install(prefix)
    other = make_library(
        tmp_path / "elsewhere/libanswer.so.1", "int answer(void) { return 1; }", soname="libanswer.so.1"
    )

    variables = (("LD_LIBRARY_PATH", str(other.parent)),)
    finding = one(verify(prefix, variables=variables), "library-path-takes-over")

    assert (finding.severity, finding.path) == ("warning", f"{SITE}/pkg.libs/libanswer.so.1")


def test_older_library_lacks_the_version(prefix: Path, site: Path) -> None:
    new = library(site, "pkg.libs/libanswer.so.1", versions="ANSWER_2 { answer; };")
    name = f"pkg/_ext{EXTENSION}"
    library(site, name, _MODULE.format(name="_ext"), needs=[new], runpath="$ORIGIN/../pkg.libs")
    library(site, "pkg.libs/libanswer.so.1", versions="ANSWER_1 { answer; };")
    register(prefix, "answers", "1.0", paths=["pkg.libs/libanswer.so.1"])
    register(prefix, "pkg", "1.0", files={"pkg/__init__.py": "from . import _ext\n"}, paths=[name])

    finding = one(verify(prefix), "version-not-provided")

    assert finding.severity == "error"
    assert finding.message == "needs ANSWER_2, which libanswer.so.1 does not offer"
    assert finding.fix == "dataloader install 'answers>1.0'"


def test_glibc_of_the_target_is_too_old(prefix: Path) -> None:
    name = f"late/_late{EXTENSION}"
    source = "extern int pthread_mutex_lock(void *); int PyInit__late(void) { return pthread_mutex_lock(0); }"
    library(prefix / SITE, name, source)
    register(prefix, "late", "1.0", paths=[name])
    target = Target(name="old", glibc="2.2", libstdcxx="3.4.10")

    report = verify_prefix(prefix, target=target)

    assert one(report, "version-not-provided").severity == "error"
    assert "the target has glibc 2.2" in one(report, "version-not-provided").evidence


def test_extension_of_another_torch_is_told_by_its_symbols(prefix: Path, site: Path) -> None:
    core = library(
        site, "torch/lib/libc10.so", "int _ZN3c105ErrorC2Ev(void) { return 1; }\nint answer(void) { return 1; }"
    )
    register(prefix, "torch", "2.1.0", paths=["torch/lib/libc10.so"], files={"torch/__init__.py": ""})
    name = f"spline/_C{EXTENSION}"
    source = "extern int _ZN3c105Error3newEv(void); int PyInit__C(void) { return _ZN3c105Error3newEv(); }"
    library(site, name, source, needs=[core], runpath="$ORIGIN/../torch/lib")
    register(
        prefix, "spline", "1.0", paths=[name], files={"spline/__init__.py": "from spline import _C"}, requires=["torch"]
    )

    finding = one(verify(prefix), "undefined-symbol")

    assert finding.severity == "error"
    assert finding.path.endswith(name)
    assert "c10::Error::" in finding.message
    assert "built for another torch than torch 2.1.0 here" in finding.evidence


def test_extension_loads_after_the_import_of_what_it_requires(prefix: Path, site: Path) -> None:
    core = library(site, "torch/lib/libc10.so")
    binding = f"torch/_C{EXTENSION}"
    library(site, binding, _MODULE.format(name="_C"), needs=[core], runpath="$ORIGIN/lib")
    register(
        prefix,
        "torch",
        "2.1.0",
        paths=["torch/lib/libc10.so", binding],
        files={"torch/__init__.py": "from torch import _C"},
    )
    name = f"spline/_S{EXTENSION}"
    library(site, name, _MODULE.format(name="_S"), needs=[core])
    info = register(prefix, "spline", "1.0", paths=[name], files={"spline/__init__.py": ""}, requires=["torch>=2"])
    verdicts = {verdict.path: verdict for verdict in verify(prefix).verdicts}
    assert (verdicts[f"{SITE}/{name}"].bare, verdicts[f"{SITE}/{name}"].loads) == (False, True)

    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: spline\nVersion: 1.0\n")

    assert one(verify(prefix), "missing-library").path.endswith(name)


def test_library_that_python_code_opens_by_name_comes_first(prefix: Path, site: Path) -> None:
    helper = library(site, "pkg/libhelper.so")
    name = f"pkg/_ext{EXTENSION}"
    library(site, name, _MODULE.format(name="_ext"), needs=[helper])
    source = "import ctypes, os\nctypes.CDLL(os.path.dirname(__file__) + '/libhelper.so')\nfrom pkg import _ext\n"
    init = {"pkg/__init__.py": source}
    register(prefix, "pkg", "1.0", files=init, paths=[name, "pkg/libhelper.so"])

    assert verify(prefix).findings == ()


@pytest.mark.parametrize(
    ("source", "severity"),
    [
        ("from pkg import _ext\n", "error"),
        ("from . import _ext\n", "error"),
        ("import pkg.sub\n", "error"),
        ("", "error"),
        ("try:\n    from pkg import _ext\nexcept ImportError:\n    _ext = None\n", "warning"),
        ("def f():\n    from pkg import _ext\n", "warning"),
        ("try:\n    from pkg import _ext\nexcept ImportError as e:\n    raise ImportError('no') from e\n", "error"),
    ],
    ids=["plain", "relative", "through-a-submodule", "not-imported-by-python-code", "try", "function", "try-and-raise"],
)
def test_what_is_imported_plainly_is_an_error_and_what_is_guarded_a_warning(
    prefix: Path, site: Path, source: str, severity: str
) -> None:
    _, dependency = install(prefix, source=source)
    if "sub" in source:
        register(prefix, "more", "1.0", files={})
        (site / "pkg" / "sub.py").write_text("from pkg import _ext\n")
        record = site / "pkg-1.0.dist-info" / "RECORD"
        record.write_text(record.read_text() + "pkg/sub.py,,\n")
    dependency.unlink()

    assert one(verify(prefix), "missing-library").severity == severity


def test_alternatives_that_differ_in_a_number_are_optional(prefix: Path, site: Path) -> None:
    paths = []
    for number in (4, 5):
        codec = library(site, f"codecs/libcodec.so.{number}")
        path = f"pkg/_codec{number}.so"
        library(site, path, _MODULE.format(name=f"_codec{number}"), needs=[codec])
        codec.unlink()
        paths.append(path)
    register(prefix, "pkg", "1.0", files={"pkg/__init__.py": ""}, paths=paths)

    finding = one(verify(prefix), "missing-library")

    assert (finding.severity, finding.message) == ("warning", "2 optional parts of pkg 1.0 cannot load")


def test_nccl_of_another_cuda_over_ours_is_an_error(prefix: Path, site: Path) -> None:
    path = "nvidia/nccl/lib/libnccl.so.2"
    library(site, path, "int cuda12;")
    register(prefix, "nvidia-nccl-cu12", "2.18.1", paths=[path])
    library(site, path, "int cuda11_is_larger; char more[100];")
    register(prefix, "nvidia-nccl-cu11", "2.14.3", paths=[path])

    finding = one(verify(prefix), "clobbered-path")

    assert finding.severity == "error"
    assert "nvidia-nccl-cu11 2.14.3 and nvidia-nccl-cu12 2.18.1 both own" in finding.message
    assert finding.evidence[0] == "on disk is the file of nvidia-nccl-cu11 2.14.3"


@pytest.mark.parametrize("touched", [False, True], ids=["the other's", "nobody's"])
def test_a_file_of_two_packages_is_changed_only_if_it_is_of_neither(prefix: Path, site: Path, touched: bool) -> None:
    path = f"bindings/_driver{EXTENSION}"
    for name, version in (("python", "12.6"), ("bindings", "13.5")):
        library(site, path, f"int PyInit__driver(void) {{ return {len(name)}; }} int {name};")
        register(prefix, f"cuda-{name}", version, paths=[path], files={"bindings/__init__.py": ""})
    if touched:
        library(site, path, "int PyInit__driver(void) { return 0; } int somebody_else;")

    kinds = [(each.severity, each.kind) for each in verify(prefix).findings]

    changed = [("error", "file-changed")] * 2 if touched else []
    assert kinds == [*changed, ("warning", "clobbered-path")]


def test_changed_files_are_found_by_hash(prefix: Path, site: Path) -> None:
    extension, _ = install(prefix)
    text = (site / "pkg/__init__.py").read_text()
    (site / "pkg/__init__.py").write_text(text.replace("pkg", "pkh"))
    data = bytearray(extension.read_bytes())
    data[-1] ^= 1
    extension.write_bytes(data)

    changed = [each for each in verify(prefix).findings if each.kind == "file-changed"]

    assert [(each.severity, each.path.rsplit("/", 1)[-1]) for each in changed] == [
        ("error", "__init__.py"),
        ("error", f"_ext{EXTENSION}"),
    ]


def test_second_run_hashes_nothing_and_says_the_same(prefix: Path, tmp_path: Path, site: Path) -> None:
    _, dependency = install(prefix)
    cache = tmp_path / "cache"
    dependency.unlink()
    first = verify(prefix, cache=cache)
    entries = {path: path.stat().st_mtime_ns for path in cache.rglob("*.elf")}

    second = verify(prefix, cache=cache)

    assert second.findings == first.findings
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.elf")} == entries


def test_change_after_a_cached_run_is_seen(prefix: Path, tmp_path: Path) -> None:
    extension, _ = install(prefix)
    cache = tmp_path / "cache"
    assert verify(prefix, cache=cache).ok

    os.truncate(extension, 2000)

    kinds = {each.kind for each in verify(prefix, cache=cache).findings}
    assert {"file-changed", "malformed-elf"} <= kinds


def test_damaged_cache_is_read_as_empty(prefix: Path, tmp_path: Path) -> None:
    _, dependency = install(prefix)
    dependency.unlink()
    cache = tmp_path / "cache"
    first = verify(prefix, cache=cache)
    for path in cache.rglob("*.*"):
        if path.is_file():
            path.write_bytes(b'{"needed": [[[')

    assert verify(prefix, cache=cache).findings == first.findings


def test_record_that_points_outside_is_not_followed(prefix: Path, site: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.so").write_bytes(b"\x7fELF")
    info = register(prefix, "evil", "1.0")
    (info / "RECORD").write_text("../../../../../secret.so,sha256=" + "A" * 43 + ",4\n")

    assert found(verify(prefix)) == [("warning", "unreadable-record", "evil-1.0.dist-info")]


def test_extension_for_another_machine_is_an_error(prefix: Path) -> None:
    extension, _ = install(prefix)
    data = bytearray(extension.read_bytes())
    data[18:20] = (183).to_bytes(2, "little")
    extension.write_bytes(data)

    assert one(verify(prefix), "wrong-machine").message.startswith("is built for aarch64")


def test_extension_of_another_python_is_left_alone(prefix: Path, site: Path) -> None:
    missing = library(site, "pkg/libgone.so")
    name = "pkg/_ext.cpython-36m-x86_64-linux-gnu.so"
    library(site, name, _MODULE.format(name="_ext"), needs=[missing])
    missing.unlink()
    register(prefix, "pkg", "1.0", paths=[name], files={"pkg/__init__.py": ""})

    assert verify(prefix).findings == ()


def test_numpy_1_extension_beside_numpy_2(prefix: Path, site: Path) -> None:
    source = (
        'const char *a = "numpy.core._multiarray_umath", *b = "_ARRAY_API";\n'
        'const char *c = "module compiled against ABI version 0x%x but this version of numpy is 0x%x";\n'
        "extern void *PyCapsule_GetPointer(void *, const char *);\n"
        "void *PyInit__ext(void) { return PyCapsule_GetPointer((void *)a, b) ? (void *)c : 0; }\n"
    )
    name = f"pkg/_ext{EXTENSION}"
    library(site, name, source)
    register(prefix, "pkg", "1.0", paths=[name], files={"pkg/__init__.py": "from . import _ext"})
    numpy = register(prefix, "numpy", "2.1.0")

    finding = one(verify(prefix), "numpy-abi")
    assert (finding.severity, finding.fix) == ("error", "dataloader install 'numpy<2'")

    (numpy / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 1.26.4\n")
    assert verify(prefix).findings == ()


def test_pybind11_of_numpy_1s_time_is_imported_by_numpy_2_and_misreads_it(prefix: Path, site: Path) -> None:
    source = (
        'const char *a = "numpy.core.multiarray", *b = "_ARRAY_API";\n'
        "extern void *PyCapsule_GetPointer(void *, const char *);\n"
        "void *PyInit__ext(void) { return PyCapsule_GetPointer((void *)a, b); }\n"
    )
    name = f"pkg/_ext{EXTENSION}"
    library(site, name, source)
    register(prefix, "pkg", "1.0", paths=[name], files={"pkg/__init__.py": "from . import _ext"})
    register(prefix, "numpy", "2.1.0")

    finding = one(verify(prefix), "numpy-abi")
    assert (finding.severity, "pybind11" in finding.message) == ("warning", True)


@pytest.mark.parametrize(("least", "is_old"), [("1.23", False), ("2.0", True)])
def test_a_c_api_newer_than_the_numpy_that_is_there(prefix: Path, site: Path, least: str, is_old: bool) -> None:
    # As NumPy's headers have it since 1.25; h5py 3.16.0's _npystrings beside numpy 1.26.4 is a case.
    said = f"module was compiled against NumPy C-API version 0x%x (NumPy {least}) but the running NumPy has"
    source = (
        f'const char *a = "numpy._core._multiarray_umath", *b = "_ARRAY_API", *c = "{said}";\n'
        "extern void *PyCapsule_GetPointer(void *, const char *);\n"
        "void *PyInit__ext(void) { return PyCapsule_GetPointer((void *)a, c); }\n"
    )
    name = f"pkg/_ext{EXTENSION}"
    library(site, name, source)
    register(prefix, "pkg", "1.0", paths=[name], files={"pkg/__init__.py": "from . import _ext"})
    register(prefix, "numpy", "1.26.4")

    found = [(each.severity, each.fix) for each in verify(prefix).findings if each.kind == "numpy-abi"]

    assert found == ([("error", "dataloader install 'numpy>=2.0'")] if is_old else [])


def test_libraries_on_a_file_system_mounted_noexec(prefix: Path, site: Path) -> None:
    install(prefix)
    command = f"mount -t tmpfs -o noexec none {site} && cp -r {site}.kept/. {site} && "
    judge = f"import ctypes; ctypes.CDLL('{site}/pkg.libs/libanswer.so.1')"
    verifies = f"{sys.executable} -m dataloader verify --json -p {prefix}"
    script = f'cp -r {site} {site}.kept; {command} {sys.executable} -c "{judge}" 2>&1 | tail -1; {verifies}'

    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, check=False)
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip("needs a mount namespace")

    first, _, document = done.stdout.partition("\n")
    assert "failed to map segment" in first
    (found,) = [each for each in json.loads(document)["findings"] if each["kind"] == "mounted-noexec"]
    assert (found["severity"], found["fix"]) == ("error", f"mount -o remount,exec {site}")


def test_cudnn_without_its_parts_cannot_open_them(prefix: Path, site: Path) -> None:
    parts = ["ops_infer", "ops_train", "cnn_infer", "cnn_train", "adv_infer", "adv_train"]
    folder = "nvidia/cudnn/lib"
    names = [f"{folder}/libcudnn.so.8", *(f"{folder}/libcudnn_{part}.so.8" for part in parts)]
    for name in names:
        library(site, name, "int x;", runpath="$ORIGIN")
    register(prefix, "nvidia-cudnn-cu12", "8.9.2.26", paths=names)
    assert verify(prefix).findings == ()

    (site / names[1]).unlink()

    finding = one(verify(prefix), "cannot-open")
    assert finding.path.endswith("libcudnn.so.8")
    assert "libcudnn_ops_infer.so.8" in finding.message
    assert finding.fix == "dataloader install --reinstall nvidia-cudnn-cu12==8.9.2.26"


def test_names_that_a_library_opens_are_read_from_it(prefix: Path, site: Path) -> None:
    folder = "nvidia/cuda_nvrtc/lib"
    library(site, f"{folder}/libnvrtc.so.12", 'const char *name = "libnvrtc-builtins.so.12.1";', runpath="$ORIGIN")
    register(prefix, "nvidia-cuda-nvrtc-cu12", "12.1.105", paths=[f"{folder}/libnvrtc.so.12"])

    assert "opens libnvrtc-builtins.so.12.1 at run time" in one(verify(prefix), "cannot-open").message


def test_driver_only_library_is_no_fault_of_the_environment(prefix: Path, site: Path, tmp_path: Path) -> None:
    driver = make_library(tmp_path / "libcuda.so.1", "int cuInit(void) { return 0; }", soname="libcuda.so.1")
    name = f"pkg/_ext{EXTENSION}"
    library(site, name, "extern int cuInit(void); int PyInit__ext(void) { return cuInit(); }", needs=[driver])
    register(prefix, "pkg", "1.0", paths=[name], files={"pkg/__init__.py": "from . import _ext"})

    report = verify(prefix)

    assert report.findings == ()
    assert report.verdicts[0].driver == ("libcuda.so.1",)


def test_two_cuda_stacks_are_warned_of(prefix: Path, site: Path) -> None:
    for soname, project in (("libcudart.so.11.0", "first"), ("libcudart.so.12", "second")):
        runtime = library(site, f"{project}.libs/{soname}")
        name = f"{project}/_ext{EXTENSION}"
        library(site, name, _MODULE.format(name="_ext"), needs=[runtime], runpath=f"$ORIGIN/../{project}.libs")
        paths = [name, f"{project}.libs/{soname}"]
        register(prefix, project, "1.0", paths=paths, files={f"{project}/__init__.py": ""})

    finding = one(verify(prefix), "two-cuda-stacks")

    assert finding.severity == "warning"
    assert [line.split(" (")[0] for line in finding.evidence] == ["CUDA 11: first 1.0", "CUDA 12: second 1.0"]


def test_driver_older_than_the_runtime(prefix: Path) -> None:
    register(prefix, "nvidia-cuda-runtime-cu12", "12.1.105")
    here = detect_target()

    def kinds(cuda: str) -> list[tuple[str, str]]:
        report = verify_prefix(prefix, target=here._replace(driver_cuda=cuda))
        return [(each.severity, each.kind) for each in report.findings]

    assert kinds("11.8") == [("error", "driver-too-old")]
    assert kinds("12.0") == [("note", "minor-version-compatibility")]
    assert kinds("12.1") == []
    assert kinds("13.0") == []


def test_fleet_tells_pools_apart(prefix: Path) -> None:
    install(prefix)
    register(prefix, "nvidia-cuda-runtime-cu12", "12.1.105")
    gpu = Gpu(name="NVIDIA A100-SXM4-40GB", capability="8.0")
    pools = [
        Target(name="new", glibc="2.35", libstdcxx="3.4.30", driver_cuda="12.4", gpus=(gpu,)),
        Target(name="minor", glibc="2.35", libstdcxx="3.4.30", driver_cuda="12.0"),
        Target(name="old", glibc="2.35", libstdcxx="3.4.30", driver_cuda="11.8"),
    ]

    verdicts = verify_fleet(prefix, targets=pools)

    assert [each.runs for each in verdicts] == ["runs", "minor-version-compatibility", "cannot"]
    assert verdicts[0].node_selector["nvidia.com/gpu.product"] == "NVIDIA-A100-SXM4-40GB"
    assert verdicts[2].node_selector == {}
    assert verdicts[2].because == ("CUDA 12.1 does not run on a driver for CUDA 11.8",)


def test_unmet_requirements_and_those_that_break_the_import(prefix: Path) -> None:
    register(prefix, "low", "1.0")
    register(
        prefix,
        "high",
        "1.0",
        files={"high/__init__.py": "import gone\n"},
        requires=["low>=2", "gone", "lost", "never; python_version < '3'", "extra-only; extra == 'x'"],
    )

    found_here = {(each.severity, each.message) for each in verify(prefix).findings}

    assert found_here == {
        ("warning", "high 1.0 requires low>=2"),
        ("error", "high 1.0 requires gone"),
        ("warning", "high 1.0 requires lost"),
    }


def test_prefix_that_differs_from_its_lock(prefix: Path) -> None:
    register(prefix, "same", "1.0")
    register(prefix, "other", "1.0")
    register(prefix, "more", "1.0")
    packages = [
        PypiPackage(name=name, version=version, url=f"https://files.example/{name}.whl", sha256="0" * 64)
        for name, version in (("same", "1.0"), ("other", "2.0"), ("absent", "1.0"))
    ]
    lock = Lockfile(
        platform="linux-64", channels=(), indexes=(), python=LockedPython(source="host"), packages=tuple(packages)
    )

    report = verify_prefix(prefix, target=detect_target(), lock=lock)

    assert [(each.severity, each.kind) for each in report.findings] == [
        ("error", "locked-package-missing"),
        ("error", "locked-version-differs"),
        ("warning", "extraneous-package"),
    ]


def test_conda_prefix_is_read_from_conda_meta(prefix: Path) -> None:
    make_library(prefix / "lib/libdep.so.1", "int answer(void) { return 1; }", soname="libdep.so.1")
    make_library(prefix / "lib/libuser.so", "int x;", needs=[prefix / "lib/libdep.so.1"], rpath="$ORIGIN")
    register_conda(prefix, "dep", "1.0", paths=["lib/libdep.so.1"])
    register_conda(prefix, "user", "1.0", paths=["lib/libuser.so"], depends=["dep >=1", "__glibc >=2.17", "gone"])

    report = verify(prefix)

    assert [(each.kind, each.message) for each in report.findings] == [
        ("unmet-requirement", "user 1.0 depends on gone")
    ]


def test_tree_says_where_each_library_comes_from(prefix: Path, site: Path) -> None:
    leaf = library(site, "pkg.libs/libleaf.so.1")
    dependency = library(site, "pkg.libs/libanswer.so.1", needs=[leaf])
    name = f"pkg/_ext{EXTENSION}"
    library(site, name, _MODULE.format(name="_ext"), needs=[dependency, leaf], runpath="$ORIGIN/../pkg.libs")
    register(prefix, "pkg", "1.0", paths=[name])

    root, failures = trace_file(prefix, f"{SITE}/{name}", target=detect_target())
    lines = list(format_tree(root, str(prefix)))

    assert failures == ()
    assert lines[0] == f"{SITE}/{name} [opened]"
    assert lines[1].startswith("├─ libanswer.so.1 => ")
    assert lines[1].endswith("[RUNPATH]")
    assert any(line.endswith(f"[RUNPATH, asked for by _ext{EXTENSION}]") for line in lines if "libleaf" in line)
    assert any("libc.so.6" in line and "already loaded by Python" in line for line in lines)


def test_last_report_is_given_again_until_something_changes(prefix: Path, site: Path, tmp_path: Path) -> None:
    outside = make_library(
        tmp_path / "outside/libanswer.so.1", "int answer(void) { return 1; }", soname="libanswer.so.1"
    )
    name = f"pkg/_ext{EXTENSION}"
    library(site, name, _MODULE.format(name="_ext"), needs=[outside], runpath=str(outside.parent))
    register(prefix, "pkg", "1.0", paths=[name], files={"pkg/__init__.py": "from . import _ext\n"})
    options = {"cache": tmp_path / "cache", "reuse": True}
    first = verify(prefix, **options)
    again = verify(prefix, **options)
    assert first.verdicts
    assert not again.verdicts
    assert (again.findings, again.counts) == (first.findings, first.counts) == ((), first.counts)

    kept = outside.read_bytes()
    outside.unlink()
    assert [each.kind for each in verify(prefix, **options).findings] == ["missing-library"]
    assert [each.kind for each in verify(prefix, **options).findings] == ["missing-library"]

    outside.write_bytes(kept)
    assert verify(prefix, **options).findings == ()

    (site / "pkg" / "__init__.py").write_text("from . import _ext # \n")
    assert [each.kind for each in verify(prefix, **options).findings] == ["file-changed"]


def test_described_target_may_have_what_the_environment_lacks(prefix: Path, site: Path, tmp_path: Path) -> None:
    system = make_library(tmp_path / "libxkb.so.0", "int answer(void) { return 1; }", soname="libxkb.so.0")
    name = f"pkg/_ext{EXTENSION}"
    library(site, name, _MODULE.format(name="_ext"), needs=[system])
    register(prefix, "pkg", "1.0", paths=[name], files={"pkg/__init__.py": "from . import _ext\n"})
    pool = Target(name="pool", glibc="2.36", libstdcxx="3.4.30")

    described = one(verify_prefix(prefix, target=pool), "missing-library")
    looked_at = one(verify(prefix), "missing-library")

    assert (described.severity, looked_at.severity) == ("warning", "error")
    assert "nor in the description of pool" in described.message


def test_symbol_that_nobody_has_is_missed_on_a_described_target_too(prefix: Path, site: Path) -> None:
    core = library(site, "torch/lib/libc10.so")
    name = f"spline/_C{EXTENSION}"
    source = "extern int printf(const char *, ...); extern int _ZN3c104goneEv(void);"
    source += 'int PyInit__C(void) { return printf("x") + _ZN3c104goneEv(); }'
    library(site, name, source, needs=[core], runpath="$ORIGIN/../torch/lib")
    register(prefix, "spline", "1.0", paths=[name], files={"spline/__init__.py": "from . import _C"})

    report = verify_prefix(prefix, target=Target(name="pool", glibc="2.36", libstdcxx="3.4.30"))

    assert one(report, "undefined-symbol").message == "undefined symbol c10::gone()"


def test_rule_of_the_matrix_that_the_packages_break(prefix: Path) -> None:
    register(prefix, "torch", "2.1.0")
    numpy = register(prefix, "numpy", "2.1.0")

    finding = one(verify(prefix), "matrix-rule")
    assert (finding.severity, finding.fix) == ("warning", "dataloader install 'numpy<2'")
    assert finding.message.startswith("numpy 2.1.0 does not go with torch: ")

    (numpy / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 1.26.4\n")
    assert verify(prefix).findings == ()


_LOADS_ITS_LIBRARY = """
import importlib.machinery, os
def path(name):
    details = (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES)
    spec = importlib.machinery.FileFinder(os.path.dirname(__file__), details).find_spec(name)
    if spec is None:
        raise ImportError
    return spec.origin
try:
    torch.ops.load_library(path("_C"))
except (ImportError, OSError):
    pass
"""


@pytest.mark.parametrize(
    ("definition", "severity"), [("int answer;", "error"), (None, "warning")], ids=["other", "gone"]
)
def test_library_that_the_import_opens_weighs_as_an_import(
    prefix: Path, site: Path, tmp_path: Path, definition: str | None, severity: str
) -> None:
    # A library of the system that is not there is a codec's business; one of another build breaks the package.
    core = make_library(tmp_path / "libcore.so.1", "int wanted(void) { return 1; }", soname="libcore.so.1")
    plain = f"vision/_plain{EXTENSION}"
    library(site, plain, "int PyInit__plain(void) { return 0; }")
    source = "extern int wanted(void); int use(void) { return wanted(); }"
    library(site, "vision/_C.so", source, needs=[core], runpath=str(tmp_path))
    init = {"vision/__init__.py": "from vision import extension\n", "vision/extension.py": _LOADS_ITS_LIBRARY}
    register(prefix, "vision", "0.17.0", paths=[plain, "vision/_C.so"], files=init)
    assert verify(prefix).findings == ()
    core.unlink()
    if definition is not None:
        make_library(core, definition, soname="libcore.so.1")

    (finding,) = verify(prefix).findings

    assert (finding.severity, finding.path) == (severity, f"{SITE}/vision/_C.so")
