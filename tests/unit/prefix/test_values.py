"""Small pure functions: records, names of libraries, whose files are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dataloader.prefix.python import PrefixPython, extension_tag
from dataloader.prefix.records import (
    InstalledPackage,
    Owners,
    RecordedFile,
    RecordedFiles,
    inside,
    parse_record,
    required_names,
)
from dataloader.prefix.rows import BadRecord
from dataloader.prefix.walk import is_library_name, read_regular


@pytest.mark.parametrize(
    ("name", "python", "expected"),
    [
        ("_x.cpython-311-x86_64-linux-gnu.so", "3.11", True),
        ("_x.cpython-310-x86_64-linux-gnu.so", "3.11", False),
        ("_x.cpython-31-x86_64-linux-gnu.so", "3.11", False),
        ("_x.cpython-37m-x86_64-linux-gnu.so", "3.7", True),
        ("_x.abi3.so", "3.13", True),
        ("_x.so", "3.11", True),
        ("_x.pypy310-pp73-x86_64-linux-gnu.so", "3.10", False),
        ("_x.cpython-310-x86_64-linux-gnu.so", None, True),
    ],
)
def test_which_extensions_a_python_takes(name: str, python: str | None, expected: bool) -> None:
    assert PrefixPython(version=python).takes_extension(name) is expected


def test_tag_of_a_library_is_none() -> None:
    assert extension_tag("libfoo.1.2.so") is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [("libx.so", True), ("libx.so.1.2", True), ("x.so.txt", False), ("x.sorted", False), ("libx.so.1.dbg", False)],
)
def test_names_of_libraries(name: str, expected: bool) -> None:
    assert is_library_name(name) is expected


@pytest.mark.parametrize(
    ("base", "name", "expected"),
    [
        ("lib/site", "a/b.py", "lib/site/a/b.py"),
        ("lib/site", "../../bin/x", "bin/x"),
        ("", "a/./b", "a/b"),
        ("lib", "a..b/c", "lib/a..b/c"),
    ],
)
def test_recorded_paths_become_relative_to_the_prefix(base: str, name: str, expected: str) -> None:
    assert inside(base, name) == expected


@pytest.mark.parametrize(
    ("base", "name"), [("lib", "../../x"), ("lib", "/etc/passwd"), ("", "a/../../x"), ("", "a\0b")]
)
def test_recorded_paths_that_leave_the_prefix_are_refused(base: str, name: str) -> None:
    with pytest.raises(BadRecord):
        inside(base, name)


def test_record_rows_keep_hash_and_size() -> None:
    digest = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
    text = f'"a, b.py",sha256={digest},0\nb.py,md5=xx,1\nRECORD,,\n'

    rows = list(parse_record(text, "lib"))

    assert [(row.path, row.size) for row in rows] == [("lib/a, b.py", 0), ("lib/b.py", 1), ("lib/RECORD", None)]
    assert rows[0].sha256 == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert rows[1].sha256 is None


def test_required_names_are_normalised() -> None:
    assert required_names(["Foo_Bar[x]>=1; y", "a @ https://x", "  !"]) == ["foo-bar", "a"]


def test_record_with_a_field_that_csv_refuses_is_bad() -> None:
    with pytest.raises(BadRecord, match="field larger"):
        parse_record(f'"{"x" * 200_000}",,\n', "lib")


def test_recorded_files_are_rows_and_columns() -> None:
    files = RecordedFiles([RecordedFile("a", "sha256=x", 1), RecordedFile("b")])

    assert list(files) == [("a", "sha256=x", 1), ("b", None, None)]
    assert files.columns == (["a", "b"], ["sha256=x", None], [1, None])
    assert (files[1].path, len(files), len(files[:1]), len(RecordedFiles())) == ("b", 2, 1, 0)
    assert files == RecordedFiles.of(["a", "b"], ["sha256=x", None], [1, None]) != RecordedFiles()


def test_owners_are_known_for_what_is_asked_and_for_all_else() -> None:
    first, last = (
        InstalledPackage(
            kind="pypi",
            name=name,
            version="1",
            path=name,
            files=RecordedFiles(map(RecordedFile, ("x.so", f"{name}.py"))),
        )
        for name in ("first", "last")
    )
    asked = {"x.so": "key", "nobody.so": "key"}

    owners = Owners([first, last], asked, Owners.recorded([first, last], asked))

    assert owners["x.so"] == last  # what lies there now is its own
    assert (owners.get("nobody.so"), owners.get("first.py"), owners.get("gone.py")) == (None, first, None)
    assert list(owners.recorded_by(first)) == ["x.so"]
    assert sorted(owners) == ["first.py", "last.py", "x.so"]
    assert len(owners) == 3


def test_only_a_regular_file_is_read_and_only_so_far(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")

    assert read_regular(tmp_path / "link", 10) == b"0123456789"
    for path, limit in (("file", 9), ("pipe", 10), (".", 10), ("gone", 10)):
        with pytest.raises(OSError, match=r"\w"):
            read_regular(tmp_path / path, limit)


def test_a_file_that_says_less_than_it_has_is_read_to_its_end() -> None:
    assert read_regular("/proc/self/cmdline").split(b"\0")[0]  # of size 0, as stat(2) has it
