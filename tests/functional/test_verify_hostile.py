"""Hostile input: whatever bytes an ELF file, a record or a cache holds, verify answers; it never crashes or hangs."""

from __future__ import annotations

import json
import os
import random
import struct
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataloader.base.cache import LIBRARIES
from dataloader.base.core_metadata import parse_headers
from dataloader.elf.cache import FactsCache
from dataloader.elf.definitions import AskedNames
from dataloader.elf.facts import find_definitions, parse_elf, read_relocated_names
from dataloader.elf.gpucode import MAGIC, read_gpu_code
from dataloader.elf.image import MalformedElf
from dataloader.loader.system import read_ld_cache
from dataloader.machine.detect import detect_target
from dataloader.prefix.records import conda_files, parse_record
from dataloader.prefix.rows import BadRecord
from dataloader.verify import VerifyOptions, verify_prefix
from tests.helpers.elf import make_library, needs_gcc
from tests.helpers.examples import examples
from tests.helpers.prefixes import SITE, make_prefix, register

_SECONDS = 2.0
"""No single small file may take longer."""


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("sample")
    source = (
        '#include <stdio.h>\nint shown; int show(void) { return puts("x") + shown; }\n'
        "extern int wanted; int *f = &wanted;"
    )
    versions = "X_1 { global: show; local: *; };"
    path = make_library(folder / "libx.so.1", source, soname="libx.so.1", runpath="$ORIGIN", versions=versions)
    return path.read_bytes()


def answers(data: bytes) -> None:
    started = time.monotonic()
    with suppress(MalformedElf):
        parse_elf(data)
    with suppress(MalformedElf):
        find_definitions(data, AskedNames([b"show", b"shown", b"PyInit_x"]))
    assert time.monotonic() - started < _SECONDS


def mutate(data: bytes, seed: int) -> bytes:
    """A few fields overwritten, where the loader's tables are; sometimes cut short."""
    chance = random.Random(seed)
    changed = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        # Headers, dynamic section and tables lie in the first part and near the dynamic section.
        at = chance.choice([chance.randrange(64), chance.randrange(min(1200, len(data))), chance.randrange(len(data))])
        width = chance.choice([1, 2, 4, 8])
        value = chance.choice(
            [0, 1, 0x7F, 0xFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40, (1 << 64) - 1, chance.getrandbits(64)]
        )
        changed[at : at + width] = value.to_bytes(8, "little")[:width]
    if chance.random() < 0.2:
        del changed[chance.randrange(len(changed)) :]
    return bytes(changed)


@needs_gcc
@pytest.mark.parametrize("block", range(4))
def test_mutated_libraries_are_read_or_refused(sample: bytes, block: int) -> None:
    for seed in range(block * 1000, block * 1000 + 1000):
        answers(mutate(sample, seed))


@needs_gcc
@pytest.mark.e2e
def test_a_hundred_thousand_mutated_libraries_are_read_or_refused(sample: bytes) -> None:
    for seed in range(10_000, 110_000):
        answers(mutate(sample, seed))


@needs_gcc
def test_relocations_of_mutated_libraries_are_read_or_refused(sample: bytes, tmp_path: Path) -> None:
    path = tmp_path / "libx.so"
    for seed in range(500):
        path.write_bytes(mutate(sample, seed))
        with suppress(MalformedElf):
            read_relocated_names(path)


@given(st.binary(max_size=400))
@settings(max_examples=examples(60), deadline=None)
def test_any_bytes_behind_the_magic(tail: bytes) -> None:
    answers(b"\x7fELF\x02\x01\x01" + tail)


@given(st.binary(max_size=600))
@settings(max_examples=examples(60), deadline=None)
def test_any_bytes_as_gpu_code(tail: bytes) -> None:
    data = struct.pack("<IHHQ", MAGIC, 1, 16, len(tail)) + tail

    for code in read_gpu_code(data, {".nv_fatbin": (0, len(data) + 100)}):
        assert code.number >= (0, 0)


@given(st.text(max_size=300))
@settings(max_examples=examples(60), deadline=None)
def test_any_text_as_record(text: str) -> None:
    import csv

    try:
        rows = list(parse_record(text, "lib/site-packages"))
    except (BadRecord, csv.Error):
        return
    for row in rows:
        assert not row.path.startswith(("/", "../"))
        assert row.path != ".."


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=8),
        lambda each: (
            st.lists(each) | st.dictionaries(st.sampled_from(["paths", "_path", "paths_data", "files", "sha256"]), each)
        ),
        max_leaves=20,
    )
)
@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_json_as_conda_record(document: object) -> None:
    if not isinstance(document, dict):
        return
    with suppress(BadRecord):
        for row in conda_files(document):
            assert not row.path.startswith(("/", "../"))


@given(st.text(max_size=300))
@settings(max_examples=examples(40), deadline=None)
def test_any_text_as_metadata(text: str) -> None:
    for name, values in parse_headers(text).items():
        assert name == name.lower()
        assert values


