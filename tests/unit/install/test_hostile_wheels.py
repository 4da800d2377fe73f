"""Wheels that are broken, or that want more than their place: refused, and nothing is left of them."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dataloader.base.digests import LARGE, encode
from dataloader.base.errors import DataloaderError, IntegrityError, PrefixError
from dataloader.install.sync import sync_prefix
from dataloader.machine.detect import detect_target
from dataloader.prefix.state import read_state
from dataloader.verify.run import verify_prefix
from tests.helpers.locks import FolderDownloads, Heard, lock_of, options_for
from tests.helpers.wheels import data_folder, make_wheel


def sync(tmp_path: Path, *wheels: Path, **changes: object) -> Heard:
    heard = Heard()
    options = options_for(tmp_path, **changes)
    asyncio.run(sync_prefix(lock_of(*wheels), tmp_path / "env", options, heard, FolderDownloads()))
    return heard


def recorded(prefix: Path, project: str) -> set[str]:
    (record,) = prefix.rglob(f"{project.replace('-', '_')}-1.dist-info/RECORD")
    return {line.split(",")[0] for line in record.read_text().splitlines()}


def refusal(tmp_path: Path, *wheels: Path, **changes: object) -> DataloaderError:
    with pytest.raises(DataloaderError) as caught:
        sync(tmp_path, *wheels, **changes)
    assert not (tmp_path / "env").exists()
    assert not list(tmp_path.glob(".env*"))
    return caught.value


def rewritten(wheel: Path, *, add: dict[str, bytes] | None = None, drop: str = "", mode: int = 0o100644) -> Path:
    """The same wheel with members added or one left out; RECORD stays as it was."""
    with zipfile.ZipFile(wheel) as archive:
        members = {name: archive.read(name) for name in archive.namelist() if not name.endswith(drop or "\0")}
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in {**members, **(add or {})}.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, data)
    return wheel


@pytest.mark.parametrize(
    "path", ["../outside.py", "/etc/outside.py", "a/../../outside.py", "..\\outside.py", "a/./b.py", "a//b.py"]
)
def test_path_that_reaches_outside_is_refused(tmp_path: Path, path: str) -> None:
    wheel = rewritten(make_wheel(tmp_path / "w", "evil", "1"), add={path: b"boo"})

    assert refusal(tmp_path, wheel).code == "archive-escapes"
    assert not list(tmp_path.rglob("outside*"))


def test_data_folder_cannot_climb_out(tmp_path: Path) -> None:
    folder = data_folder("evil", "1", "data")
    wheel = rewritten(make_wheel(tmp_path / "w", "evil", "1"), add={f"{folder}/../../../outside.py": b"boo"})

    assert refusal(tmp_path, wheel).code == "archive-escapes"


@pytest.mark.parametrize("path", ["pyvenv.cfg", "conda-meta/x.json", ".dataloader/state.json"])
def test_what_belongs_to_the_environment_is_refused(tmp_path: Path, path: str) -> None:
    wheel = make_wheel(tmp_path / "w", "evil", "1", files={f"{data_folder('evil', '1', 'data')}/{path}": "x"})

    assert refusal(tmp_path, wheel).code == "archive-escapes"


def test_interpreter_cannot_be_replaced(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "w", "evil", "1", files={f"{data_folder('evil', '1', 'scripts')}/python": "x"})

    assert refusal(tmp_path, wheel).code == "path-clash"


@pytest.mark.parametrize("name", ["../../evil", "a/b", "..", "/bin/sh"])
def test_script_name_that_is_a_path_is_refused(tmp_path: Path, name: str) -> None:
    wheel = make_wheel(tmp_path / "w", "evil", "1", entry_points={"console_scripts": {name: "evil:main"}})

    assert refusal(tmp_path, wheel).code == "archive-escapes"


def test_symbolic_link_in_an_archive_becomes_a_plain_file(tmp_path: Path) -> None:
    wheel = rewritten(make_wheel(tmp_path / "w", "linked", "1"), add={"way_out": b"/etc"}, mode=0o120777)

    sync(tmp_path, wheel)

    (found,) = (tmp_path / "env").rglob("way_out")
    assert not found.is_symlink()
    assert found.read_text() == "/etc"


def torn(tmp_path: Path) -> Path:
    """A wheel of which a member differs from RECORD."""
    wheel = make_wheel(tmp_path / "w", "torn", "1", files={"torn/__init__.py": "published = 1\n", "torn/b.py": ""})
    return rewritten(wheel, drop="torn/__init__.py", add={"torn/__init__.py": b"changed = 1\n"})


def test_content_that_differs_from_record_is_told_and_recorded_as_it_is(tmp_path: Path) -> None:
    heard = sync(tmp_path, torn(tmp_path))

    (warning,) = heard.warnings
    assert "torn 1 differs from its own RECORD in torn/__init__.py; " in warning
    (record,) = tmp_path.glob("env/lib/*/site-packages/torn-1.dist-info/RECORD")
    digest = encode(hashlib.sha256(b"changed = 1\n").digest())
    assert f"torn/__init__.py,sha256={digest},12" in record.read_text().splitlines()
    published = encode(hashlib.sha256(b"published = 1\n").digest())
    state = read_state(tmp_path / "env")
    assert state is not None
    ((path, hashes),) = state.slips.items()
    assert path.endswith("site-packages/torn/__init__.py")
    assert hashes == {"published": f"sha256={published}", "installed": f"sha256={digest}"}
    (found,) = verify_prefix(tmp_path / "env", target=detect_target()).findings
    assert (found.severity, found.kind, found.path) == ("note", "record-differs", path)


@pytest.mark.parametrize("in_cache", [False, True])
def test_strict_records_refuse_it_and_name_the_members(tmp_path: Path, in_cache: bool) -> None:
    wheel = torn(tmp_path)
    if in_cache:
        sync(tmp_path, wheel)
        (tmp_path / "env").rename(tmp_path / "before")

    error = refusal(tmp_path, wheel, strict_records=True)

    assert (error.code, error.exit_code) == ("wheel-record-mismatch", 4)
    assert error.causes == ("torn 1: torn/__init__.py",)


@pytest.mark.parametrize("spell", [bytes.hex, lambda raw: raw.hex().upper(), lambda raw: encode(raw) + "="])
def test_hashes_that_are_right_are_right_however_they_are_written(
    tmp_path: Path, spell: Callable[[bytes], str]
) -> None:
    wheel = make_wheel(tmp_path / "w", "large", "1", files={"large/data.bin": b"a" * 10})
    with_record(wheel, r"(data\.bin,sha256=)[^,]*", rf"\g<1>{spell(hashlib.sha256(b'a' * 10).digest())}")

    assert sync(tmp_path, wheel, strict_records=True).warnings == []


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A wheel with a member of which the archive's hash is proof enough."""
    return make_wheel(tmp_path / "w", "large", "1", files={"large/data.bin": b"a" * (LARGE + 1)})


