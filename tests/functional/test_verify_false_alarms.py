"""Environments that work: each is shown to, and verify has no error."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dataloader.cli.app import main
from dataloader.lockfile.model import LockedPython, Lockfile, PypiPackage
from dataloader.machine.detect import detect_target
from dataloader.machine.target import Target
from dataloader.verify import verify_prefix
from dataloader.verify.fixes import maker_of
from tests.helpers.elf import make_library, needs_gcc
from tests.helpers.prefixes import EXTENSION, SITE, make_prefix, module_source, register

pytestmark = needs_gcc


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return make_prefix(tmp_path / "env")


def test_empty_init_that_several_packages_share_is_gone_with_one_of_them(prefix: Path) -> None:
    site = prefix / SITE
    for name in ("cublas", "cudnn", "nccl"):
        files = {"nvidia/__init__.py": "", f"nvidia/{name}/__init__.py": ""}
        register(prefix, f"nvidia-{name}-cu12", "1.0", files=files)
    register(prefix, "user", "1.0", files={"user.py": "import nvidia.cudnn, nvidia.nccl"})
    for name in ("nvidia/__init__.py", "nvidia/cublas/__init__.py"):  # pip uninstall nvidia-cublas-cu12
        (site / name).unlink()
    for path in sorted((site / "nvidia_cublas_cu12-1.0.dist-info").iterdir()):
        path.unlink()
    (site / "nvidia_cublas_cu12-1.0.dist-info").rmdir()
    subprocess.run([prefix / "bin/python", "-I", "-c", "import user"], check=True)

    (finding,) = verify_prefix(prefix, target=detect_target()).findings

    assert (finding.severity, finding.kind, finding.path) == ("note", "file-missing", f"{SITE}/nvidia/__init__.py")


def test_init_with_code_that_is_gone_is_an_error(prefix: Path) -> None:
    register(prefix, "pkg", "1.0", files={"pkg/__init__.py": "X = 1"})
    (prefix / SITE / "pkg/__init__.py").unlink()

    assert [each.severity for each in verify_prefix(prefix, target=detect_target()).findings] == ["error"]


def install(prefix: Path, *flags: str) -> None:
    make_library(prefix / SITE / f"pkg/_ext{EXTENSION}", module_source("_ext", 'puts("");'), flags=flags)
    register(prefix, "pkg", "1.0", files={"pkg/__init__.py": "from . import _ext"}, paths=[f"pkg/_ext{EXTENSION}"])


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (Target(name="a"), set()),
        (Target(name="a", glibc="2.31"), set()),
        (Target(name="a", glibc="2.1"), {"version-not-provided"}),
    ],
    ids=["no C library said", "a newer one", "an older one"],
)
def test_pool_that_names_no_c_library_is_not_taken_for_one_without(
    prefix: Path, target: Target, expected: set[str]
) -> None:
    install(prefix)

    found = verify_prefix(prefix, target=target).findings

    assert {each.kind for each in found if each.severity == "error"} == expected


def test_the_example_of_the_documentation_runs(
    prefix: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(prefix)
    text = (Path(__file__).parents[2] / "docs/targets.md").read_text()
    (tmp_path / "pools.toml").write_text(text.partition("```toml\n")[2].partition("```")[0])

    assert main(["verify", f"--prefix={prefix}", f"--target={tmp_path / 'pools.toml'}"]) == 0
    assert "inference: runs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("libraries", "expected"),
    [(None, []), (("libz.so.1",), []), ((), ["error"]), (("libGL.so.1",), ["error"])],
    ids=["nothing said", "said", "none", "another"],
)
def test_what_a_target_has_beside_the_c_library_can_be_said(
    prefix: Path, tmp_path: Path, libraries: tuple[str, ...] | None, expected: list[str]
) -> None:
    stub = make_library(tmp_path / "libz.so.1", "int z;", soname="libz.so.1")
    install(prefix, str(stub))

    report = verify_prefix(prefix, target=Target(name="a", glibc="2.39", libraries=libraries))

    assert [each.severity for each in report.findings] == expected


def test_local_version_in_another_case_is_the_same(prefix: Path) -> None:
    register(prefix, "torch", "2.1.0+CU118", files={"torch.py": ""})

    def kinds(version: str) -> list[str]:
        package = PypiPackage(name="torch", version=version, url="https://example.org/t.whl", sha256="0" * 64)
        python = LockedPython(version="3.11", source="host")
        lock = Lockfile(platform="linux-64", channels=(), indexes=(), python=python, packages=(package,))
        return [each.kind for each in verify_prefix(prefix, target=detect_target(), lock=lock).findings]

    assert kinds("2.1.0+cu118") == []
    assert kinds("2.1.0+cu121") == ["locked-version-differs"]


def test_debians_packages_and_what_is_older_than_dist_info(tmp_path: Path) -> None:
    """dpkg strips and patches files after RECORD was written; flit wrote hashes in hex once."""
    prefix = tmp_path / "usr"
    site = prefix / "lib/python3/dist-packages"
    (prefix / "lib/python3.11").mkdir(parents=True)
    (prefix / "lib/python3.11/EXTERNALLY-MANAGED").write_text("")
    for name, row in {"app": "app.py,sha256=" + "0" * 43 + ",7", "hex": "hex.py,sha256=" + "0" * 64 + ",7"}.items():
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (site / f"{name}.py").write_text("")
        requires = "Requires-Dist: old>=1\nRequires-Dist: single\n"
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{requires}")
        (info / "RECORD").write_text(f"{row}\n../../../bin/{name},,\n")
    (site / "old-1.2.egg-info").mkdir()
    (site / "old-1.2.egg-info/PKG-INFO").write_text("Metadata-Version: 1.0\nName: old\nVersion: 1.2\n")
    (site / "single.egg-info").write_text("Metadata-Version: 1.0\nName: single\nVersion: 3\n")
    (site / "app.egg-info").write_text("Metadata-Version: 1.0\nName: app\nVersion: 1.0\n")

    report = verify_prefix(prefix, target=detect_target())

    assert (report.findings, report.counts["packages"]) == ((), 4)
    assert maker_of(prefix, "").tool == "the system"


def test_a_document_that_is_not_as_recorded_breaks_no_import(prefix: Path) -> None:
    """decord 0.6.0 records another top_level.txt than it has."""
    info = register(prefix, "pkg", "1.0", files={"pkg/__init__.py": ""})
    (info / "top_level.txt").write_text("pkg\n")
    with (info / "RECORD").open("a") as record:
        record.write(f"{info.name}/top_level.txt,sha256={'0' * 43},17\n")

    assert [each.severity for each in verify_prefix(prefix, target=detect_target()).findings] == ["warning"]