@given(st.binary(max_size=300))
@settings(max_examples=examples(40), deadline=None)
def test_any_bytes_as_cached_facts(blob: bytes) -> None:
    import tempfile

    key = "0" * 64
    with tempfile.TemporaryDirectory() as folder:
        entry = Path(folder, LIBRARIES, f"{key}.elf")
        entry.parent.mkdir(parents=True)
        entry.write_bytes(blob)
        cache = FactsCache(Path(folder))
        assert cache.load_facts(key) is None
        assert cache.load_undefined(key) is None


@given(st.binary(max_size=300))
@settings(max_examples=examples(40), deadline=None)
def test_any_bytes_as_loader_cache(tail: bytes) -> None:
    import tempfile

    with tempfile.NamedTemporaryFile() as file:
        file.write(b"glibc-ld.so.cache1.1" + tail)
        file.flush()
        assert isinstance(read_ld_cache(Path(file.name), "x86_64"), dict)


@needs_gcc
def test_prefix_full_of_mutated_files_gets_a_report(sample: bytes, tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path / "env")
    paths = []
    for seed in range(150):
        path = f"evil/lib{seed}.so"
        (prefix / SITE / path).parent.mkdir(exist_ok=True)
        (prefix / SITE / path).write_bytes(mutate(sample, seed))
        paths.append(path)
    register(prefix, "evil", "1.0", paths=paths, files={"evil/__init__.py": "from . import lib1\n"})
    meta = prefix / "conda-meta"
    meta.mkdir()
    (meta / "deep.json").write_text("[" * 100_000)
    (meta / "list.json").write_text(json.dumps([1, 2]))
    (meta / "python-3.json").write_text(json.dumps({"name": "python", "version": 3}))
    (prefix / SITE / "bad-1.dist-info").mkdir()

    report = verify_prefix(prefix, target=detect_target(), options=VerifyOptions(jobs=1))

    assert not report.ok
    assert sum(each.kind == "unreadable-record" for each in report.findings) == 4
    json.dumps(report.to_dict())


@needs_gcc
def test_links_and_odd_files_are_no_trap(sample: bytes, tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path / "env")
    site = prefix / SITE
    (site / "loop").symlink_to(site)
    (site / "self.so").symlink_to("self.so")
    (site / "outside.so").symlink_to("/etc/passwd")
    (site / "folder.so").mkdir()
    os.mkfifo(site / "pipe.so")
    (site / "empty.so").write_bytes(b"")
    (site / "script.so").write_text("INPUT(-lx)\n")
    (site / os.fsdecode(b"bad\xff.so")).write_bytes(sample)

    report = verify_prefix(prefix, target=detect_target())

    assert [(each.severity, each.kind) for each in report.findings if each.path.endswith("empty.so")] == [
        ("warning", "malformed-elf")
    ]
    assert not [each for each in report.findings if "script.so" in each.path or "pipe" in each.path]
    json.dumps(report.to_dict())


def test_endless_tables_are_cut() -> None:
    header = b"\x7fELF\x02\x01\x01" + b"\0" * 9
    fields = struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 64, 0, 0)
    size = 64 + 112 + 4096
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, size, size, 4096)
    dynamic = struct.pack("<IIQQQQQQ", 2, 6, 176, 176, 176, 4096, 4096, 8)
    tags = [
        (5, 300),
        (10, 1 << 62),
        (6, 176),
        (4, 400),
        (0x6FFFFFFE, 500),
        (0x6FFFFFFF, 1 << 62),
        (7, 176),
        (8, 1 << 60),
    ]
    body = b"".join(struct.pack("<QQ", *tag) for tag in tags).ljust(4096, b"\x01")

    answers(header + fields + load + dynamic + body)


@needs_gcc
def test_pipes_in_place_of_records_are_not_waited_for(tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path / "env")
    make_library(prefix / SITE / "pkg" / "_ext.abi3.so", "extern int gone(void); int f(void) { return gone(); }")
    info = register(prefix, "pkg", "1.0", paths=["pkg/_ext.abi3.so"], files={"pkg/__init__.py": "from . import _ext"})
    (prefix / SITE / "pkg" / "__init__.py").unlink()
    os.mkfifo(prefix / SITE / "pkg" / "__init__.py")
    other = register(prefix, "other", "1.0")
    (other / "METADATA").unlink()
    os.mkfifo(other / "METADATA")
    (prefix / "conda-meta").mkdir()
    os.mkfifo(prefix / "conda-meta" / "python-3.11-0.json")

    started = time.monotonic()
    report = verify_prefix(prefix, target=detect_target())

    assert time.monotonic() - started < 30
    kinds = {(finding.kind, finding.path.removeprefix(SITE + "/")) for finding in report.findings}
    assert ("unreadable-record", other.name) in kinds
    assert ("unreadable-record", "conda-meta/python-3.11-0.json") in kinds
    assert ("file-missing", "pkg/__init__.py") in kinds
    assert info.name not in {path for _, path in kinds}


def test_marker_that_compares_what_has_no_order_does_not_apply(tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path / "env")
    register(prefix, "pkg", "1.0", requires=["absent; sys_platform ~= 'x'", "gone; sys_platform == 'linux'"])

    report = verify_prefix(prefix, target=detect_target())

    assert [finding.message for finding in report.findings] == ["pkg 1.0 requires gone"]
