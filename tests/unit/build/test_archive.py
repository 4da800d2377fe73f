"""Source archives: what they say of themselves, and that nothing of them lands outside."""

from __future__ import annotations

import io
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest

from dataloader.base.errors import IntegrityError
from dataloader.build.archive import said_of, unpack


def packed(path: Path, members: dict[str, str]) -> Path:
    if path.name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in members.items():
                archive.writestr(name, text)
    else:
        with tarfile.open(path, "w:gz") as tar:
            for name, text in members.items():
                member = tarfile.TarInfo(name)
                member.size = len(text.encode())
                tar.addfile(member, io.BytesIO(text.encode()))
    return path


HEAD = "Name: demo\nVersion: 1.0\nRequires-Dist: lib>=1\nRequires-Python: >=3.8\n"


@pytest.mark.parametrize("suffix", [".tar.gz", ".zip"])
@pytest.mark.parametrize(
    ("text", "believed"),
    [
        (f"Metadata-Version: 2.2\n{HEAD}", True),
        (f"Metadata-Version: 2.4\n{HEAD}Dynamic: license-file\n", True),
        (f"Metadata-Version: 2.4\n{HEAD}Dynamic: Requires-Dist\n", False),
        (f"Metadata-Version: 2.2\n{HEAD}Dynamic: provides-extra\n", False),
        (f"Metadata-Version: 2.1\n{HEAD}", False),
        (f"Metadata-Version: 10\n{HEAD}", False),
        ("", False),
    ],
)
def test_what_is_believed_unbuilt(tmp_path: Path, suffix: str, text: str, believed: bool) -> None:
    members = {"demo-1.0/sub/PKG-INFO": f"Metadata-Version: 2.2\n{HEAD}Requires-Dist: wrong\n"}
    path = packed(tmp_path / f"demo-1.0{suffix}", members | ({"demo-1.0/PKG-INFO": text} if text else {}))

    found = said_of(path, path.name, project="demo", version="1.0")

    assert (found is not None) == believed
    if found is not None:
        assert (found.requires_dist, found.requires_python) == (("lib>=1",), ">=3.8")


@pytest.mark.parametrize("suffix", [".tar.gz", ".zip"])
def test_an_archive_is_unpacked_to_the_root_of_its_project(tmp_path: Path, suffix: str) -> None:
    path = packed(tmp_path / f"demo{suffix}", {"demo-1.0/pyproject.toml": "x", "demo-1.0/a/b.py": "y"})

    root = unpack(path, path.name, tmp_path / "out")

    assert root == tmp_path / "out" / "demo-1.0"
    assert (root / "a" / "b.py").read_text() == "y"


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "demo/../../evil"])
def test_nothing_lands_outside(tmp_path: Path, name: str) -> None:
    path = packed(tmp_path / "demo.tar.gz", {"demo-1.0/setup.py": "x", name: "evil"})

    with suppress(IntegrityError):
        unpack(path, path.name, tmp_path / "deep" / "out")
    assert not [found for found in tmp_path.rglob("evil") if not found.is_relative_to(tmp_path / "deep" / "out")]
    assert not Path("/etc/evil").exists()


def test_links_that_lead_outside_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "demo.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        link = tarfile.TarInfo("demo-1.0/out")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)

    with pytest.raises(IntegrityError, match="cannot be unpacked"):
        unpack(path, path.name, tmp_path / "out")


@pytest.mark.parametrize("cut", [0, 10, 60])
def test_a_damaged_archive_is_named(tmp_path: Path, cut: int) -> None:
    path = packed(tmp_path / "demo.tar.gz", {"demo-1.0/PKG-INFO": HEAD * 40})
    path.write_bytes(path.read_bytes()[:cut])

    for read in (
        lambda: said_of(path, "demo-1.0.tar.gz", project="demo", version="1.0"),
        lambda: unpack(path, "demo-1.0.tar.gz", tmp_path / "out"),
    ):
        with pytest.raises(IntegrityError) as error:
            read()
        assert (error.value.code, "demo-1.0.tar.gz" in error.value.message) == ("source-malformed", True)
