"""Repositories: their commit is in the lock, moves when asked to, and is checked out whole, or the reason is told."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import tomli

from tests.functional.test_builds import Bench, desk, shelf
from tests.helpers.builds import make_source
from tests.helpers.repositories import GitServer, committed, git, needs_git
from tests.helpers.wheels import make_wheel

__all__ = ["desk", "shelf"]
pytestmark = needs_git


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repositories" / "demo"
    make_source(folder, "demo", requires=["lib"], as_tree=True)
    committed(folder)
    git(folder, "tag", "v1")
    return folder


def _version(repository: Path, version: str) -> str:
    make_source(repository, "demo", version, as_tree=True)
    return committed(repository, version)


def test_over_http_by_a_tag(desk: Bench, repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    with GitServer(repository.parent) as server:
        said = f"demo @ git+{server.url}/demo@v1"
        error = desk.fails(2, "requirement-unsupported", "install", said, "-p", "env")
        assert any(text.startswith("--build demo ") for text in error["suggestions"]), error
        assert server.seen == []

        desk.ok("install", said, "--build", "demo", "-p", "env")

        assert desk.locked("demo")["pypi"] == f"git+{server.url}/demo@{commit}"
        assert desk.python("import demo, lib; print(demo.VERSION)") == "1.0\n"
        assert desk.ran() == ["asked demo 1.0", "built demo 1.0"]
        (info,) = (desk.here / "env" / "lib").glob("python*/site-packages/demo-1.0.dist-info")
        assert json.loads((info / "direct_url.json").read_text()) == {
            "url": f"{server.url}/demo",
            "vcs_info": {"vcs": "git", "commit_id": commit, "requested_revision": "v1"},
        }
        before = len(server.seen)
        desk.ok("sync", "-p", "other", "--lockfile", "dataloader.lock")
        assert desk.ran() == []
        assert len(server.seen) == before  # what is built needs no repository
    desk.ok("lock", said, "--build", "demo")
    build = desk.locked("demo")["build"]
    assert isinstance(build, dict)
    (stored,) = (path for path in (desk.cache / "wheels").rglob(build["key"]) if path.is_dir())
    shutil.rmtree(stored)
    desk.ok("sync", "-p", "third", "--lockfile", "dataloader.lock", "--offline")
    assert desk.ran() == ["built demo 1.0"]


def test_a_branch_stays_where_it_was_locked_until_it_is_upgraded(desk: Bench, repository: Path, shelf: Path) -> None:
    first = git(repository, "rev-parse", "HEAD")
    manifest = desk.here / "dataloader.toml"
    manifest.write_text("[workspace]\nchannels = []\n")
    url = repository.as_uri()

    desk.ok("add", f"demo @ git+{url}@main", "--build", "demo")
    assert tomli.loads(manifest.read_text())["pypi-dependencies"]["demo"] == {"git": url, "rev": "main"}
    second = _version(repository, "2.0")
    desk.ok("add", "lib")
    assert desk.locked("demo")["pypi"] == f"git+{url}@{first}"
    desk.ok("lock", "--upgrade")
    assert (desk.locked("demo")["pypi"], desk.locked("demo")["version"]) == (f"git+{url}@{second}", "2.0")
    assert desk.ok("lock") == ""  # nothing differs
    make_wheel(shelf, "demo", "9.0")
    assert desk.json("outdated", "--refresh")["packages"] == []  # of that name, and of another project
    assert f"built from git+{url}@{second}" in desk.ok("explain", "demo")
    desk.ok("export", "pyproject.toml", "-o", "pyproject.toml")
    exported = tomli.loads((desk.here / "pyproject.toml").read_text())
    assert exported["tool"]["uv"]["sources"] == {"demo": {"git": url, "rev": second}}
    manifest.write_text(manifest.read_text().replace('rev = "main"', 'tag = "v1"'))
    desk.fails(1, "lock-outdated", "sync", "--locked")
    desk.ok("sync")
    assert desk.locked("demo")["pypi"] == f"git+{url}@{first}"
    desk.ok("remove", "demo")
    assert "- pypi: git+" not in desk.lock.read_text()


def test_a_folder_of_it_with_its_submodules(desk: Bench, tmp_path: Path) -> None:
    part, whole = tmp_path / "repositories" / "part", tmp_path / "repositories" / "whole"
    part.mkdir(parents=True)
    (part / "data.txt").write_text("of the submodule\n")
    committed(part)
    make_source(whole / "py", "demo", taken=["data/data.txt"], as_tree=True)
    committed(whole)
    git(whole, "submodule", "--quiet", "add", "../part", "py/data")
    committed(whole)

    with GitServer(tmp_path / "repositories") as server:
        desk.ok("install", f"demo @ git+{server.url}/whole#subdirectory=py", "--build", "demo", "-p", "env")

    (site,) = (desk.here / "env" / "lib").glob("python*/site-packages")
    assert (site / "data" / "data.txt").read_text() == "of the submodule\n"
    assert desk.locked("demo")["pypi"].endswith("#subdirectory=py")  # type: ignore[attr-defined]


def test_a_password_is_heeded_and_written_nowhere(desk: Bench, repository: Path, tmp_path: Path) -> None:
    with GitServer(repository.parent, login="me:secret-word") as server:
        plain = f"git+{server.url}/demo"
        error = desk.fails(2, "source-auth", "lock", f"demo @ {plain}", "--build", "demo")
        assert "git ls-remote" in error["suggestions"][0]

        said = plain.replace("://", "://me:secret-word@")
        out = desk.run("install", f"demo @ {said}", "--build", "demo", "-p", "env", "-v")

    assert out.returncode == 0, out.stderr
    assert "secret-word" not in out.stdout + out.stderr + desk.lock.read_text()
    for path in (*desk.cache.rglob("*"), *(desk.here / "env").rglob("*")):
        assert not (path.is_file() and b"secret-word" in path.read_bytes()), path


@pytest.mark.parametrize(
    ("exit_code", "code", "said"),
    [
        (1, "source-missing", "{url}@no-such-branch"),
        (1, "source-missing", "{url}@" + "0" * 40),
        (1, "source-missing", "{url}/nowhere"),
        (2, "requirement-invalid", "{url}@--upload-pack=touch"),
        (2, "requirement-invalid", "{url}#subdirectory=../../etc"),
        (2, "requirement-invalid", "{url}#subdirectory=nowhere"),
        (2, "requirement-invalid", "ext::sh -c true"),
        (3, "source-unreachable", "http://127.0.0.1:9/demo.git"),
    ],
)
def test_what_cannot_be_had_is_told(desk: Bench, repository: Path, exit_code: int, code: str, said: str) -> None:
    source = said.format(url=repository.as_uri())
    manifest = desk.here / "dataloader.toml"
    git_part, _, sub = source.partition("#subdirectory=")
    url, at, ref = git_part.rpartition("@")
    lines = {"git": url if at else git_part, **({"rev": ref} if at else {}), **({"subdirectory": sub} if sub else {})}
    table = ", ".join(f"{key} = {json.dumps(value)}" for key, value in lines.items())
    manifest.write_text(
        f'[workspace]\nchannels = []\n[pypi-dependencies]\ndemo = {{ {table} }}\n[build]\nallow = ["demo"]\n'
    )

    if code == "requirement-invalid" and sub != "nowhere":
        desk.fails(2, "manifest-invalid", "lock")
        return
    desk.fails(exit_code, code, "lock")


def _clone(desk: Bench, advice: str) -> None:
    """Run the line that is advised, as a shell does."""
    (line,) = re.findall(r"`(git clone [^`]*)`", advice)
    subprocess.run(["sh", "-c", line], cwd=desk.here, check=True, capture_output=True)


EDITABLE = {
    "a line of pip's": ("requirements.txt", "-e git+{url}@v1#egg=demo\n"),
    "requirements, at a tag": ("requirements.txt", "-e git+{url}@v1#egg=demo\n"),
    "an archive": ("requirements.txt", "-e ./demo-1.0.tar.gz\n"),
    "an archive elsewhere": ("requirements.txt", "-e https://127.0.0.1:9/demo-1.0.tar.gz\n"),
    "conda's part for pip": ("environment.yml", "channels: []\ndependencies: [{{pip: ['-e git+{url}#egg=demo']}}]\n"),
    "Poetry": ("pyproject.toml", '[tool.poetry.dependencies]\ndemo = {{git = "{url}", develop = true}}\n'),
    "uv": (
        "pyproject.toml",
        (
            '[project]\nname = "x"\nversion = "1"\ndependencies = ["demo"]\n'
            '[tool.uv.sources]\ndemo = {{git = "{url}", editable = true}}\n'
        ),
    ),
    "pixi": (
        "pixi.toml",
        (
            '[workspace]\nchannels = []\nplatforms = ["linux-64"]\n'
            '[pypi-dependencies]\ndemo = {{git = "{url}", editable = true}}\n'
        ),
    ),
}


@pytest.mark.parametrize("way", EDITABLE)
def test_what_no_folder_here_is_cannot_be_edited(way: str, desk: Bench, repository: Path) -> None:
    name, text = EDITABLE[way]
    make_source(desk.here, "demo", requires=["lib"])
    (desk.here / name).write_text(text.format(url=repository.as_uri()))
    read = {"environment.yml": ["-f", name], "pixi.toml": []}.get(name, ["-r", name])

    error = desk.fails(2, "requirement-unsupported", "lock", *read, "--build", "demo")
    assert "demo is to be editable" in error["message"]
    *cloning, copying = error["suggestions"]

    if "archive" not in way:
        _clone(desk, cloning[0])
        (desk.here / "edited.txt").write_text(cloning[0].rpartition(": ")[2] + "\n")
        desk.ok("install", "-r", "edited.txt", "--build", "demo", "-p", "env")
        assert desk.locked("demo")["editable"] is True
    if "elsewhere" not in way:
        (copied,) = re.findall("`([^`]*)`", copying)
        desk.ok("lock", copied, "--build", "demo", "--lockfile", "copied.lock")


@pytest.mark.parametrize("way", ["manifest", "requirements.txt"])
@pytest.mark.parametrize("where", ["", "@v1", "@v1#egg=demo&subdirectory=py"])
def test_a_repository_behind_the_commands_e_is_cloned_as_advised(
    way: str, where: str, desk: Bench, repository: Path
) -> None:
    if "subdirectory" in where:
        git(repository, "tag", "--delete", "v1")
        make_source(repository / "py", "demo", requires=["lib"], as_tree=True)
        committed(repository)
        git(repository, "tag", "v1")
    _version(repository, "2.0")
    error = desk.fails(2, "environment-unknown", "install", "-e", f"git+{repository.as_uri()}{where}")
    cloning, manifest, file = error["suggestions"]

    _clone(desk, cloning)
    if way == "manifest":
        line = manifest.partition(": ")[2]
        (desk.here / "dataloader.toml").write_text(f"[workspace]\nchannels = []\n[pypi-dependencies]\n{line}\n")
        desk.ok("install", "--build", "demo", "-p", "env")
    else:
        (desk.here / way).write_text(file.partition(": ")[2] + "\n")
        desk.ok("install", "-r", way, "--build", "demo", "-p", "env")
    assert desk.locked("demo")["editable"] is True
    assert desk.locked("demo")["version"] == ("1.0" if where else "2.0")


@pytest.mark.parametrize("named", ["", "demo @ "])
@pytest.mark.parametrize(("marker", "holds"), [("python_version >= '3'", True), ('python_version < "3"', False)])
def test_a_marker_behind_what_is_edited_counts(
    named: str, marker: str, holds: bool, desk: Bench, repository: Path
) -> None:
    shutil.copytree(repository, desk.here / "demo")
    (desk.here / "r.txt").write_text(f"lib\n-e {named}./demo ; {marker}\n")
    desk.ok("lock", "-r", "r.txt", "--build", "demo")
    assert ("editable: true" in desk.lock.read_text()) is holds

    (desk.here / "r.txt").write_text(f"lib\n-e {named}git+{repository.as_uri()} ; {marker}\n")
    if holds:
        desk.fails(2, "requirement-unsupported", "lock", "-r", "r.txt", "--build", "demo")
    else:
        desk.ok("lock", "-r", "r.txt", "--build", "demo")
