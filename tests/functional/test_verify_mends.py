"""``verify --fix N``: a fix is carried out, and undone where it mends nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dataloader.cli.app import main
from tests.helpers.broken import UV, Broken

pytestmark = pytest.mark.skipif(UV is None, reason="needs uv")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Broken:
    """An environment whose package has the wrong release of what it requires."""
    world = Broken(tmp_path)
    for version in ("1.0", "2.0"):
        world.wheel("dep", version, {"dep.py": f"version = {version!r}", "data.bin": "x" * (2 << 20)})
    world.wheel("app", "1.0", {"app.py": "import dep"}, requires=["dep<2"])
    world.install("app")
    world.install("dep==2.0", deps=False)
    for name, value in world.environ().items():
        monkeypatch.setenv(name, value)
    return world


def said(world: Broken) -> str:
    return (world.site / "dep.py").read_text()


def files(world: Broken) -> dict[str, bytes]:
    found = (path for path in world.prefix.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {str(path): path.read_bytes() for path in found}


def test_a_fix_is_carried_out_and_judged(world: Broken, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "-p", str(world.prefix)]) == 0
    assert "    fix 1: uv pip install" in capsys.readouterr().out

    assert main(["verify", "-p", str(world.prefix), "--fix", "1"]) == 0

    out, err = capsys.readouterr()
    assert said(world) == "version = '1.0'"
    assert "0 errors, 0 warnings" in out
    assert "0 errors and 1 warning before, 0 errors and 0 warnings now" in err
    assert sorted(path.name for path in world.folder.iterdir() if "before" in path.name) == []


@pytest.mark.parametrize("why", ["the command fails", "it mends nothing"])
def test_a_fix_that_mends_nothing_is_undone(
    world: Broken, why: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = world.folder / "tools/uv"
    tool.parent.mkdir()
    spoil = f"echo 'version = 3' > {world.site}/dep.py; rm {world.site}/data.bin"
    tool.write_text(f"#!/bin/sh\n{spoil}\n{'exit 5' if why == 'the command fails' else ''}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=":")
    before = files(world)

    assert main(["verify", "-p", str(world.prefix), "--fix", "1"]) == 2

    assert "fix-failed" in capsys.readouterr().err
    assert files(world) == before
    assert sorted(path.name for path in world.folder.iterdir() if "before" in path.name) == []


def listing(world: Broken) -> dict[str, tuple[int, ...]]:
    found = {path: path.lstat() for path in world.prefix.rglob("*") if path.suffix != ".pyc"}
    return {str(path): (each.st_mode, each.st_uid, each.st_size) for path, each in found.items() if path.is_file()}


def test_what_is_undone_is_whole_and_has_its_owners(
    world: Broken, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(world.prefix / "pipe")
    if os.geteuid() == 0:
        os.chown(world.site / "dep.py", 12345, 12345)
        os.chown(world.prefix / "bin/activate", 0, 12345)
        (world.prefix / "bin/activate").chmod(0o4755)
    before = listing(world)
    tool = world.folder / "tools/uv"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\nexit 5\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=":")

    assert main(["verify", "-p", str(world.prefix), "--fix", "1"]) == 2

    assert "fix-failed" in capsys.readouterr().err
    assert listing(world) == before
    assert (world.prefix / "pipe").is_fifo()


def test_an_environment_that_cannot_be_kept_is_left_alone(world: Broken, capsys: pytest.CaptureFixture[str]) -> None:
    deep, part = world.prefix, "d" * 200
    while len(str(deep)) < 4070 - 200:
        deep /= part
    deep.mkdir(parents=True)
    (deep / ("f" * (4085 - len(str(deep))))).write_text("")  # the copy's path is longer than a path may be
    before = listing(world)

    assert main(["verify", "-p", str(world.prefix), "--fix", "1"]) == 2

    err = capsys.readouterr().err
    assert ("nothing was done" in err, "File name too long" in err) == (True, True)
    assert listing(world) == before
    assert sorted(path.name for path in world.folder.iterdir() if "before" in path.name) == []


def test_a_mount_point_is_refused(world: Broken) -> None:
    script = (
        f"cp -a {world.prefix} {world.prefix}.kept && mount -t tmpfs none {world.prefix} && "
        f"cp -a {world.prefix}.kept/. {world.prefix}/ && "
        f"{sys.executable} -m dataloader verify -p {world.prefix} --fix 1"
    )
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, check=False)
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip("needs a mount namespace")

    assert (done.returncode, "is a mount point" in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize(("number", "words"), [("2", "there is no fix 2: there are 1"), ("0", "there is no fix 0")])
def test_a_number_that_is_not_there_is_refused(
    world: Broken, number: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", "-p", str(world.prefix), "--fix", number]) == 2
    assert words in capsys.readouterr().err


def test_what_changes_the_shell_is_for_the_user_to_type(
    world: Broken, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.shell(f"{UV} pip install -q -p {world.prefix}/bin/python dep==1.0")
    (world.folder / "other").mkdir()
    (world.folder / "other/dep.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(world.folder / "other"))

    assert main(["verify", "-p", str(world.prefix), "--fix", "1"]) == 2
    assert "unset PYTHONPATH" in capsys.readouterr().err


def test_a_fix_of_our_own_environment_goes_back_with_its_lock(tmp_path: Path) -> None:
    from dataloader.base.errors import PrefixError
    from dataloader.base.reporter import Reporter
    from dataloader.cli.running.mend import mend
    from dataloader.verify.findings import Finding
    from dataloader.verify.report import VerifyReport

    prefix, lock, manifest = tmp_path / "env", tmp_path / "a.lock", tmp_path / "a.toml"
    prefix.mkdir()
    lock.write_text("old")
    code = 'import sys; open(sys.argv[2], "w"); open(sys.argv[4], "w")'
    command = f"{sys.executable} -c '{code}' --lockfile {lock} --manifest {manifest}"
    report = VerifyReport((Finding("error", "missing-library", "y", "z", fix=command),), {})

    with pytest.raises(PrefixError, match="did not mend"):
        mend(prefix, 1, lambda: report, {}, Reporter())

    assert (lock.read_text(), manifest.exists()) == ("old", False)
