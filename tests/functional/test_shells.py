"""What has to do with shells, as they run: shell, shell-hook, completion, kernels."""

from __future__ import annotations

import json
import os
import pty
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataloader.prefix.activate import Activation
from dataloader.prefix.activators import FILES, activators
from tests.functional.test_flow import Desk
from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_wheel


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    here = tmp_path_factory.mktemp("it's here")
    shelf = tmp_path_factory.mktemp("shelf")
    make_wheel(shelf, "lib", "1.0")
    launcher = "import sys\nprint('kernel', sys.argv[1:], sys.prefix)\n"
    make_wheel(shelf, "ipykernel", "1.0", files={"ipykernel_launcher.py": launcher})
    (here / "dataloader.toml").write_text('[workspace]\nchannels = []\n[pypi-dependencies]\nlib = "*"\n')
    (here / "bare").mkdir()
    with IndexServer(shelf) as index:
        yield Desk(here, index)


def prefix(desk: Desk) -> str:
    return str(desk.here / ".dataloader" / "envs" / "default")


def shell(name: str) -> str:
    if not shutil.which(name):
        pytest.skip(f"{name} is not installed")
    return name


@pytest.mark.parametrize("name", ["sh", "bash", "zsh", "fish", "tcsh"])
def test_a_shell_is_active_whatever_its_own_settings_say(name: str, desk: Desk, clean_world: Path) -> None:
    for settings in (".bashrc", ".zshrc", ".tcshrc"):
        (clean_world / settings).write_text("echo own settings\n")
    environ = {**os.environ, "DATALOADER_CONDA": "never", "DATALOADER_INDEX_URL": desk.index.index_url}
    done = subprocess.run(
        [sys.executable, "-m", "dataloader", "shell", "--shell", shell(name)],
        cwd=desk.here, env=environ, input='echo "$VIRTUAL_ENV"\nwhich python\nexit 7\n', capture_output=True, text=True,
        check=False,
    )  # fmt: skip

    assert done.returncode == 7, done.stderr
    assert f"{prefix(desk)}\n{prefix(desk)}/bin/python\n" in done.stdout
    assert (name in ("sh", "fish")) or "own settings" in done.stdout
    assert not list(Path(os.environ.get("TMPDIR", "/tmp")).glob("dataloader-zsh-*"))


def test_a_shell_that_is_not_there_is_told(desk: Desk) -> None:
    missing = desk.run("shell", SHELL="/no/such/shell")
    assert (missing.returncode, "error[command-missing]" in missing.stderr) == (2, True), missing.stderr
    both = desk.run("shell", "--frozen", "--no-sync")
    assert (both.returncode, "--no-sync" in both.stderr) == (2, True), both.stderr
    assert "--json" in desk.fails(2, "usage", "shell")["message"]
    desk.fails(2, "shell-unsupported", "shell-hook", SHELL="/bin/nushell")


@pytest.mark.parametrize(("name", "way"), [("sh", "posix"), ("fish", "fish"), ("tcsh", "tcsh")])
def test_the_hook_of_each_shell_activates(name: str, way: str, desk: Desk) -> None:
    desk.ok("sync")
    text = desk.ok("shell-hook", "--shell", way)
    done = subprocess.run(
        [shell(name)], input=f"{text}\nwhich python\n", capture_output=True, text=True, check=False, cwd=desk.here
    )
    assert f"{prefix(desk)}/bin/python" in done.stdout.splitlines()


def test_the_hook_of_powershell_quotes(desk: Desk) -> None:
    desk.ok("sync")
    lines = desk.ok("shell-hook", "--shell", "powershell").splitlines()
    assert "${env:VIRTUAL_ENV} = '" + prefix(desk).replace("'", "''") + "'" in lines


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("kern", "kernel"), ("run --fr", "--frozen"), ("kernel ", "install"), ("lock --upgrade-", "--upgrade-package")],
)
def test_bash_completes(typed: str, offered: str, desk: Desk) -> None:
    script = desk.ok("completion", "bash")
    program = f'dataloader() {{ {sys.executable} -m dataloader "$@"; }}; export -f dataloader\n'
    runner = desk.here / "dataloader"
    runner.write_text(f'#!/bin/sh\nexec {sys.executable} -m dataloader "$@"\n')
    runner.chmod(0o755)
    words = f"dataloader {typed}".split(" ")
    ask = f"{program}{script}\nCOMP_WORDS=({' '.join(words)} '')\nCOMP_CWORD={len(words) - 1}\n"
    ask += "_dataloader_completion ./dataloader\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n"
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True, cwd=desk.here)
    assert offered in done.stdout.split()


@pytest.mark.parametrize("name", ["zsh", "fish"])
def test_the_completion_of_other_shells_is_read_by_them(name: str, desk: Desk) -> None:
    script = desk.ok("completion", name)
    check = {"zsh": ["-n"], "fish": ["--no-execute"]}[name]
    path = desk.here / f"completion.{name}"
    path.write_text(script)
    subprocess.run([shell(name), *check, str(path)], check=True)
    assert "dataloader" in desk.ok("completion", "powershell")


