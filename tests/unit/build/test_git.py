"""Repositories that mean harm, are half gone, or were left half fetched."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from dataloader.base.errors import DataloaderError
from dataloader.base.reporter import Reporter
from dataloader.build.git import FOLDER, Repository
from tests.helpers.repositories import GitServer, committed, git, needs_git

pytestmark = needs_git


def _repository(url: str, tmp_path: Path, **environ: str) -> Repository:
    return Repository(url, tmp_path / "cache", {**os.environ, **environ}, Reporter())


def _checked_out(url: str, tmp_path: Path, ref: str | None = None, **environ: str) -> Path:
    async def run() -> None:
        repository = _repository(url, tmp_path, **environ)
        await repository.checkout(await repository.commit(ref), tmp_path / "out")

    asyncio.run(run())
    return tmp_path / "out"


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    folder = tmp_path / "served" / "plain"
    folder.mkdir(parents=True)
    (folder / "file").write_text("content\n")
    committed(folder)
    return folder


@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside", "loop"])
def test_links_that_lead_out_are_refused(plain: Path, tmp_path: Path, target: str) -> None:
    (plain / "sub").mkdir()
    (plain / "sub" / "loop").symlink_to(target)
    (plain / "fine").symlink_to("file")
    committed(plain)

    if target == "loop":
        assert (_checked_out(plain.as_uri(), tmp_path) / "fine").read_text() == "content\n"
        return
    with pytest.raises(DataloaderError) as caught:
        _checked_out(plain.as_uri(), tmp_path)
    assert (caught.value.code, int(caught.value.exit_code)) == ("source-malformed", 4)


@pytest.mark.parametrize("url", ["ext::sh -c 'touch {note}'", "file://{served}/plain", "-u./touch", "../../../plain"])
def test_a_submodule_leads_to_no_program_and_no_path_of_this_machine(plain: Path, tmp_path: Path, url: str) -> None:
    note = tmp_path / "note"
    said = url.format(note=note, served=plain.parent)
    (plain / ".gitmodules").write_text(f'[submodule "a"]\n\tpath = a\n\turl = "{said}"\n')
    commit = git(plain, "rev-parse", "HEAD")
    git(plain, "update-index", "--add", "--cacheinfo", f"160000,{commit},a")
    (plain / "a").mkdir()
    committed(plain)

    with GitServer(plain.parent) as server, pytest.raises(DataloaderError) as caught:
        _checked_out(f"{server.url}/plain", tmp_path)

    assert caught.value.code in {"source-malformed", "source-missing", "source-unreachable"}
    assert not note.exists()


def test_variables_of_a_hook_lead_nowhere_else(plain: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    committed(other)
    hook = {"GIT_DIR": str(other / ".git"), "GIT_WORK_TREE": str(other), "GIT_INDEX_FILE": str(other / "index")}

    assert (_checked_out(plain.as_uri(), tmp_path, **hook) / "file").is_file()
    assert git(other, "status", "--porcelain") == ""


def test_what_is_in_the_cache_needs_no_server_and_a_commit_that_is_gone_is_told(plain: Path, tmp_path: Path) -> None:
    first = git(plain, "rev-parse", "HEAD")
    _checked_out(plain.as_uri(), tmp_path)
    plain.rename(plain.with_name("moved"))

    asyncio.run(_repository(plain.as_uri(), tmp_path).checkout(first, tmp_path / "again"))
    assert (tmp_path / "again" / "file").is_file()
    with pytest.raises(DataloaderError) as caught:
        asyncio.run(_repository(plain.as_uri(), tmp_path).commit("f" * 40))
    assert caught.value.code == "source-missing"


def test_a_fetch_that_was_killed_is_made_good(plain: Path, tmp_path: Path) -> None:
    asyncio.run(_repository(plain.as_uri(), tmp_path).commit(None))
    (kept,) = (path for path in (tmp_path / "cache" / FOLDER).iterdir() if path.is_dir())
    (kept / "HEAD").unlink()  # killed while it was made

    assert (_checked_out(plain.as_uri(), tmp_path) / "file").is_file()


def test_files_of_lfs_are_not_built_in_as_what_stands_for_them(plain: Path, tmp_path: Path) -> None:
    (plain / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 3\n"
    (plain / "data.bin").write_text(pointer)
    git(plain, "-c", "filter.lfs.clean=cat", "-c", "filter.lfs.process=", "add", "--all")
    git(plain, "-c", "filter.lfs.clean=cat", "-c", "filter.lfs.process=", "commit", "--quiet", "-m", "data")
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "git").symlink_to("/usr/bin/git")

    settings = tmp_path / "gitconfig"  # what git-lfs leaves in it
    settings.write_text('[filter "lfs"]\n\tprocess = git-lfs filter-process\n\trequired = true\n')

    with pytest.raises(DataloaderError) as caught:
        _checked_out(plain.as_uri(), tmp_path, PATH=str(programs), GIT_CONFIG_GLOBAL=str(settings))
    assert caught.value.code == "git-lfs-missing"
    assert "data.bin" in caught.value.causes[0]


@pytest.mark.skipif(shutil.which("git-lfs") is None, reason="no git-lfs")
def test_files_of_lfs_are_brought(plain: Path, tmp_path: Path) -> None:
    """git-lfs has a transfer of its own for repositories of this machine."""
    lfs = [word for name, call in (("clean", "clean -- %f"), ("smudge", "smudge -- %f"), ("process", "filter-process"))
           for word in ("-c", f"filter.lfs.{name}=git-lfs {call}")]  # fmt: skip
    (plain / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    (plain / "data.bin").write_bytes(b"many bytes")
    git(plain, *lfs, "add", "--all")
    git(plain, *lfs, "commit", "--quiet", "-m", "data")

    assert (_checked_out(plain.as_uri(), tmp_path) / "data.bin").read_bytes() == b"many bytes"