def with_record(wheel: Path, pattern: str, replacement: str) -> Path:
    """The same wheel with another RECORD."""
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read("large-1.dist-info/RECORD").decode()
    changed, count = re.subn(pattern, replacement, text)
    assert count == 1
    return rewritten(wheel, drop=".dist-info/RECORD", add={"large-1.dist-info/RECORD": changed.encode()})


def test_a_large_member_that_differs_from_record_is_found_by_verify_and_mended_by_its_advice(
    tmp_path: Path, large: Path
) -> None:
    rewritten(large, drop="data.bin", add={"large/data.bin": b"b" * (LARGE + 1)})
    assert sync(tmp_path, large).warnings == []
    (found,) = verify_prefix(tmp_path / "env", target=detect_target()).findings
    assert (found.severity, found.kind, found.fix) == (
        *("error", "file-changed", "dataloader install --reinstall large==1"),
    )

    (warning,) = sync(tmp_path, large, rebuild=True).warnings

    assert "large 1 differs from its own RECORD in large/data.bin" in warning
    (found,) = verify_prefix(tmp_path / "env", target=detect_target()).findings
    assert (found.severity, found.kind) == ("note", "record-differs")


def test_strict_records_read_large_members_too(tmp_path: Path, large: Path) -> None:
    rewritten(large, drop="data.bin", add={"large/data.bin": b"b" * (LARGE + 1)})

    assert refusal(tmp_path, large, strict_records=True).causes == ("large 1: large/data.bin",)


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        (r"(data\.bin,sha256=).{43},\d+", rf"\1{'x' * 43},7"),
        (r"(data\.bin,sha256=).{9}", r"\1"),
        (r"(data\.bin,)sha256=[^,]*", rf"\1sha512={'x' * 86}"),
    ],
)
def test_a_large_member_of_which_record_says_the_impossible_is_hashed(
    tmp_path: Path, large: Path, pattern: str, replacement: str
) -> None:
    (warning,) = sync(tmp_path, with_record(large, pattern, replacement)).warnings

    assert "large 1 differs from its own RECORD in large/data.bin" in warning
    assert [found.kind for found in verify_prefix(tmp_path / "env", target=detect_target()).findings] == [
        "record-differs"
    ]


