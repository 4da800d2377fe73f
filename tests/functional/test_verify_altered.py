"""Files that were changed after they were installed: stripped, given another search path, or damaged."""

from __future__ import annotations

import asyncio
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dataloader.elf.alteration import Alteration, find_alteration
from dataloader.elf.image import BoundedReader, FileBytes, read_header, read_section_headers
from dataloader.install.store.originals import originals_of
from dataloader.install.sync import sync_prefix
from dataloader.lockfile.model import Lockfile
from dataloader.machine.detect import detect_target
from dataloader.verify import Finding, VerifyOptions, verify_prefix
from tests.helpers.conda import index_channel, make_conda_package, read_record
from tests.helpers.elf import make_library, needs_gcc
from tests.helpers.locks import FolderDownloads, Heard, lock_of, options_for
from tests.helpers.prefixes import EXTENSION
from tests.helpers.wheels import make_wheel

pytestmark = needs_gcc

SOURCE = """
static const char words[] = "many bytes that are read and many that are not";
int counter = 7; __thread int mine = 3; static int kept(void) { return words[3]; }
int answer(void) { return kept() + counter + mine; }
int PyInit_ext(void) { return answer(); }
"""
PATCHELF = shutil.which("patchelf") or str(Path(sys.executable).parent / "patchelf")

needs_patchelf = pytest.mark.skipif(not Path(PATCHELF).exists(), reason="patchelf is not installed")
needs_strip = pytest.mark.skipif(shutil.which("strip") is None, reason="strip is not installed")
"""Both change a file in place."""


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True)


def strip(path: Path) -> None:
    run("strip", path)


def strip_debugging(path: Path) -> None:
    run("strip", "--strip-debug", path)


def longer(path: Path) -> None:
    run(PATCHELF, "--set-rpath", "$ORIGIN/../quite/a/long/way/to/go/for/a/library/that/lies/elsewhere", path)


def shorter(path: Path) -> None:
    run(PATCHELF, "--set-rpath", "$ORIGIN", path)


def without(path: Path) -> None:
    run(PATCHELF, "--remove-rpath", path)


def both(path: Path) -> None:
    longer(path)
    strip(path)


def renamed(path: Path) -> None:
    run(PATCHELF, "--set-soname", "libother.so.1", path)


def needy(path: Path) -> None:
    run(PATCHELF, "--add-needed", "libz.so.1", path)


def flipped(path: Path) -> None:
    """One bit of the code."""
    data = bytearray(path.read_bytes())
    at, _ = allocated(path)[".text"]
    data[at + 5] ^= 1
    path.write_bytes(data)


def allocated(path: Path) -> dict[str, tuple[int, int]]:
    """Offset and size of what is loaded."""
    with path.open("rb") as stream:
        reader = BoundedReader(FileBytes(stream.fileno()))
        header = read_header(reader)
        rows = read_section_headers(reader, header)
        table = rows[header.e_shstrndx]
        names = reader.view(table.sh_offset, table.sh_size)
        return {
            names[row.sh_name :].split(b"\0")[0].decode(): (row.sh_offset, row.sh_size)
            for row in rows
            if row.sh_flags & 2 and row.sh_type != "SHT_NOBITS"
        }


HARMLESS = [
    pytest.param(strip, (True, False), marks=needs_strip),
    pytest.param(strip_debugging, (True, False), marks=needs_strip),
    pytest.param(longer, (False, True), marks=needs_patchelf),
    pytest.param(shorter, (False, True), marks=needs_patchelf),
    pytest.param(without, (False, True), marks=needs_patchelf),
    pytest.param(both, (True, True), marks=[needs_patchelf, needs_strip]),
]
OTHERS = [flipped, pytest.param(renamed, marks=needs_patchelf), pytest.param(needy, marks=needs_patchelf)]


@pytest.fixture
def library(tmp_path: Path) -> Path:
    return make_library(tmp_path / "libit.so", SOURCE, soname="libit.so", runpath="$ORIGIN/../some/place", flags=["-g"])


def copied(library: Path) -> Path:
    return Path(shutil.copy(library, library.with_name("now.so")))


@pytest.mark.parametrize(("change", "expected"), HARMLESS)
def test_what_was_done_to_a_library(library: Path, change: Callable[[Path], None], expected: tuple[bool, bool]) -> None:
    now = copied(library)
    change(now)

    found = find_alteration(library, now)

    assert found is not None
    assert (found.stripped, found.search_path is not None) == expected
    assert found.search_path is None or found.search_path[0] == "$ORIGIN/../some/place"


@pytest.mark.parametrize("change", OTHERS)
def test_what_is_more_than_that(library: Path, change: Callable[[Path], None]) -> None:
    now = copied(library)
    change(now)

    assert find_alteration(library, now) is None


@pytest.mark.parametrize(("change", "_"), HARMLESS)
def test_no_byte_that_is_loaded_may_differ_besides(library: Path, change: Callable[[Path], None], _: object) -> None:
    """But for the search path's own, and what fills a table up."""
    now = copied(library)
    change(now)
    data, chance = now.read_bytes(), random.Random(3)
    excused = {".dynstr": b"$ORIGIN", ".dynamic": b""}
    for name, (offset, size) in allocated(now).items():
        for at in {offset, offset + size - 1, *(chance.randrange(offset, offset + size) for _ in range(3))}:
            if name in excused:
                continue
            flip = bytearray(data)
            flip[at] ^= 1 << chance.randrange(8)
            now.write_bytes(flip)
            assert find_alteration(library, now) is None, (name, at - offset)
    names = data.index(b"answer\0", allocated(now)[".dynstr"][0])
    now.write_bytes(data[:names] + b"b" + data[names + 1 :])
    assert find_alteration(library, now) is None


