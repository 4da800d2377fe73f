"""The commands as a user types them, against a local index: lock, install, sync, run, list, verify; and errors."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.command import run_command
from tests.helpers.schemas import check_document
from tests.helpers.server import Fault, IndexServer
from tests.helpers.wheels import make_sdist, make_wheel


@dataclass(frozen=True)
class Desk:
    """A directory to work in, and an index to ask."""

    here: Path
    index: IndexServer

    def run(
        self, *arguments: str, index: bool = True, fresh: bool = False, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "DATALOADER_CONDA": "never", **environ}
        if index:
            env["DATALOADER_INDEX_URL"] = self.index.index_url
        return run_command(*arguments, cwd=self.here, env=env, fresh=fresh)

    def ok(self, *arguments: str, **environ: str) -> str:
        done = self.run(*arguments, index=True, fresh=False, **environ)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def json(self, *arguments: str) -> dict[str, Any]:
        document = json.loads(self.ok(*arguments, "--json"))
        check_document(arguments[0], document)
        return document  # type: ignore[no-any-return]

    def fails(self, code: int, error: str, *arguments: str, index: bool = True, **environ: str) -> dict[str, Any]:
        """Run a command that must fail, and return its ``error`` object."""
        done = self.run(*arguments, "--json", index=index, fresh=False, **environ)
        assert "Traceback" not in done.stderr, done.stderr
        document = json.loads(done.stdout)
        check_document("error", document)
        assert (done.returncode, document["error"]["code"]) == (code, error), done.stdout + done.stderr
        assert document["status"] == "error"
        return document["error"]  # type: ignore[no-any-return]

    @property
    def lock(self) -> Path:
        return self.here / "dataloader.lock"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    shelf, here = tmp_path / "shelf", tmp_path / "here"
    here.mkdir()
    make_wheel(
        shelf, "app", "1.0", requires=["lib>=1"], files={"app.py": "import lib\ndef main(): print('app', lib.V)\n"},
        entry_points={"console_scripts": {"say": "app:main"}},
    )  # fmt: skip
    make_wheel(shelf, "lib", "1.0", files={"lib.py": "V = 1\n"})
    make_wheel(shelf, "lib", "2.0", files={"lib.py": "V = 2\n"})
    make_wheel(shelf, "extra", "1.0", files={"extra.py": "\n"})
    make_wheel(shelf, "other-python", "1.0", tag="cp33-cp33m-manylinux_2_17_x86_64")
    make_sdist(shelf, "only-source", "1.0")
    with IndexServer(shelf) as index:
        yield Desk(here, index)


def test_install_run_list_verify(desk: Desk) -> None:
    document = desk.json("install", "app", "-p", "env")

    assert [(p["name"], p["version"], p["kind"]) for p in document["packages"]] == [
        ("app", "1.0", "pypi"),
        ("lib", "2.0", "pypi"),
    ]
    assert document["changed"] is True
    assert desk.ok("run", "-p", "env", "--", "say") == "app 2\n"
    assert desk.ok("run", "-p", "env", "--", "python", "-c", "import sys; print(sys.prefix)").strip() == str(
        desk.here / "env"
    )
    assert [p["name"] for p in desk.json("list", "-p", "env")["packages"]] == ["app", "lib"]
    assert desk.json("verify", "-p", "env")["findings"] == []


def test_a_second_sync_changes_nothing_and_a_lost_prefix_comes_back_offline(desk: Desk) -> None:
    desk.ok("install", "app", "-p", "env")
    before = {p: p.stat().st_mtime_ns for p in (desk.here / "env").rglob("*.py")}

    assert desk.json("sync", "-p", "env")["changed"] is False
    assert {p: p.stat().st_mtime_ns for p in (desk.here / "env").rglob("*.py")} == before

    subprocess.run(["rm", "-rf", str(desk.here / "env")], check=True)
    requests = desk.index.count()
    assert desk.json("sync", "-p", "env", "--offline")["changed"] is True
    assert desk.index.count() == requests
    assert desk.ok("run", "-p", "env", "--", "say") == "app 2\n"


def test_the_same_inputs_give_the_same_bytes(desk: Desk, tmp_path: Path) -> None:
    # Each in an interpreter of its own, whose sets have an order of their own.
    assert desk.run("lock", "app", "extra", fresh=True).returncode == 0
    first = desk.lock.read_bytes()
    desk.lock.unlink()

    another = str(tmp_path / "another-cache")
    assert desk.run("lock", "extra", "app", fresh=True, DATALOADER_CACHE_DIR=another).returncode == 0

    assert desk.lock.read_bytes() == first


def test_upgrade_downgrade_add_and_remove_with_a_manifest(desk: Desk) -> None:
    manifest = desk.here / "dataloader.toml"
    desk.ok("init")
    desk.ok("install", "app", "lib<2")
    assert desk.ok("run", "--", "say") == "app 1\n"
    assert "app" in manifest.read_text()

    desk.ok("install", "lib>=2", "extra")
    assert desk.ok("run", "--", "say") == "app 2\n"

    manifest.write_text(manifest.read_text().replace('extra = "*"', ""))
    document = desk.json("sync")
    assert [p["name"] for p in document["removed"]] == ["extra"]
    assert [p["name"] for p in desk.json("list")["packages"]] == ["app", "lib"]


def test_a_stale_lock_is_told_under_locked_and_left_alone_under_frozen(desk: Desk) -> None:
    desk.ok("init")
    desk.ok("install", "lib<2")
    manifest = desk.here / "dataloader.toml"
    manifest.write_text(manifest.read_text().replace("<2", ">=2"))

    error = desk.fails(1, "lock-outdated", "sync", "--locked")
    assert sorted(error["causes"]) == ["requirement lib<2 is gone", "requirement lib>=2 is new"]
    assert desk.json("sync", "--frozen")["changed"] is False
    assert [(p["name"], p["old"], p["version"]) for p in desk.json("sync")["replaced"]] == [("lib", "1.0", "2.0")]


def test_check_finds_work_and_does_none(desk: Desk) -> None:
    desk.ok("lock", "lib")

    desk.fails(1, "changes-needed", "sync", "-p", "env", "--check")
    assert not (desk.here / "env").exists()

    desk.ok("sync", "-p", "env")
    assert desk.json("sync", "-p", "env", "--check")["changed"] is False


def test_installs_without_a_manifest_add_up(desk: Desk) -> None:
    desk.ok("install", "lib<2", "-p", "env")
    desk.ok("install", "extra", "-p", "env")

    assert [(p["name"], p["version"]) for p in desk.json("list", "-p", "env")["packages"]] == [
        ("extra", "1.0"),
        ("lib", "1.0"),
    ]


def test_requirements_and_environment_files_are_read(desk: Desk) -> None:
    (desk.here / "requirements.txt").write_text("app\n-c constraints.txt\n")
    (desk.here / "constraints.txt").write_text("lib<2\n")
    (desk.here / "environment.yml").write_text("dependencies:\n  - pip:\n      - extra\n")

    document = desk.json("lock", "-r", "requirements.txt", "-f", "environment.yml")

    assert [(p["name"], p["version"]) for p in document["packages"]] == [
        ("app", "1.0"),
        ("extra", "1.0"),
        ("lib", "1.0"),
    ]


def test_dry_run_writes_nothing(desk: Desk) -> None:
    document = desk.json("install", "app", "-p", "env", "--dry-run")

    assert [p["name"] for p in document["installed"]] == ["app", "lib"]
    assert list(desk.here.iterdir()) == []


@pytest.mark.parametrize(
    ("specs", "code", "says"),
    [
        (["torhc"], "unknown-package", "torhc"),
        (["lib==9"], "no-matching-version", "2.0"),
        (["other-python"], "no-wheel", "cp33"),
        (["only-source"], "no-wheel", "only_source-1.0.tar.gz"),
        (["app", "lib<1"], "no-matching-version", "lib"),
    ],
)
def test_what_cannot_be_solved_is_named(desk: Desk, specs: list[str], code: str, says: str) -> None:
    error = desk.fails(1, code, "install", *specs, "-p", "env")

    assert says in json.dumps(error)
    assert error["suggestions"]
    assert list(desk.here.iterdir()) == []


def test_a_fix_that_is_offered_works_when_it_is_applied(desk: Desk) -> None:
    desk.ok("init")
    error = desk.fails(1, "no-matching-version", "install", "app", "lib==9")
    assert error["suggestions"][0] == "--fix 1: leave the version of lib open (lib 2.0)"

    desk.ok("install", "app", "lib==9", "--fix=1")

    assert [(p["name"], p["version"]) for p in desk.json("list")["packages"]] == [("app", "1.0"), ("lib", "2.0")]
    assert desk.json("sync", "--locked")["changed"] is False


def test_a_fix_that_leaves_something_out_takes_it_out_of_the_manifest(desk: Desk) -> None:
    make_wheel(desk.index.folder, "narrow", "1.0", requires=["lib<2"])
    make_wheel(desk.index.folder, "wide", "1.0", requires=["lib>=2"])
    desk.ok("init")
    (desk.here / "dataloader.toml").write_text('[pypi-dependencies]\napp = "*"\nnarrow = "*"\nwide = "*"\n')
    error = desk.fails(1, "no-solution", "lock")
    assert error["suggestions"][0] == "--fix 1: leave out narrow"

    desk.ok("lock", "--fix=1")

    assert (desk.here / "dataloader.toml").read_text() == '[pypi-dependencies]\napp = "*"\nwide = "*"\n'
    assert desk.json("sync", "--locked", "--dry-run")["installed"]


def test_an_unreachable_index_says_try_again(desk: Desk) -> None:
    error = desk.fails(
        3, "index-unreachable", "lock", "app", index=False, DATALOADER_INDEX_URL="http://127.0.0.1:9/simple"
    )

    assert "127.0.0.1:9" in json.dumps(error)


def test_wrong_credentials_are_a_matter_of_settings_and_never_shown(desk: Desk) -> None:
    desk.index.auth = ("me", "right")
    url = desk.index.index_url.replace("http://", "http://me:hunter2@")

    error = desk.fails(2, "index-auth", "lock", "app", index=False, DATALOADER_INDEX_URL=url)

    assert "hunter2" not in json.dumps(error)


def test_credentials_stay_out_of_the_lock(desk: Desk) -> None:
    desk.index.auth = ("me", "hunter2")
    url = desk.index.index_url.replace("http://", "http://me:hunter2@")

    done = desk.run("install", "app", "-p", "env", "-vv", index=False, DATALOADER_INDEX_URL=url)

    assert done.returncode == 0, done.stderr
    assert "hunter2" not in desk.lock.read_text() + done.stdout + done.stderr


def test_wrong_bytes_are_refused_and_the_old_environment_stays(desk: Desk) -> None:
    desk.ok("install", "lib<2", "-p", "env")
    desk.ok("lock", "lib>=2")
    desk.index.fault("*lib-2.0*.whl", Fault("corrupt"))

    desk.fails(4, "hash-mismatch", "sync", "-p", "env")

    assert desk.ok("run", "-p", "env", "--", "python", "-c", "import lib; print(lib.V)") == "1\n"
    desk.index.heal()
    desk.ok("sync", "-p", "env")
    assert desk.ok("run", "-p", "env", "--", "python", "-c", "import lib; print(lib.V)") == "2\n"


def test_a_prefix_that_is_someone_elses_is_left_alone(desk: Desk) -> None:
    (desk.here / "env").mkdir()
    (desk.here / "env" / "thesis.tex").write_text("years of work")

    error = desk.fails(2, "prefix-foreign", "install", "lib", "-p", "env")

    assert "env" in error["message"]
    assert (desk.here / "env" / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize(
    ("content", "code"),
    [("[workspace\n", "manifest-invalid"), ("[stack]\ncuda = 11\ncudaa = '1'\n", "manifest-invalid")],
)
def test_a_malformed_manifest_is_told_with_its_place(desk: Desk, content: str, code: str) -> None:
    (desk.here / "dataloader.toml").write_text(content)

    error = desk.fails(2, code, "lock")

    assert "dataloader.toml" in json.dumps(error)


def test_a_malformed_requirement_and_lock_are_usage_errors(desk: Desk) -> None:
    desk.fails(2, "requirement-invalid", "install", "a b c")
    desk.lock.write_text("version: 3\n")
    desk.fails(2, "lockfile-invalid", "sync", "-p", "env")
    desk.lock.unlink()
    desk.fails(2, "lockfile-missing", "sync", "-p", "env")


def test_nothing_to_install_is_said(desk: Desk) -> None:
    desk.fails(2, "nothing-asked", "install", "-p", "env")


def test_plain_output_is_a_result_on_stdout_and_talk_on_stderr(desk: Desk) -> None:
    done = desk.run("install", "app", "-p", "env")

    assert "app" in done.stdout
    assert "[INFO]" not in done.stdout
    assert "[INFO]" in done.stderr


def test_what_somebody_changed_is_put_right_by_the_command_that_verify_names(desk: Desk) -> None:
    desk.ok("install", "lib<2", "-p", "env")
    (module,) = (desk.here / "env").glob("lib/python3.*/site-packages/lib.py")
    module.write_text("V = 'changed in place'\n")
    told = desk.run("verify", "-p", "env", "--json")
    assert told.returncode == 1
    (finding,) = json.loads(told.stdout)["findings"]
    assert finding["fix"].startswith("dataloader sync --reinstall ")

    desk.ok(*shlex.split(finding["fix"])[1:])

    assert desk.ok("run", "-p", "env", "--", "python", "-c", "import lib; print(lib.V)") == "1\n"
    assert desk.json("verify", "-p", "env")["findings"] == []


def test_another_tools_environment_is_taken_over_only_when_asked(desk: Desk) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(desk.here / "env")], check=True)

    desk.fails(2, "prefix-foreign", "install", "lib", "-p", "env")
    desk.ok("install", "lib", "-p", "env", "--adopt")

    assert desk.ok("run", "-p", "env", "--", "python", "-c", "import lib; print(lib.V)") == "2\n"


def test_generations_are_switched_rolled_back_and_pruned(desk: Desk) -> None:
    volume = ("--root", "volume", "--name", "train")
    desk.ok("lock", "app", "lib<2")
    desk.ok("sync", *volume)
    desk.ok("lock", "app", "lib>=2")
    desk.ok("sync", *volume)
    say = ("run", "-p", "volume/train", "--", "say")

    assert desk.ok(*say) == "app 2\n"
    assert desk.json("sync", *volume)["changed"] is False
    assert [g["current"] for g in desk.json("generations", *volume)["generations"]] == [False, True]

    desk.ok("rollback", *volume)
    assert desk.ok("run", *volume, "--", "say") == "app 1\n"
    desk.fails(2, "usage", "run", *volume, "-p", "env")
    assert "generation 1" in desk.json("sync", *volume)["held"]
    assert desk.ok(*say) == "app 1\n"
    first, second = desk.json("generations", "--root", "volume")["generations"]
    assert (first["held"], second["held"], second["number"]) == (True, False, 2)
    assert second["differs"]["replaced"] == [{"name": "lib", "old": "1.0", "new": "2.0"}]
    assert first["size"] > 0
    assert "current, held" in desk.ok("generations", "--root", "volume")

    desk.ok("rollback", *volume, "--undo")
    assert len(desk.json("prune", *volume, "--keep", "0")["removed"]) == 1
    assert desk.ok(*say) == "app 2\n"


def test_the_cache_is_warmed_inspected_and_pruned(desk: Desk) -> None:
    desk.ok("lock", "app")

    desk.ok("cache", "warm")
    assert sorted(p["name"] for p in desk.json("cache", "info")["packages"]) == ["app 1.0", "lib 2.0"]
    desk.ok("sync", "-p", "env", "--offline")
    assert desk.json("cache", "verify")["removed"] == []
    told = desk.json("cache", "prune", "--dry-run")
    assert (told["removed"], [each["why"] for each in told["kept"]]) == (
        [],
        ["an environment shares files with it"] * 2,
    )
    assert desk.json("cache", "prune")["removed"] == []
    assert len(desk.json("cache", "prune", "--all", "--dry-run")["removed"]) == 2
    assert len(desk.json("cache", "prune", "--all")["removed"]) == 2


def test_verify_speaks_every_format_and_reads_wheels(desk: Desk) -> None:
    desk.ok("install", "app", "-p", "env")
    (desk.here / "env/lib").joinpath(
        f"python{sys.version_info[0]}.{sys.version_info[1]}", "site-packages/lib.py"
    ).write_text("V = 3\n")

    done = desk.run("verify", "-p", "env", "--format", "sarif", "--fail-on", "warning")
    assert done.returncode == 1
    assert json.loads(done.stdout)["version"] == "2.1.0"
    assert "<testsuite" in desk.run("verify", "-p", "env", "--format", "junit").stdout
    assert "::error" in desk.run("verify", "-p", "env", "--format", "github").stdout
    (wheel,) = desk.index.folder.glob("lib-2.0-*.whl")
    assert desk.json("verify", str(wheel))["findings"] == []


def test_every_requirement_of_a_command_binds_and_the_manifest_remembers_them_as_one(desk: Desk) -> None:
    (desk.here / "base.txt").write_text("lib<2\n")
    (desk.here / "names.txt").write_text("-r base.txt\nlib\n")
    desk.ok("lock", "-r", "names.txt", "lib")
    assert "lib-1.0" in desk.lock.read_text()

    desk.ok("init")
    desk.ok("install", "lib<2", "lib>=1")
    assert 'lib = "<2,>=1"' in (desk.here / "dataloader.toml").read_text()
    assert desk.json("sync", "--locked")["changed"] is False

    done = desk.run("install", "lib>1")
    assert "lib: >1 (the command line) takes the place of <2,>=1 (dataloader.toml:" in done.stderr


def test_what_cannot_hold_together_is_told_with_every_place(desk: Desk) -> None:
    (desk.here / "base.txt").write_text("# first\nlib<2\n")
    error = desk.fails(1, "no-matching-version", "lock", "-r", "base.txt", "lib>1")
    assert "base.txt:2 (<2) and the command line (>1)" in error["message"]


def test_conda_packages_without_a_channel_are_refused_by_name(desk: Desk) -> None:
    (desk.here / "environment.yml").write_text("channels: [conda-forge]\ndependencies: [zlib, python=3.11]\n")
    error = desk.fails(2, "conda-excluded", "lock", "-f", "environment.yml", DATALOADER_CONDA="never")
    assert "zlib" in error["causes"][0]

    (desk.here / "dataloader.toml").write_text('[workspace]\nchannels = []\n[dependencies]\nzlib = "*"\n')
    assert "there is no channel" in desk.fails(2, "conda-excluded", "lock", DATALOADER_CONDA="auto")["message"]


def test_a_file_at_hand_of_the_name_and_the_hash_is_the_file(desk: Desk, tmp_path: Path) -> None:
    desk.ok("lock", "extra")
    asked = desk.index.count()
    shelf = tmp_path / "shelf"
    fresh = str(tmp_path / "fresh-cache")
    make_wheel(tmp_path / "false", "extra", "1.0", files={"extra.py": "FALSE = 1\n"})

    done = desk.run(
        "sync", "--frozen", "--find-links", str(tmp_path / "false"), "--offline", DATALOADER_CACHE_DIR=fresh
    )
    assert done.returncode == 3, done.stderr
    desk.ok("sync", "--frozen", "--find-links", str(shelf), DATALOADER_CACHE_DIR=fresh)
    assert desk.index.count() == asked


def test_a_name_that_no_index_has_is_told_with_what_each_answered(desk: Desk) -> None:
    wrong = f"{desk.index.url}/simpel"
    typed = ("lock", "nosuch", "--index-url", wrong)
    error = desk.fails(1, "unknown-package", *typed, DATALOADER_FIND_LINKS="/nowhere")
    told = "\n".join(error["causes"])
    assert f"{wrong} has no page of nosuch, and none at its own address either" in told
    assert "/nowhere is not there" in told

    told = "\n".join(desk.fails(1, "unknown-package", "lock", "nosuch")["causes"])
    assert "has no page of nosuch" in told
    assert "either" not in told


def test_a_folder_named_t_is_no_token(desk: Desk) -> None:
    error = desk.fails(2, "prefix-missing", "list", "-p", str(desk.here / "t" / "env"))
    assert str(desk.here / "t" / "env") in error["message"]


def test_of_two_commands_at_once_the_second_does_not_undo_the_first(desk: Desk) -> None:
    desk.ok("init")
    command = [sys.executable, "-m", "dataloader", "install"]
    env = {**os.environ, "DATALOADER_CONDA": "never", "DATALOADER_INDEX_URL": desk.index.index_url}
    names = ("lib", "extra")
    both = [subprocess.Popen([*command, name], cwd=desk.here, env=env, stderr=subprocess.PIPE) for name in names]
    said = b"".join(process.communicate()[1] for process in both)
    codes = {name: process.returncode for name, process in zip(names, both, strict=True)}

    assert set(codes.values()) <= {0, 3}, said
    done = {name for name, code in codes.items() if code == 0}
    assert done
    assert done <= {p["name"] for p in desk.json("list")["packages"]}
    assert all(f'{name} = "*"' in (desk.here / "dataloader.toml").read_text() for name in done)
    assert len(done) == 2 or b"project-changed" in said


@pytest.mark.parametrize(
    "words",
    [
        ("verify", "nosuch.whl"),
        ("verify", "nosuch.conda"),
        ("export", "requirements.txt", "-o", "."),
        ("export", "html", "-o", "dataloader.lock"),
        ("lock", "lib", "--lockfile", "."),
        ("lock", "lib", "--lockfile", "x" * 300),
        ("list", "-p", "x" * 300),
    ],
)
def test_a_path_that_cannot_be_meant_is_refused(desk: Desk, words: tuple[str, ...]) -> None:
    desk.ok("lock", "lib")
    before = desk.lock.read_bytes()

    done = desk.run(*words)

    assert done.returncode == 2, done.stderr
    assert desk.lock.read_bytes() == before


def test_sets_of_a_project_that_is_read_as_a_file_are_that_file_s(desk: Desk) -> None:
    desk.ok("init")
    project = desk.here / "other" / "pyproject.toml"
    project.parent.mkdir()
    project.write_text('[project]\nname = "o"\nversion = "1"\n[project.optional-dependencies]\ne = ["lib==1.0"]\n')

    desk.ok("lock", "-r", str(project), "--extra", "e")

    assert "lib 1.0" in desk.ok("tree")
    desk.ok("sync", "--locked", "-p", "env")
    desk.fails(2, "group-unknown", "lock", "-r", str(project), "--extra", "nosuch")