def test_what_rots_in_the_cache_and_the_environment_is_mended_by_the_advice(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "w", "rots", "1", files={"rots.py": "good = 1\n"})
    sync(tmp_path, wheel)
    (module,) = tmp_path.glob("env/lib/*/site-packages/rots.py")
    before = module.stat()
    module.write_text("rots = 1\n")
    os.utime(module, ns=(before.st_atime_ns, before.st_mtime_ns))  # as when a disk or a bit flips
    (found,) = verify_prefix(tmp_path / "env", target=detect_target()).findings
    assert (found.severity, found.kind, found.fix) == (
        *("error", "file-changed", "dataloader install --reinstall rots==1"),
    )

    heard = sync(tmp_path, wheel, rebuild=True)

    assert ["cache entry is damaged" in each for each in heard.warnings] == [True]
    assert module.read_text() == "good = 1\n"
    assert verify_prefix(tmp_path / "env", target=detect_target()).findings == ()


def test_a_large_member_that_record_forgets_is_hashed(tmp_path: Path, large: Path) -> None:
    sync(tmp_path, with_record(large, r"large/data\.bin,.*\n", ""))

    (record,) = tmp_path.glob("env/lib/*/site-packages/large-1.dist-info/RECORD")
    digest = encode(hashlib.sha256(b"a" * (LARGE + 1)).digest())
    assert f"large/data.bin,sha256={digest},{LARGE + 1}" in record.read_text().splitlines()


@pytest.mark.parametrize("part", [".dist-info/RECORD", ".dist-info/WHEEL", ".dist-info/METADATA"])
def test_wheel_that_lacks_a_part_is_refused(tmp_path: Path, part: str) -> None:
    assert refusal(tmp_path, rewritten(make_wheel(tmp_path / "w", "part", "1"), drop=part)).code == "wheel-malformed"


def test_archive_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "w", "noise", "1")
    wheel.write_bytes(b"this is not a zip file" * 100)

    assert refusal(tmp_path, wheel).code == "wheel-malformed"


def test_truncated_member_is_refused(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "w", "short", "1", files={"short.py": "x = 1\n" * 10_000})
    data = bytearray(wheel.read_bytes())
    data[60:90] = bytes(30)
    wheel.write_bytes(data)

    assert refusal(tmp_path, wheel).code == "wheel-malformed"


def test_wheel_of_another_project_is_refused(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "w", "alpha", "1")
    disguised = wheel.rename(wheel.with_name("beta-1-py3-none-any.whl"))

    assert refusal(tmp_path, disguised).code == "wheel-malformed"