def test_a_file_that_is_cut_short_is_not_forgiven(library: Path) -> None:
    now = library.with_name("now.so")
    data = library.read_bytes()
    for size in range(0, len(data), 501):
        now.write_bytes(data[:size])
        assert find_alteration(library, now) is None
        assert find_alteration(now, library) is None


def sync(lock: Lockfile, tmp_path: Path) -> None:
    asyncio.run(sync_prefix(lock, tmp_path / "env", options_for(tmp_path), Heard(), FolderDownloads()))


def installed(tmp_path: Path, world: str) -> Path:
    """An environment whose cache lies on another volume, as it were: files are copies. Gives its library."""
    source = make_library(tmp_path / "ext.so", SOURCE, soname="ext.so", runpath="$ORIGIN/../some/place", flags=["-g"])
    if world == "conda":
        channel = tmp_path / "channel"
        make_conda_package(channel, "some", "1", files={"lib/libext.so": source})
        index_channel(channel)
        lock, path = lock_of(read_record(channel, "some")), tmp_path / "env/lib/libext.so"
    else:
        files: dict[str, str | bytes] = {f"some/ext{EXTENSION}": source.read_bytes(), "some/__init__.py": ""}
        wheel = make_wheel(tmp_path / "wheels", "some", "1", files=files)
        lock = lock_of(wheel)
        path = tmp_path / "env/lib" / "python{}.{}".format(*sys.version_info[:2]) / f"site-packages/some/ext{EXTENSION}"
    sync(lock, tmp_path)
    copy = shutil.copy2(path, tmp_path / "copy")
    path.unlink()
    shutil.move(copy, path)
    return path


def findings(tmp_path: Path) -> list[Finding]:
    prefix = tmp_path / "env"
    options = VerifyOptions(original_of=originals_of(prefix, tmp_path / "cache"))
    return list(verify_prefix(prefix, target=detect_target(), options=options).findings)


@pytest.mark.parametrize(
    ("change", "world"),
    [
        pytest.param(strip, "wheel", marks=needs_strip),
        pytest.param(strip, "conda", marks=needs_strip),
        pytest.param(longer, "wheel", marks=needs_patchelf),
        pytest.param(longer, "conda", marks=needs_patchelf),
    ],
)
def test_what_only_was_stripped_or_sought_elsewhere_is_a_warning(
    tmp_path: Path, change: Callable[[Path], None], world: str
) -> None:
    path = installed(tmp_path, world)
    change(path)

    (finding,) = findings(tmp_path)

    assert (finding.severity, finding.kind) == ("warning", "file-changed")
    assert finding.message.endswith("all that is loaded of it is as it was")


@pytest.mark.parametrize(
    ("change", "world"), [(flipped, "wheel"), (flipped, "conda"), pytest.param(renamed, "wheel", marks=needs_patchelf)]
)
def test_any_other_change_is_an_error(tmp_path: Path, change: Callable[[Path], None], world: str) -> None:
    path = installed(tmp_path, world)
    change(path)

    assert [each.severity for each in findings(tmp_path) if each.kind == "file-changed"] == ["error"]


@needs_strip
def test_without_the_original_it_cannot_be_told(tmp_path: Path) -> None:
    path = installed(tmp_path, "wheel")
    strip(path)
    shutil.rmtree(tmp_path / "cache")

    (finding,) = findings(tmp_path)

    assert finding.severity == "error"
    assert "cannot be told" in finding.evidence[-1]


@needs_patchelf
def test_what_does_not_load_is_not_forgiven(tmp_path: Path) -> None:
    """The search path that it lost is the one that it needed."""
    needed = make_library(tmp_path / "libneeded.so", "int needed(void) { return 1; }", soname="libneeded.so")
    source = "int needed(void); int PyInit_ext(void) { return needed(); }"
    name = f"some/ext{EXTENSION}"
    extension = make_library(tmp_path / "ext.so", source, needs=[needed], runpath="$ORIGIN/../some.libs")
    files: dict[str, str | bytes] = {
        name: extension.read_bytes(),
        "some.libs/libneeded.so": needed.read_bytes(),
        "some/__init__.py": "from some import ext\n",
    }
    sync(lock_of(make_wheel(tmp_path / "wheels", "some", "1", files=files)), tmp_path)
    (path,) = (tmp_path / "env").rglob(f"ext{EXTENSION}")
    shutil.copy2(path, tmp_path / "copy")
    path.unlink()
    shutil.move(tmp_path / "copy", path)
    assert findings(tmp_path) == []
    without(path)

    assert {(each.severity, each.kind) for each in findings(tmp_path)} == {
        ("error", "file-changed"),
        ("error", "missing-library"),
    }


def test_words() -> None:
    assert Alteration(stripped=True, search_path=("a", "b")).words() == (
        "its symbols were stripped and its search path is 'b' instead of 'a'"
    )
