"""``dataloader shell``."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from dataloader.base.errors import UsageError
from dataloader.cli.line.advice import exclusive
from dataloader.cli.line.command import PREFIX, command
from dataloader.cli.line.options import CommonOptions, own_option

if TYPE_CHECKING:
    from dataloader.prefix.activate import Activation


@command(example="dataloader shell", takes=(*PREFIX, "lockfile", "Sources", "yes"))
def shell(
    options: CommonOptions,
    program: Annotated[
        Literal["sh", "bash", "zsh", "fish", "csh", "tcsh", "pwsh"] | None,
        own_option("--shell", "-s", about="Shell to start; else $SHELL."),
    ] = None,
    frozen: Annotated[
        bool, own_option("--frozen", about="Use the lock as it is; do not look at the manifest.")
    ] = False,
    no_sync: Annotated[bool, own_option("--no-sync", about="Take the prefix as it is.")] = False,
) -> int:
    """Start a shell in the environment, activated; it ends with exit.

    In a project the environment is brought in step with the manifest first, as run does.
    """
    from dataloader.cli.running.instep import Way, in_step
    from dataloader.cli.stages.session import open_session
    from dataloader.cli.stages.use import check_python, hold, home_of
    from dataloader.prefix.activate import activation

    if frozen and no_sync:
        raise exclusive("--frozen", "--no-sync")
    if "json" in options.typed:
        raise UsageError("--json can have no effect: a shell is for people", suggestions=("leave it out",))
    with open_session(options, "shell") as session:
        named = program or session.environ.get("SHELL") or "sh"
        prefix = home_of(in_step(session, Way(frozen=frozen, no_sync=no_sync)))
        active = activation(prefix)
        environ = active.environ(session.environ)
        check_python(prefix)
        found = shutil.which(named, path=session.environ.get("PATH"))
        if found is None:
            raise UsageError(
                f"there is no shell {named} on PATH", code="command-missing", suggestions=("name another with --shell",)
            )
        hold(prefix)
        session.reporter.info(f"{prefix} is active in this shell; exit leaves it")
    words = _words(Path(found), active, session.environ, environ)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(found, words, environ)  # noqa: S606 -- a shell is what was asked for


def _words(shell: Path, active: Activation, base: Mapping[str, str], environ: dict[str, str]) -> list[str]:
    """The shell's command line. Its own settings may change PATH, so it is activated behind them."""
    from dataloader.prefix.activate import dialect_of

    name = shell.name
    dialect = dialect_of(name) or "posix"
    hook = active.shell(base, dialect)
    prompt = f"({active.prefix.name if active.prefix.name != 'default' else active.prefix.parents[2].name}) "
    if name == "bash":
        text = f'[ -f ~/.bashrc ] && . ~/.bashrc\n{hook}PS1={shlex.quote(prompt)}"$PS1"\n'
        return [str(shell), "--rcfile", _passed_on(text), "-i"]
    if name == "zsh":
        return [str(shell), *_zsh(hook, prompt, environ)]
    if name == "fish":
        show = f"function fish_prompt; echo -n {shlex.quote(prompt)}; _dataloader_prompt; end"
        return [str(shell), "-i", "-C", f"{hook}functions -c fish_prompt _dataloader_prompt; {show}"]
    if name == "pwsh":
        return [str(shell), "-NoExit", "-Command", hook]
    if dialect == "posix":
        environ["ENV"] = _passed_on(f'{hook}PS1={shlex.quote(prompt)}"$PS1"\n')
    return [str(shell), "-i"]


def _passed_on(text: str) -> str:
    """A file without a name that the shell inherits, so that nothing stays of it."""
    number = os.memfd_create("dataloader-shell")
    os.write(number, os.fsencode(text))
    os.lseek(number, 0, os.SEEK_SET)
    os.set_inheritable(number, True)
    return f"/dev/fd/{number}"


def _zsh(hook: str, prompt: str, environ: dict[str, str]) -> list[str]:
    """zsh reads its settings from a folder: a passing one leads to the user's, and removes itself."""
    import tempfile

    own = environ.get("ZDOTDIR") or environ.get("HOME") or "/"
    folder = Path(tempfile.mkdtemp(prefix="dataloader-zsh-"))
    restore = f"export ZDOTDIR={shlex.quote(own)}\n" if "ZDOTDIR" in environ else "unset ZDOTDIR\n"
    (folder / ".zshenv").write_text(f"[ -f {shlex.quote(own)}/.zshenv ] && . {shlex.quote(own)}/.zshenv\n")
    (folder / ".zshrc").write_text(
        f"{restore}[ -f {shlex.quote(own)}/.zshrc ] && . {shlex.quote(own)}/.zshrc\n"
        f'{hook}PS1={shlex.quote(prompt)}"$PS1"\nrm -rf {shlex.quote(str(folder))}\n'
    )
    environ["ZDOTDIR"] = str(folder)
    return ["-i"]
