"""``dataloader abi``: what it says of small true wheels, and what the loader says of the same files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dataloader.base.errors import ExitCode
from dataloader.cli.app import main
from tests.helpers.elf import make_library, make_opener, needs_gcc, really_open
from tests.helpers.schemas import check_document
from tests.helpers.server import Fault, IndexServer
from tests.helpers.wheels import make_wheel

pytestmark = needs_gcc

_TAG = "cp311-cp311-manylinux_2_17_x86_64"
_RELEASES = {
    "1.0": {"core": "int old(void){return 1;}", "extra": ""},
    "1.1": {"core": "int old(void){return 1;} int kept(void){return 1;}", "extra": "int late(void){return 1;}"},
    "1.2": {"core": "int kept(void){return 1;}", "extra": "int late(void){return 1;}"},
    "1.10": {"core": "int kept(void){return 1;} int late(void){return 1;}", "extra": ""},
    "2.0": {"core": "int kept(void){return 1;}", "extra": ""},
    "3.0": {"core": "int kept(void){return 1;} int late(void){return 1;}"},
}
"""Version of the framework -> source of each of its libraries."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[IndexServer, Path, Path]]:
    """An index with the releases, a companion's wheel, and a folder with the libraries of each release."""
    files, libraries = tmp_path / "files", tmp_path / "libraries"
    for version, sources in _RELEASES.items():
        members: dict[str, str | bytes] = {"frame/__init__.py": ""}
        for name, source in sources.items():
            path = make_library(libraries / version / f"lib{name}.so", source, soname=f"lib{name}.so")
            members[f"frame/lib/lib{name}.so"] = path.read_bytes()
        make_wheel(files, "frame", version, files=members, tag=_TAG)
    make_wheel(files, "frame", "4.0", tag="cp312-cp312-manylinux_2_17_x86_64")
    make_wheel(files, "frame", "5.0a1", tag=_TAG)
    made_for = [libraries / "1.1" / f"lib{name}.so" for name in ("core", "extra")]
    companion = make_library(
        libraries / "companion.so",
        "extern int kept(void); extern int late(void); int use(void){return kept()+late();}",
        needs=made_for,
    )
    (tmp_path / "ours").mkdir()
    wheel = make_wheel(
        tmp_path / "ours", "companion", "0.1", files={"companion/_c.so": companion.read_bytes()}, tag=_TAG
    )
    with IndexServer(files) as server:
        yield server, wheel, libraries


@pytest.fixture
def ask(
    world: tuple[IndexServer, Path, Path], capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, dict[str, Any]]]:
    server, wheel, _ = world

    def run(*words: str, framework: str = "frame") -> tuple[int, dict[str, Any]]:
        line = ["abi", str(wheel), f"--with={framework}", f"--index-url={server.index_url}", "--json", *words]
        code = main(line)
        document = json.loads(capsys.readouterr().out)
        check_document("abi", document)
        return code, document

    return run


def test_each_release_is_what_the_loader_says_of_it(
    world: tuple[IndexServer, Path, Path], ask: Callable[..., tuple[int, dict[str, Any]]], tmp_path: Path
) -> None:
    _, _, libraries = world
    code, document = ask()
    assert code == ExitCode.OK
    opener = make_opener(tmp_path)
    told = {row["version"]: row["loads"] for row in document["releases"]}
    for version in _RELEASES:
        really = really_open(opener, libraries / "companion.so", library_path=str(libraries / version))
        assert told.pop(version) is (really == "ok"), (version, really)
    assert told == {"4.0": None}  # no wheel of this Python; a pre-release is not looked at
    assert document["answer"] == "loads with frame 1.1 to 1.10"
    assert document["windows"] == [["1.1", "1.10"]]
    missing = {row["version"]: row["missing"] for row in document["releases"]}
    assert missing["2.0"] == {"companion/_c.so": ["late"]}
    assert [row["why"] for row in document["releases"] if row["version"] == "3.0"] == [["it has no libextra.so"]]


def test_what_was_read_once_is_not_fetched_again(
    world: tuple[IndexServer, Path, Path], ask: Callable[..., tuple[int, dict[str, Any]]]
) -> None:
    server, _, _ = world
    first = ask()
    before = len([each for each in server.requests if each.path.endswith(".whl")])
    assert all("range" in each.headers for each in server.requests if each.path.endswith(".whl"))
    assert ask() == first
    again = [each for each in server.requests if each.path.endswith(".whl")][before:]
    assert {each.headers["range"] for each in again} == {"bytes=-32768"}  # the directories alone