def test_a_kernel_starts_in_its_environment(desk: Desk, tmp_path: Path) -> None:
    desk.ok("sync")
    data = str(tmp_path / "jupyter")
    assert "dataloader add ipykernel" in str(
        desk.fails(2, "kernel-unusable", "kernel", "install", JUPYTER_DATA_DIR=data)["suggestions"]
    )
    bare = Desk(desk.here / "bare", desk.index)
    (bare.here / "dataloader.toml").write_text("[workspace]\nchannels = []\n")
    bare.ok("add", "ipykernel")

    bare.ok("kernel", "install", "--display-name", "Bare one", JUPYTER_DATA_DIR=data)
    spec = json.loads((tmp_path / "jupyter" / "kernels" / "bare" / "kernel.json").read_text())
    assert (spec["display_name"], spec["language"]) == ("Bare one", "python")
    words = [word.replace("{connection_file}", "file.json") for word in spec["argv"]]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd="/", env={"PATH": os.environ["PATH"]})
    assert done.stdout == f"kernel ['-f', 'file.json'] {prefix(bare)}\n"

    (listed,) = json.loads(bare.ok("kernel", "list", "--json", JUPYTER_DATA_DIR=data))["kernels"]
    assert (listed["name"], listed["works"]) == ("bare", True)
    foreign = tmp_path / "jupyter" / "kernels" / "python3" / "kernel.json"
    foreign.parent.mkdir()
    foreign.write_text("{}")
    bare.fails(2, "kernel-unusable", "kernel", "install", "--name", "python3", JUPYTER_DATA_DIR=data)
    bare.fails(2, "kernel-unusable", "kernel", "install", "--name", "a b", JUPYTER_DATA_DIR=data)
    bare.fails(2, "kernel-unusable", "kernel", "remove", "--name", "python3", JUPYTER_DATA_DIR=data)
    bare.ok("kernel", "remove", "--name", "bare", JUPYTER_DATA_DIR=data)
    assert "no kernels" in bare.ok("kernel", "list", JUPYTER_DATA_DIR=data)
    assert foreign.exists()


def test_somebody_at_a_terminal_is_asked_before_environments_are_removed(desk: Desk) -> None:
    desk.ok("sync")
    for answer, is_left in (("n\n", True), ("y\n", False)):
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "dataloader", "clean"]
        process = subprocess.Popen(command, cwd=desk.here, stdin=theirs, stderr=theirs, stdout=subprocess.PIPE)
        os.close(theirs)
        os.write(ours, answer.encode())
        process.communicate(timeout=60)
        os.close(ours)
        assert (Path(prefix(desk)).exists(), process.returncode) == (is_left, int(is_left))


SAY = 'echo "$WORD|$VIRTUAL_ENV|$PATH"'


@pytest.mark.parametrize(
    ("name", "script"),
    [
        ("sh", "activate"),
        ("bash", "activate"),
        ("zsh", "activate"),
        ("fish", "activate.fish"),
        ("tcsh", "activate.csh"),
    ],
)
def test_an_environment_is_activated_and_left_without_a_trace(name: str, script: str, tmp_path: Path) -> None:
    program = [shell(name), *(["-f"] if name == "tcsh" else [])]
    root = tmp_path / "it's $HOME" / "env"
    (root / "etc" / "conda" / "activate.d").mkdir(parents=True)
    (root / "bin").mkdir()
    end = {"fish": ".fish", "tcsh": ".csh"}.get(name, ".sh")
    entered, left = (root / "etc" / "conda" / f"part{kind}{end}" for kind in ("", "-gone"))
    entered.write_text("echo entered\n")
    left.write_text("echo left\n")
    active = Activation(
        prefix=root,
        path=(str(root / "bin"),),
        library_path=(str(root / "lib dir"),),
        variables={"VIRTUAL_ENV": str(root), "WORD": "a 'b' \"c\" $d !e"},
    )
    for path, content in activators(active, [str(entered)], [str(left)]).items():
        (root / path).write_bytes(content)
    source = "source" if name in ("fish", "tcsh") else "."
    path = str(root / "bin" / script).replace("$", "\\$").replace("'", "\\'").replace(" ", "\\ ")
    lines = [SAY, f"{source} {path}", SAY, f"{source} {path}", SAY, "deactivate", SAY]
    base = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "WORD": "old", "VIRTUAL_ENV": "/other"}
    done = subprocess.run(program, input="\n".join(lines), env=base, capture_output=True, text=True, check=False)

    before, inside = "old|/other|/usr/bin:/bin", f"a 'b' \"c\" $d !e|{root}|{root}/bin:/usr/bin:/bin"
    assert done.stdout.splitlines() == [before, "entered", inside, "left", "entered", inside, "left", before]


def test_an_environment_has_activators_and_git_passes_it_over(desk: Desk) -> None:
    desk.ok("sync")
    place = Path(prefix(desk))
    quoted = shlex.quote(str(place / "bin" / "activate"))
    done = subprocess.run(["sh", "-c", f". {quoted} && which python && deactivate"], capture_output=True, text=True)
    assert done.stdout == f"{place}/bin/python\n"
    assert {path for path in FILES if (place / path).is_file()} == set(FILES)
    subprocess.run(["git", "init", "-q"], cwd=desk.here, check=True)
    status = subprocess.run(["git", "status", "--short"], cwd=desk.here, capture_output=True, text=True, check=True)
    assert ".dataloader/" not in status.stdout
    assert desk.json("verify")["findings"] == []
