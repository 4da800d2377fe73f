"""The process itself: fast answers, exit codes, signals, what is imported."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dataloader.cli.commands import COMMANDS
from tests.helpers.command import run_command
from tests.helpers.prefixes import make_prefix, register


def run(
    *arguments: str, cwd: Path | None = None, fresh: bool = False, **environ: str
) -> subprocess.CompletedProcess[str]:
    return run_command(*arguments, cwd=cwd, env=os.environ | environ, fresh=fresh)


def test_version_is_said_in_a_tenth_of_a_second() -> None:
    times = []
    for _ in range(5):
        began = os.times()
        done = run("--version", fresh=True)
        ended = os.times()
        # Of the processor: the clock tells what else this machine is doing.
        times.append(ended.children_user - began.children_user + ended.children_system - began.children_system)

    assert re.fullmatch(r"dataloader \d+\.\d+\.\d+\S*\n", done.stdout)
    assert min(times) < 0.1


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_a_verb_phrase_and_an_example(name: str, flag: str) -> None:
    from typer.testing import CliRunner

    from dataloader.cli.line.grammar import app

    shown = CliRunner().invoke(app, [name, flag])

    assert shown.exit_code == 0
    said = [line.strip() for line in shown.stdout.splitlines() if line.strip()]
    assert re.match(r"[A-Z][a-z]+ .*", said[1])
    assert "Example:" in shown.stdout
    assert f"dataloader {name}" in re.sub(r"\s+", " ", shown.stdout.split("Example:")[1])


def test_help_lists_every_command_in_order() -> None:
    done = run("--help")

    listed = [line.split()[0] for line in done.stdout.split("Commands:")[1].splitlines() if re.match(r"  [a-z]", line)]
    assert listed == list(COMMANDS)


def test_no_command_shows_the_help_and_is_a_usage_error() -> None:
    done = run()

    assert (done.returncode, done.stdout) == (2, "")
    assert "Usage: dataloader" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("instal",), "`dataloader install`"),
        (("install", "--chanel=x"), "--channel"),
        (("explain",), "`dataloader explain --help`"),
        (("install", "--conda=maybe"), "'never'"),
        (("sync", "--frozen", "--locked"), "exclude each other"),
        (("install", "--conda=never", "-c", "x", "numpy"), "--conda=never"),
        (("sync", "--frozen", "--exclude-newer=2024-01-01"), "--exclude-newer can have no effect"),
        (("sync", "-r", "/dev/null", "--fix=1"), "--requirement, --fix can have no effect"),
        (("verify", "--upgrade"), "No such option: --upgrade"),
        (("verify", "a", "-p", "b"), "PREFIX and --prefix exclude each other"),
        (("verify", ".", "--tree=x", "--fail-on=note"), "--fail-on can have no effect"),
        (("lock", "a", "--no-binary=A.B", "--only-binary=a_b"), "a-b"),
        (("sync", "--root=r", "--name=n", "-p", "env"), "--root and --prefix exclude each other"),
        (("cache", "info", "--refresh"), "--refresh can have no effect"),
        (("info", "--manifest=gone.toml"), "gone.toml"),
        (("list", "-p", ""), "an empty text is no path"),
    ],
)
def test_a_slip_is_a_usage_error_with_a_hint(arguments: tuple[str, ...], hint: str, tmp_path: Path) -> None:
    done = run(*arguments, cwd=tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(("error[usage]: ", "error[manifest-missing]: "))
    assert hint in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("install", "--no-such", "--json"),
        ("nope", "--json"),
        ("init", ".", "--json"),
        ("verify", "--json", "--format=junit"),
    ],
)
def test_every_failure_under_json_is_one_document(arguments: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "dataloader.toml").touch()

    done = run(*arguments, cwd=tmp_path)

    document = json.loads(done.stdout)
    assert (done.returncode, document["version"], document["status"]) == (2, 1, "error")
    assert set(document["error"]) == {"code", "message", "causes", "suggestions"}


def test_json_after_two_dashes_is_not_ours(tmp_path: Path) -> None:
    done = run("run", "--no-such-thing", "--", "x", "--json", cwd=tmp_path)

    assert done.stdout == ""
    assert done.returncode == 2


HEAVY = {"rattler", "httpx", "packaging", "elftools", "resolvelib", "rich", "tomlkit", "yaml", "installer"}


def imported(*arguments: str, cwd: Path | None = None) -> set[str]:
    """The modules that a run of the command imports."""
    command = [sys.executable, "-X", "importtime", "-m", "dataloader", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=True)
    return {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}


def test_the_help_imports_no_heavy_library_but_the_one_that_draws_it() -> None:
    assert HEAVY & imported("plan", "--help") <= {"rich"}


def test_a_plan_imports_no_more_than_it_needs(tmp_path: Path) -> None:
    needless = {"typer", "asyncio", "urllib.request", "email", "ssl"}

    modules = imported("plan", "--cuda=11.8", "--torch=2.1.0", cwd=tmp_path)

    assert (HEAVY - {"resolvelib"} | needless) & modules == set()


def test_a_verify_imports_neither_what_installs_nor_what_solves(tmp_path: Path) -> None:
    needless = {"asyncio", "ssl", "uuid", "dataloader.install.store.store", "dataloader.request.request"}
    prefix = make_prefix(tmp_path / "env")
    register(prefix, "pkg", "1.0", files={"pkg.py": ""})

    modules = imported("verify", "-p", str(prefix), cwd=tmp_path)

    assert "dataloader.verify.judgement" in modules
    assert (HEAVY - {"packaging", "elftools"} | needless) & modules == set()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_end_with_130_and_one_line(number: signal.Signals) -> None:
    script = (
        "import sys, time\nimport dataloader.base.cache\n"
        "def wait():\n    print('ready', flush=True)\n    time.sleep(30)\n"
        "dataloader.base.cache.cache_root = wait\n"
        "sys.argv = ['dataloader', 'info']\n"
        "from dataloader.__main__ import main\nmain()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        said = process.stderr.read()

    assert process.returncode == 130
    assert re.fullmatch(r"error\[interrupted\]: .*\n", said)


@pytest.mark.parametrize(
    ("module", "name", "entry", "arguments", "code"),
    [
        ("dataloader.cli.app", "main", "dataloader.__main__", [], 3),
        (
            "dataloader.dataset.load",
            "load",
            "dataloader.cli.clusters.data_loader",
            ["CONDA", "conda://python", "--options=name=env", "--mount-path", "env"],
            0,
        ),
    ],
    ids=["dataloader", "data-loader"],
)
def test_the_process_ends_quietly_after_rattler_was_used(
    module: str, name: str, entry: str, arguments: list[str], code: int
) -> None:
    script = (
        "import asyncio, contextlib, sys, rattler\n"
        f"import {module} as worker\n"
        "def work(*_):\n"
        "    with contextlib.suppress(Exception):\n"
        "        asyncio.run(rattler.solve([], ['python'], platforms=['linux-64']))\n"
        "    print('done')\n"
        "    return 3\n"
        f"worker.{name} = work\n"
        f"sys.argv[1:] = {arguments!r}\n"
        f"from {entry} import main\n"
        "main()\n"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (code, "done\n", "")


def test_colour_is_said_by_force_color_and_taken_away_by_no_color(tmp_path: Path) -> None:
    coloured = run("init", str(tmp_path / "a"), FORCE_COLOR="1").stderr
    plain = run("init", str(tmp_path / "b"), FORCE_COLOR="1", NO_COLOR="1").stderr

    assert "\x1b[" in coloured
    assert "\x1b[" not in plain


REDIRECTIONS = (">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full", "2>&- </dev/null")


@pytest.mark.parametrize("arguments", ["--version", "list", "info --json", "instal"])
def test_closed_streams_change_nothing_else(arguments: str, tmp_path: Path) -> None:
    """What is said there is said to nobody; the exit code and the other stream are as ever."""

    def result(redirection: str) -> tuple[int, str, str]:
        line = f"exec {sys.executable} -m dataloader {arguments} {redirection}"
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, cwd=tmp_path)
        return done.returncode, done.stdout, done.stderr

    code, out, error = result("")
    for redirection in REDIRECTIONS:
        said = result(redirection)
        assert said[0] == code, (redirection, said)
        assert said[1] in {"", out}
        assert said[2] in {"", error}


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [("--version",), ("info",), ("info", "--json"), ("--help",), ("help", "lock")])
def test_output_that_cannot_be_written_is_a_failure(arguments: tuple[str, ...], unbuffered: str) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "dataloader", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )

    assert done.returncode == 3
    assert done.stderr.startswith("error[output-unwritable]")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", ["--help", "install --help", "help lock", "--version", "info"])
def test_a_reader_that_has_seen_enough_is_no_failure(arguments: str) -> None:
    line = f"{{ {sys.executable} -m dataloader {arguments}; echo $? >&2; }} | true"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True)
    assert done.stderr == "0\n"


def test_an_interrupt_at_any_moment_is_one_line(tmp_path: Path) -> None:
    """Of the work that was not begun yet Python says nothing either."""
    code = (
        "import sys, dataloader.process.running as running, dataloader.cli.stages.flow as flow\n"
        "async def work(): pass\n"
        "class Stop:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.startswith('asyncio'): raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Stop())\n"
        "for name in [n for n in sys.modules if n.partition('.')[0] == 'asyncio']: del sys.modules[name]\n"
        "for each in (running, flow):\n"
        "    try: each.to_the_end(work())\n"
        "    except KeyboardInterrupt: print('stopped')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "stopped\nstopped\n", "")


AT_ONCE = """
import os, signal, sys
from dataloader.cli import quick
def answer(*_):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
quick.answer = answer
from dataloader.__main__ import main
sys.argv = ["dataloader", "list"]
main()
"""


def test_sigterm_again_and_again_ends_as_once() -> None:
    """Also before anything of the command is loaded."""
    done = subprocess.run([sys.executable, "-c", AT_ONCE], capture_output=True, text=True)

    assert (done.returncode, done.stdout, done.stderr) == (130, "", "error[interrupted]: interrupted\n")
