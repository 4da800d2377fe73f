"""Wheels and conda packages are judged before anything of them is installed."""

from __future__ import annotations

import io
import json
import random
import tarfile
import zipfile
from pathlib import Path

import pytest

from dataloader.base.errors import IntegrityError
from dataloader.elf.cache import FactsCache
from dataloader.machine.target import Target
from dataloader.verify.archive import ArchiveFacts, check_archive, facts_of_archive
from tests.helpers.elf import make_library, needs_gcc
from tests.helpers.wheels import make_wheel

pytestmark = needs_gcc

_TARGET = Target(glibc="2.35", libstdcxx="3.4.30")


@pytest.fixture
def cuda_library(tmp_path: Path) -> bytes:
    """A library that needs CUDA 13's runtime."""
    runtime = make_library(
        tmp_path / "stub/libcudart.so.13", "int cudaMalloc(void) { return 0; }", soname="libcudart.so.13"
    )
    user = "extern int cudaMalloc(void); int use(void) { return cudaMalloc(); }"
    return make_library(tmp_path / "stub/libuser.so", user, soname="libuser.so.1", needs=[runtime]).read_bytes()


def make_conda(path: Path, content: dict[str, bytes]) -> Path:
    """A conda package file with these files: ``.conda`` or ``.tar.bz2``, by its name."""
    import hashlib

    rows = [
        {
            "_path": name,
            "path_type": "hardlink",
            "sha256": hashlib.sha256(data).hexdigest(),
            "size_in_bytes": len(data),
        }
        for name, data in content.items()
    ]
    info = {
        "info/index.json": json.dumps({"name": "cudalib", "version": "1.0", "build": "0"}).encode(),
        "info/paths.json": json.dumps({"paths": rows, "paths_version": 1}).encode(),
    }
    if path.name.endswith(".tar.bz2"):
        path.write_bytes(_tar({**content, **info}, "w:bz2"))
        return path
    import zstandard

    pack = zstandard.ZstdCompressor().compress
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", '{"conda_pkg_format_version": 2}')
        archive.writestr("pkg-cudalib-1.0-0.tar.zst", pack(_tar(content, "w")))
        archive.writestr("info-cudalib-1.0-0.tar.zst", pack(_tar(info, "w")))
    return path


def _tar(content: dict[str, bytes], mode: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


@pytest.fixture(params=["wheel", "conda", "tar.bz2"])
def archive(request: pytest.FixtureRequest, tmp_path: Path, cuda_library: bytes) -> Path:
    if request.param == "wheel":
        files = {"cudalib/__init__.py": b"", "cudalib/libuser.so": cuda_library}
        return make_wheel(tmp_path / "dist", "cudalib", "1.0", files=files, tag="py3-none-manylinux_2_28_x86_64")
    suffix = ".conda" if request.param == "conda" else ".tar.bz2"
    return make_conda(tmp_path / f"cudalib-1.0-0{suffix}", {"lib/libuser.so": cuda_library, "share/readme": b"x"})


def test_needs_provides_and_cuda_major_of_a_package_file(archive: Path) -> None:
    facts = facts_of_archive(archive)

    assert (facts.name, facts.version) == ("cudalib", "1.0")
    assert facts.provides == {"libuser.so", "libuser.so.1"}
    assert facts.needs >= {"libcudart.so.13"}
    assert facts.cuda_majors == {"13"}
    assert any(file.path.endswith("libuser.so") and file.sha256 for file in facts.files)
    assert facts.malformed == {}


def test_package_of_another_cuda_contradicts_the_stack(archive: Path) -> None:
    facts = facts_of_archive(archive)

    findings = check_archive(facts, target=_TARGET, cuda_major="11")

    assert [(each.severity, each.kind) for each in findings] == [("error", "two-cuda-stacks")]
    assert "libcudart.so.13" in findings[0].evidence
    assert check_archive(facts, target=_TARGET, cuda_major="13") == ()
    assert check_archive(facts, target=_TARGET, cuda_major=None) == ()


def test_glibc_of_the_target_is_too_old_for_the_package(archive: Path) -> None:
    findings = check_archive(facts_of_archive(archive), target=Target(glibc="2.2"))

    assert [each.kind for each in findings] == ["version-not-provided"]


def test_second_reading_comes_from_the_cache(archive: Path, tmp_path: Path) -> None:
    cache = FactsCache(tmp_path / "cache")
    first = facts_of_archive(archive, cache=cache)

    assert facts_of_archive(archive, cache=FactsCache(tmp_path / "cache")) == first
    assert list((tmp_path / "cache").rglob("*.elf"))


def test_two_packages_with_one_path_and_other_bytes(tmp_path: Path, cuda_library: bytes) -> None:
    def facts(name: str, data: bytes) -> ArchiveFacts:
        wheel = make_wheel(tmp_path / name, name, "1.0", files={"nvidia/nccl/lib/libnccl.so.2": data, "same.py": b"1"})
        return facts_of_archive(wheel)

    findings = check_archive(
        facts("nccl-cu11", cuda_library), target=_TARGET, others=[facts("nccl-cu12", cuda_library + b"\0")]
    )

    assert [(each.severity, each.kind, each.path) for each in findings] == [
        ("error", "clobbered-path", "nvidia/nccl/lib/libnccl.so.2")
    ]


def test_truncated_library_in_a_wheel_is_found_before_installation(tmp_path: Path, cuda_library: bytes) -> None:
    wheel = make_wheel(tmp_path, "broken", "1.0", files={"broken/libx.so": cuda_library[:100]})

    findings = check_archive(facts_of_archive(wheel), target=_TARGET)

    assert [(each.kind, each.path) for each in findings] == [("malformed-elf", "broken/libx.so")]


@pytest.mark.parametrize("name", ["x-1.0-py3-none-any.whl", "x-1.0-0.conda", "x-1.0-0.tar.bz2", "x.zip"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no", b"BZh9 no archive", b"\0" * 1000])
def test_file_that_is_no_archive_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(IntegrityError) as caught:
        facts_of_archive(tmp_path / name)

    assert caught.value.code == "archive-unreadable"


def test_cut_archive_is_refused(archive: Path) -> None:
    data = archive.read_bytes()
    archive.write_bytes(data[: len(data) * 2 // 3])

    with pytest.raises(IntegrityError):
        facts_of_archive(archive)


def test_damage_is_told_whatever_kind_of_archive(archive: Path) -> None:
    whole, chance, told = archive.read_bytes(), random.Random(1), set[str]()
    for _ in range(150):
        damaged = bytearray(whole)
        damaged[chance.randrange(len(whole))] ^= chance.choice((0xFF, 1 << chance.randrange(8)))
        archive.write_bytes(damaged)
        try:
            facts_of_archive(archive)
        except IntegrityError as error:
            told.add(error.code)

    assert told == {"archive-unreadable"}
