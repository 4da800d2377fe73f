"""run as it is typed: the environment in step first, tasks, scripts that say what they need, the active environment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dataloader.base.errors import UsageError
from dataloader.cli.running.program import _become
from dataloader.cli.running.scripts import header_of
from tests.functional.test_flow import Desk
from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_wheel

MANIFEST = """
[workspace]
channels = []
[pypi-dependencies]
lib = "<2"
"""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    shelf, here = tmp_path / "shelf", tmp_path / "here"
    here.mkdir()
    for version in ("1.0", "2.0"):
        make_wheel(shelf, "lib", version)
    make_wheel(shelf, "more", "1.0")
    with IndexServer(shelf) as index:
        (here / "dataloader.toml").write_text(MANIFEST)
        yield Desk(here, index)


def refused(desk: Desk, code: int, error: str, *words: str) -> dict[str, Any]:
    done = desk.run("run", *words, DATALOADER_JSON="1")
    document = json.loads(done.stdout)
    assert (done.returncode, document["error"]["code"]) == (code, error), done.stdout
    return document["error"]  # type: ignore[no-any-return]


SAY = ("python", "-c", "import lib; print(lib.__version__)")


def rewrite(desk: Desk, old: str, new: str) -> None:
    path = desk.here / "dataloader.toml"
    path.write_text(path.read_text().replace(old, new))


def test_the_environment_is_brought_in_step_first(desk: Desk) -> None:
    assert desk.ok("run", "--", *SAY) == "1.0\n"
    requests = desk.index.count()
    assert desk.ok("run", "--", *SAY) == "1.0\n"
    assert desk.index.count() == requests

    rewrite(desk, "<2", ">=2")
    assert desk.ok("run", "--no-sync", "--", *SAY) == "1.0\n"
    assert desk.ok("run", "--frozen", "--", *SAY) == "1.0\n"
    assert refused(desk, 1, "lock-outdated", "--locked", "--", *SAY)
    assert desk.ok("run", "--", *SAY) == "2.0\n"
    assert desk.ok("run", "--locked", "--", *SAY) == "2.0\n"


def test_frozen_mends_the_prefix_and_leaves_the_lock(desk: Desk) -> None:
    desk.ok("lock")
    lock = desk.lock.read_bytes()
    rewrite(desk, "<2", ">=2")
    assert desk.ok("run", "--frozen", "--", *SAY) == "1.0\n"
    assert desk.lock.read_bytes() == lock


def test_a_named_environment_that_is_not_this_manifests_is_taken_as_it_is(desk: Desk, tmp_path: Path) -> None:
    aside = tmp_path / "aside"
    aside.mkdir()
    Desk(aside, desk.index).ok("install", "lib==2.0", "-p", "env")
    assert desk.ok("run", "-p", str(aside / "env"), "--", *SAY) == "2.0\n"
    refused(desk, 2, "usage", "-p", str(aside / "env"), "--frozen", "--", *SAY)
    refused(desk, 2, "usage", "--frozen", "--locked", "--", *SAY)
    refused(desk, 2, "usage", "--no-sync", "--offline", "--", *SAY)

    desk.ok("sync", "-p", "own")
    rewrite(desk, "<2", ">=2")
    assert desk.ok("run", "-p", "own", "--", *SAY) == "2.0\n"


def test_what_cannot_be_brought_in_step_is_not_run(desk: Desk) -> None:
    desk.ok("sync")
    rewrite(desk, "<2", ">=9")
    done = desk.run("run", "--", "python", "-c", "print('ran')")
    assert (done.returncode, done.stdout) == (1, "")


TASKS = """
[tasks]
hello = "echo hello"
say = { cmd = ["python", "-c", "import lib, sys, os; print(lib.__version__, sys.argv[1:], os.environ['KIND'])"], \
depends-on = ["hello"], env = { KIND = "a \\"$WORD\\" `b`" }, description = "says it" }
where = { cmd = "pwd", cwd = "below" }
all = ["hello", "where"]
fails = "exit 7"
after = { cmd = "echo never", depends-on = ["fails"] }
round = { depends-on = ["trip"] }
trip = { depends-on = ["round"] }
lost = { depends-on = ["nobody"] }
cached = { cmd = "make", inputs = ["src"], depends-on = [{ task = "hello", args = ["x"] }] }
_hidden = "echo hidden"
[target.linux-64.tasks]
plain = "echo linux"
[target.win.tasks]
plain = "echo windows"
"""


def test_tasks(desk: Desk) -> None:
    rewrite(desk, MANIFEST, MANIFEST + TASKS)
    (desk.here / "below").mkdir()

    assert desk.ok("run", "say", "two words", "$x", WORD="w") == "hello\n1.0 ['two words', '$x'] a \"w\" `b`\n"
    assert desk.ok("run", "where") == f"{desk.here / 'below'}\n"
    assert desk.ok("run", "all") == f"hello\n{desk.here / 'below'}\n"
    assert desk.ok("run", "plain") == "linux\n"
    assert desk.ok("run", "_hidden") == "hidden\n"
    done = desk.run("run", "after")
    assert (done.returncode, done.stdout) == (7, "")
    listed = {task["name"]: task for task in desk.json("run")["tasks"]}
    assert listed["say"]["description"] == "says it"
    assert "_hidden" not in listed
    assert "says it" in desk.ok("run")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["round"], "round -> trip -> round"),
        (["lost"], "depends on nobody, which is no task"),
        (["cached"], "inputs, depends-on with args"),
        (["where"], "there is no folder"),
        (["all", "word"], "no command that could take word"),
    ],
)
def test_a_task_that_cannot_be_run_says_why(words: list[str], why: str, desk: Desk) -> None:
    rewrite(desk, MANIFEST, MANIFEST + TASKS)
    if "where" not in words:
        (desk.here / "below").mkdir()
    assert why in refused(desk, 2, "task-unusable", *words)["message"]


def test_tasks_of_pixi_are_run_too(desk: Desk) -> None:
    (desk.here / "dataloader.toml").unlink()
    (desk.here / "pixi.toml").write_text(
        MANIFEST.replace("channels = []", 'channels = []\nname = "x"\nplatforms = ["linux-64"]')
        + '[tasks]\nt = "echo $PIXI_PROJECT_ROOT $INIT_CWD"\n'
    )
    assert desk.ok("run", "t") == f"{desk.here} {desk.here}\n"


@pytest.mark.parametrize("early", [[], ["--no-sync", "-q"], ["-qp", "own"]])  # read by us, and by typer
def test_behind_two_dashes_stands_a_command_and_no_task(early: list[str], desk: Desk) -> None:
    rewrite(desk, MANIFEST, MANIFEST + '[tasks]\ntrue = "echo task"\n')
    desk.ok("sync")
    desk.ok("sync", "-p", "own")
    assert desk.ok("run", *early, "true") == "task\n"
    assert desk.ok("run", *early, "--", "true") == ""
    assert desk.ok("run", *early, "--", "echo", "--", "a") == "-- a\n"
    assert desk.ok("run", *early, "echo", "--", "a") == "-- a\n"
    assert "true" in desk.ok("run", *early, "--")


def test_an_environment_made_from_something_else_has_no_tasks_of_the_manifest_here(desk: Desk, tmp_path: Path) -> None:
    rewrite(desk, MANIFEST, MANIFEST + '[tasks]\ntrue = "echo task"\n')
    aside = tmp_path / "aside"
    aside.mkdir()
    Desk(aside, desk.index).ok("install", "lib==2.0", "-p", "env")
    assert desk.ok("run", "-p", str(aside / "env"), "true") == ""
    refused(desk, 2, "usage", "-p", str(aside / "env"))
    desk.ok("sync", "-p", "own")
    assert desk.ok("run", "-p", "own", "true") == "task\n"


def test_nothing_to_run_is_told(desk: Desk) -> None:
    assert "dataloader run -- python -V" in str(refused(desk, 2, "usage")["suggestions"])
    refused(desk, 2, "command-missing", "no-such-program")


@pytest.mark.parametrize("words", [(), ("--locked",)])
def test_a_generation_of_the_project_is_taken_as_it_is(desk: Desk, words: tuple[str, ...]) -> None:
    """It was made from the manifest that is here, and is never changed; the next one is made by sync --root."""
    desk.ok("sync", "--root", "volume", "--name", "demo")
    rewrite(desk, "<2", ">=2")
    rewrite(desk, "[workspace]", "[tasks]\nhello = 'echo hello'\n[workspace]")
    if words:
        refused(desk, 2, "usage", *words, "-p", "volume/demo", "--", *SAY)
        return
    assert desk.ok("run", "-p", "volume/demo", "--", *SAY) == "1.0\n"
    assert desk.ok("run", "-p", "volume/demo", "hello") == "hello\n"


def test_advice_on_tasks_is_given_where_there_are_some(desk: Desk) -> None:
    desk.ok("sync")
    assert len(refused(desk, 2, "command-missing", "--no-sync", "no-such-program")["suggestions"]) == 1
    rewrite(desk, "[workspace]", "[tasks]\nhello = 'echo hello'\n[workspace]")
    assert len(refused(desk, 2, "command-missing", "no-such-program")["suggestions"]) == 2


HEADER = "# /// script\n# requires-python = '>=3.8'\n# dependencies = [\n#   'lib>=2',\n# ]\n# ///\n"


def test_a_script_runs_with_what_it_says_it_needs(desk: Desk) -> None:
    script = desk.here / "script.py"
    script.write_text(HEADER + "import lib, sys\nprint(lib.__version__, sys.argv)\n")

    assert desk.ok("run", "script.py", "--a", "b c") == "2.0 ['script.py', '--a', 'b c']\n"
    assert not (desk.here / ".dataloader").exists()  # nothing of the project was needed
    requests = desk.index.count()
    (desk.here / "twin.py").write_text(HEADER + "import lib\nprint('twin', lib.__version__)\n")
    assert desk.ok("run", "twin.py") == "twin 2.0\n"
    assert desk.index.count() == requests
    cache = desk.json("cache", "info")
    assert ([h["count"] for h in cache["holdings"] if h["kind"] == "script"], cache["unknown"]) == ([1], [])


def test_paths_in_a_script_are_relative_to_it(tmp_path: Path) -> None:
    said = "[tool.uv]\nfind-links = ['wheels', 'https://h.test/']\n[tool.uv.sources]\nlib = { path = 'lib' }\n"
    script = tmp_path / "script.py"
    script.write_text(f"# /// script\n{''.join(f'# {line}' for line in said.splitlines(keepends=True))}# ///\n")

    header = header_of(script)

    assert header is not None
    assert header["tool"]["uv"] == {
        "find-links": [f"{tmp_path}/wheels", "https://h.test/"],
        "sources": {"lib": {"path": f"{tmp_path}/lib"}},
    }


def test_a_script_allows_builds_in_its_header(desk: Desk) -> None:
    (desk.here / "own").mkdir()
    head = "# /// script\n# dependencies = ['own']\n# [tool.uv.sources]\n# own = { path = 'own' }\n"
    (desk.here / "script.py").write_text(f"{head}# ///\n")

    error = refused(desk, 2, "requirement-unsupported", "script.py")

    assert error["suggestions"][0].startswith('in its header: [tool.dataloader.build] allow = ["own"] builds it')
    assert "[tool.dataloader.resolution] skip-unbuildable = true" in error["suggestions"][1]
    skipping = "# [tool.dataloader.resolution]\n# skip-unbuildable = true\n"
    (desk.here / "script.py").write_text(f"{head}{skipping}# ///\nprint('runs')\n")
    assert desk.ok("run", "script.py") == "runs\n"


def test_a_script_may_keep_its_lock_beside_it(desk: Desk) -> None:
    (desk.here / "script.py").write_text(HEADER + "print('done')\n")
    assert desk.ok("run", "--lockfile", "script.py.lock", "script.py") == "done\n"
    assert "lib" in (desk.here / "script.py.lock").read_text()


def test_a_script_without_a_header_runs_in_the_project(desk: Desk) -> None:
    (desk.here / "plain.py").write_text("import lib\nprint(lib.__version__)\n")
    assert desk.ok("run", "plain.py") == "1.0\n"


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ("# /// script\n# dependencies = [\n# ///\n", "it is not TOML"),
        ("# /// script\n# dependency = []\n# ///\n", "there is no key dependency"),
        (HEADER + "\n" + HEADER, "several blocks"),
    ],
)
def test_a_header_that_cannot_be_used_is_refused(header: str, why: str, desk: Desk) -> None:
    (desk.here / "script.py").write_text(header + "print('ran')\n")
    assert why in refused(desk, 2, "script-invalid", "script.py")["message"]


def test_a_script_of_its_own_takes_no_other_environment(desk: Desk) -> None:
    (desk.here / "script.py").write_text(HEADER)
    refused(desk, 2, "usage", "-p", "env", "script.py")
    (desk.here / "script.py").write_text("# /// script\n# dependencies = ['nobody-has-it']\n# ///\n")
    refused(desk, 1, "unknown-package", "script.py")


def test_the_active_environment_is_used_where_nothing_else_is_named(desk: Desk, tmp_path: Path) -> None:
    desk.ok("sync")
    prefix = str(desk.here / ".dataloader" / "envs" / "default")
    elsewhere = Desk(tmp_path / "elsewhere", desk.index)
    elsewhere.here.mkdir()

    done = elsewhere.run("list", "--json", VIRTUAL_ENV=prefix)
    assert json.loads(done.stdout)["prefix"] == prefix
    assert f"using the environment that is active: {prefix}" in done.stderr
    assert elsewhere.ok("run", "--", *SAY, VIRTUAL_ENV=prefix) == "1.0\n"
    assert json.loads(elsewhere.ok("verify", "--json", VIRTUAL_ENV=prefix))["status"] == "ok"
    assert elsewhere.fails(2, "prefix-missing", "list", VIRTUAL_ENV="/nowhere")
    for line in ("tree", "explain lib", "outdated", "export requirements.txt"):
        assert "lib" in elsewhere.ok(*line.split(), VIRTUAL_ENV=prefix) or line == "outdated"
        assert elsewhere.fails(2, "lockfile-missing", *line.split(), VIRTUAL_ENV="/nowhere")
    assert not list(elsewhere.here.iterdir())
    desk.ok("install", "more", "-p", "other", "--manifest", str(_empty(tmp_path)))
    assert [
        p["name"] for p in json.loads(desk.ok("list", "--json", VIRTUAL_ENV=str(desk.here / "other")))["packages"]
    ] == ["lib"]


def _empty(tmp_path: Path) -> Path:
    path = tmp_path / "empty" / "dataloader.toml"
    path.parent.mkdir()
    path.write_text("[workspace]\nchannels = []\n")
    return path


def test_a_project_without_packages_has_an_environment_on_this_machines_python(desk: Desk) -> None:
    (desk.here / "dataloader.toml").write_text("[workspace]\nchannels = []\n")
    assert desk.ok("run", "--", "python", "-c", "import sys; print(sys.prefix)").strip() == str(
        desk.here / ".dataloader/envs/default"
    )
    assert desk.json("list")["packages"] == []
    assert desk.json("sync", "--locked")["changed"] is False


def test_an_option_that_run_does_not_have_is_no_command(desk: Desk) -> None:
    refused(desk, 2, "usage", "--platform", "win-64", "--", "python")


def test_a_script_of_an_environment_that_was_moved_says_what_mends_it(tmp_path: Path) -> None:
    script = tmp_path / "tool"
    script.write_text(f"#!{tmp_path}/before/bin/python\n")
    script.chmod(0o755)

    with pytest.raises(UsageError, match="first line") as caught:
        _become([str(script)], {"PATH": str(tmp_path)})

    assert "`dataloader sync`" in caught.value.suggestions[0]
