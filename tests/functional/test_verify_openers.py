"""Libraries that Python code opens before others need them, and files that only a look at whole pages explains."""

from __future__ import annotations

import ctypes
import struct
from pathlib import Path

import pytest

from dataloader.compat.openings import Opening
from dataloader.elf.definitions import AskedNames
from dataloader.elf.facts import read_definitions, read_elf
from dataloader.elf.image import BoundedReader, FileBytes, read_dynamic, read_header, read_segments
from dataloader.machine.detect import detect_target
from dataloader.verify import verify_prefix
from dataloader.verify.checks.opened import read_opened
from tests.helpers.elf import make_library, needs_gcc
from tests.helpers.prefixes import EXTENSION, SITE, make_prefix, register

pytestmark = needs_gcc

_LOADER = """
import ctypes, os
def load_library():
    return ctypes.CDLL(os.path.join(os.path.dirname(__file__), "lib64", "libfoo.so.1"))
"""
_CALLS = "import libfoo\nlibfoo.load_library()\nfrom . import _ext"
_GLUED = "import glue\nglue.load_library()\nfrom . import _ext"
_PATHFINDER = """
def load_library():
    from cuda.pathfinder import load_nvidia_dynamic_lib
    load_nvidia_dynamic_lib("foo")
"""


@pytest.mark.parametrize(
    ("folder", "modules", "user", "loads"),
    [
        ("libfoo", {"libfoo/__init__.py": _LOADER}, _CALLS, True),
        ("libfoo", {"libfoo/__init__.py": _LOADER}, "import libfoo\nfrom . import _ext", False),
        (
            "shared/libfoo",
            {"shared/libfoo/__init__.py": "from .load import load_library", "shared/libfoo/load.py": _LOADER},
            _CALLS.replace("import libfoo", "from shared import libfoo"),
            True,
        ),
        ("libfoo", {"libfoo/__init__.py": "NAME = 'another'"}, "import libfoo\nfrom . import _ext", False),
        ("shared/foo", {"glue/__init__.py": _PATHFINDER}, _GLUED, True),
        ("shared/foo", {"glue/__init__.py": _PATHFINDER}, "import glue\nfrom . import _ext", False),
        ("shared/foo", {"glue/__init__.py": "NAME = 'foo'"}, "import glue\nfrom . import _ext", False),
    ],
    ids=[
        "called",
        "not called",
        "in a namespace",
        "not named",
        "by cuda.pathfinder",
        "nobody asks",
        "named, but nobody asks",
    ],
)
def test_library_of_another_package_is_opened_by_its_code(
    tmp_path: Path, folder: str, modules: dict[str, str], user: str, loads: bool
) -> None:
    prefix = make_prefix(tmp_path / "env")
    site = prefix / SITE
    foo = make_library(site / folder / "lib64" / "libfoo.so.1", "int answer(void) { return 1; }", soname="libfoo.so.1")
    module = f"user/_ext{EXTENSION}"
    source = "extern int answer(void); int PyInit__ext(void) { return answer(); }"
    make_library(site / module, source, needs=[foo])
    register(prefix, "cuda-pathfinder", "1.0", files={"cuda/pathfinder/__init__.py": ""})
    if "glue/__init__.py" in modules:
        # A package of libraries alone, of which one is another package's.
        make_library(site / "glue" / "libglue.so", "int glue;")
        register(prefix, "glue", "1.0", paths=["glue/libglue.so"], files=modules, requires=["foo"])
        register(prefix, "foo", "1.0", paths=[f"{folder}/lib64/libfoo.so.1"])
    else:
        register(prefix, "foo", "1.0", paths=[f"{folder}/lib64/libfoo.so.1"], files=modules)
        register(prefix, "glue", "1.0", requires=["foo"])
    register(prefix, "user", "1.0", paths=[module], files={"user/__init__.py": user}, requires=["glue"])

    report = verify_prefix(prefix, target=detect_target())

    verdict = next(each for each in report.verdicts if each.path.endswith(module))
    assert (verdict.bare, verdict.loads) == (False, loads)


def test_what_lies_behind_the_end_of_a_segment_is_mapped_with_its_page(tmp_path: Path) -> None:
    library = make_library(tmp_path / "libpage.so", "int answer(void) { return 42; }", soname="libpage.so")
    data = bytearray(library.read_bytes())
    with library.open("rb") as file:
        reader = BoundedReader(FileBytes(file.fileno()))
        header = read_header(reader)
        where = read_segments(reader, header).dynamic
        assert where is not None
        read_dynamic(reader, *where)
    end = (
        reader.offset_of(reader.dynamic["DT_STRTAB"]) + 4
    )  # the string table begins in the segment, and goes on behind it
    assert end < 4096
    struct.pack_into("<QQ", data, header.e_phoff + 32, end, end)  # p_filesz and p_memsz of the first segment
    library.write_bytes(data)

    facts, _ = read_elf(library)
    definitions = read_definitions(library, AskedNames([b"answer"]))

    assert ctypes.CDLL(str(library)).answer() == 42
    assert (facts.soname, b"answer" in definitions.plain) == ("libpage.so", True)


_PATTERN = r"libparts\.so\.[0-9]+"


def names_in(path: Path) -> list[str]:
    opening = Opening(
        id="x", by="lib.so", opens=(), pattern=_PATTERN, part="", needs="always", project=None, specifier=""
    )
    rows = [(path.name, "key", "lib.so")]
    (found,) = read_opened(path.parent, rows, {"lib.so": [opening]}, {}).values()
    return found


def test_names_are_looked_for_before_and_behind_the_code(tmp_path: Path) -> None:
    code = '__asm__(".text\\n.ascii \\"libparts.so.2\\"\\n");'
    library = make_library(tmp_path / "lib.so", f'{code} const char *a = "libparts.so.1"; char b[] = "libparts.so.3";')

    assert names_in(library) == ["libparts.so.1", "libparts.so.3"]

    # Without a table of sections nobody knows where the code is.
    data = library.read_bytes()
    library.write_bytes(data[:60] + b"\0\0" + data[62:])
    assert names_in(library) == ["libparts.so.1", "libparts.so.2", "libparts.so.3"]

    library.write_bytes(b"no library libparts.so.4\0")
    assert names_in(library) == ["libparts.so.4"]