def test_wheel_of_another_version_is_refused(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "w", "alpha", "1")
    disguised = wheel.rename(wheel.with_name("alpha-2-py3-none-any.whl"))

    assert refusal(tmp_path, disguised).code == "wheel-identity"


def test_wrong_hash_is_refused(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "w", "alpha", "1")
    lock = lock_of(wheel)
    rewritten(wheel, add={"more.py": b""})

    with pytest.raises(IntegrityError) as caught:
        asyncio.run(sync_prefix(lock, tmp_path / "env", options_for(tmp_path), Heard(), FolderDownloads()))

    assert caught.value.code == "hash-mismatch"


def test_two_wheels_with_one_path_and_two_contents_are_refused(tmp_path: Path) -> None:
    one = make_wheel(tmp_path / "w", "one", "1", files={"shared/core.py": "1"})
    two = make_wheel(tmp_path / "w", "two", "1", files={"shared/core.py": "2"})

    error = refusal(tmp_path, one, two)

    assert isinstance(error, PrefixError)
    assert error.code == "path-clash"
    assert "two and one both install" in error.message


def test_two_wheels_with_one_path_and_one_content_share_it(tmp_path: Path) -> None:
    one = make_wheel(tmp_path / "w", "one", "1", files={"shared/__init__.py": "# same\n", "shared/a.py": ""})
    two = make_wheel(tmp_path / "w", "two", "1", files={"shared/__init__.py": "# same\n", "shared/b.py": ""})

    assert sync(tmp_path, one, two).warnings == []


def test_marker_of_a_namespace_yields_to_code(tmp_path: Path) -> None:
    one = make_wheel(tmp_path / "w", "one", "1", files={"shared/__init__.py": "", "shared/a.py": ""})
    two = make_wheel(tmp_path / "w", "two", "1", files={"shared/__init__.py": "code = 1\n"})

    heard = sync(tmp_path, one, two)

    (found,) = (tmp_path / "env").rglob("shared/__init__.py")
    assert found.read_text() == "code = 1\n"
    assert len(heard.warnings) == 1


def test_command_goes_to_the_project_of_that_name(tmp_path: Path) -> None:
    cli = make_wheel(tmp_path / "w", "webby-cli", "1", entry_points={"console_scripts": {"webby": "webby_cli:main"}})
    own = make_wheel(tmp_path / "w", "webby", "1", entry_points={"console_scripts": {"webby": "webby:main"}})
    late = make_wheel(tmp_path / "w", "zebra", "1", entry_points={"console_scripts": {"webby": "zebra:main"}})

    heard = sync(tmp_path, cli, own, late)

    assert "from webby import main" in (tmp_path / "env/bin/webby").read_text()
    assert len(heard.warnings) == 2
    assert [
        name for name in ("webby-cli", "webby", "zebra") if "../../../bin/webby" in recorded(tmp_path / "env", name)
    ] == ["webby"]


def test_loose_tests_of_two_wheels_are_let_pass(tmp_path: Path) -> None:
    loose = ("tests/test_it.py", "LICENSE.txt", "build_backend.py")
    one = make_wheel(tmp_path / "w", "one", "1", files=dict.fromkeys(loose, "1"))
    two = make_wheel(tmp_path / "w", "two", "1", files=dict.fromkeys(loose, "2"))

    assert len(sync(tmp_path, one, two).warnings) == 3
    assert recorded(tmp_path / "env", "one") >= {"tests/test_it.py", "LICENSE.txt"}
    assert not recorded(tmp_path / "env", "two") & {"tests/test_it.py", "LICENSE.txt"}


def test_member_that_record_forgets_is_installed_and_recorded(tmp_path: Path) -> None:
    wheel = rewritten(make_wheel(tmp_path / "w", "more", "1"), add={"forgotten.py": b"x = 1\n"})

    sync(tmp_path, wheel)

    (record,) = (tmp_path / "env").rglob("more-1.dist-info/RECORD")
    assert "forgotten.py,sha256=" in record.read_text()