def test_a_server_without_ranges_gives_the_same(
    world: tuple[IndexServer, Path, Path], ask: Callable[..., tuple[int, dict[str, Any]]]
) -> None:
    server, _, _ = world
    server.ranges = False
    _, document = ask()
    assert document["answer"] == "loads with frame 1.1 to 1.10"


def test_a_release_that_cannot_be_read_is_unknown_and_ends_a_window(
    world: tuple[IndexServer, Path, Path], ask: Callable[..., tuple[int, dict[str, Any]]]
) -> None:
    server, _, _ = world
    server.fault("/files/frame-1.2-*.whl", Fault("status", status=404))
    _, document = ask()
    assert document["answer"] == "loads with frame 1.1 and 1.10"
    assert {row["version"] for row in document["releases"] if row["loads"] is None} == {"1.2", "4.0"}


def test_versions_narrow_what_is_looked_at_and_no_release_is_a_no(
    ask: Callable[..., tuple[int, dict[str, Any]]],
) -> None:
    code, document = ask(framework="frame>=1.0,<1.2")
    assert [row["version"] for row in document["releases"]] == ["1.0", "1.1"]
    assert code == ExitCode.OK
    code, document = ask(framework="frame==2.0")
    assert (code, document["status"]) == (ExitCode.NO, "error")
    assert document["releases"][0]["missing"] == {"companion/_c.so": ["late"]}
    assert document["answer"] == "loads with no release of frame that was looked at"


def test_what_another_library_may_define_is_unknown(
    world: tuple[IndexServer, Path, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    server, _, libraries = world
    other = make_library(tmp_path / "libother.so", "int strange(void){return 1;}", soname="libother.so")
    library = make_library(
        tmp_path / "more.so",
        "extern int kept(void); extern int strange(void); int use(void){return kept()+strange();}",
        needs=[libraries / "1.1" / "libcore.so", other],
    )
    wheel = make_wheel(tmp_path, "more", "0.1", files={"more/_c.so": library.read_bytes()}, tag=_TAG)
    line = ["abi", str(wheel), "--with=frame<1.10", f"--index-url={server.index_url}", "--json"]
    assert main(line) == ExitCode.NO
    document = json.loads(capsys.readouterr().out)
    told = {row["version"]: (row["loads"], row["why"]) for row in document["releases"]}
    assert told["1.0"][0] is False
    assert document["answer"] == (
        "loads for certain with no release of frame that was looked at; with 1.1 to 1.2 it is not known"
    )
    assert told["1.2"] == (None, ["more/_c.so needs 1 symbol that libother.so may define"])


@pytest.mark.parametrize(
    ("words", "framework", "code", "error"),
    [
        ((), "frame ==", ExitCode.USAGE, "requirement-invalid"),
        ((), "frame; python_version > '3'", ExitCode.USAGE, "requirement-unsupported"),
        ((), "frame>=9", ExitCode.NO, "unknown-package"),
        ((), "nobody-has-this", ExitCode.NO, "unknown-package"),
        (("--offline",), "frame", ExitCode.RETRY, "offline-missing"),
    ],
)
def test_what_cannot_be_asked_is_said(
    ask: Callable[..., tuple[int, dict[str, Any]]], words: tuple[str, ...], framework: str, code: int, error: str
) -> None:
    found, document = ask(*words, framework=framework)
    assert (found, document["error"]["code"]) == (code, error)


@pytest.mark.parametrize(
    ("name", "content", "code", "error"),
    [
        ("gone-1.0-py3-none-any.whl", None, ExitCode.USAGE, "wheel-missing"),
        ("notes.txt", b"", ExitCode.USAGE, "wheel-missing"),
        ("broken-1.0-py3-none-any.whl", b"PK nothing", ExitCode.INTEGRITY, "wheel-malformed"),
    ],
)
def test_what_is_no_wheel_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes | None, code: int, error: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert main(["abi", str(tmp_path / name), "--with=frame", "--json"]) == code
    assert json.loads(capsys.readouterr().out)["error"]["code"] == error


def test_a_wheel_without_libraries_is_no_question(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wheel = make_wheel(tmp_path, "plain", "1.0")
    assert main(["abi", str(wheel), "--with=frame", "--json"]) == ExitCode.USAGE
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "nothing-compiled"
