"""What ``dataloader run`` runs: a task of the manifest, a script, or a program of the environment."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dataloader.base.errors import UsageError
from dataloader.cli.line.options import CommonOptions
from dataloader.cli.running.instep import Way, in_step, is_made_from
from dataloader.cli.stages.session import Session, open_session
from dataloader.cli.telling.render import table
from dataloader.prefix.locate import DEFAULT_ENVIRONMENT

if TYPE_CHECKING:
    from dataloader.request.manifests.manifest import Manifest
    from dataloader.request.tasks import Task


def run(options: CommonOptions, words: tuple[str, ...], way: Way) -> int:
    """Replace this process by what was asked for; its exit code is the command's."""
    from dataloader.cli.stages.use import check_python, hold, home_of
    from dataloader.prefix.activate import activation
    from dataloader.request.tasks import in_order

    is_command = words[:1] == ("--",)
    words = words[1:] if is_command else words
    with open_session(options, "run") as session:
        manifest = _manifest_with_tasks(session)
        tasks = _tasks(session, manifest)
        if not words:
            return _list(session, manifest, tasks)
        chain = in_order(words[0], tasks) if words[0] in tasks and not is_command else ()
        is_script = not chain and words[0].endswith(".py") and Path(words[0]).is_file()
        own = _own_environment(session, Path(words[0])) if is_script else None
        if own is not None and own.options.manifest is not None:
            from dataloader.cli.running.scripts import told_of

            with told_of(Path(words[0]), own.options.manifest):
                prefix = home_of(in_step(own, way))
        else:
            prefix = home_of(in_step(session, way))
        environ = activation(prefix).environ(session.environ)
        check_python(prefix)
        hold(prefix)
    if chain and manifest is not None:
        return _run_tasks(chain, words[1:], manifest.path.parent, environ)
    return _become(("python", *words) if is_script else words, environ, tasks)


def _own_environment(session: Session, script: Path) -> Session | None:
    """Return the session of a script that says what it needs; ``None`` for one that does not."""
    from dataloader.cli.running.scripts import ScriptReporter, Wording, header_of, project_of

    header = header_of(script)
    if header is None:
        return None
    if said := session.options.spelled(("prefix", "manifest", "environment")):
        typed = shlex.quote(str(script))
        raise UsageError(
            f"{script} says itself what it needs: {', '.join(said)} can have no effect",
            suggestions=(f"run it in another environment: `dataloader run {said[0]} ... -- python {typed}`",),
        )
    manifest = project_of(header, session.cache)
    return replace(
        session,
        options=replace(session.options, manifest=manifest, prefix=None, environment=None),
        reporter=ScriptReporter(session.reporter, Wording(script, manifest)),
    )


def _become(words: Sequence[str], environ: Mapping[str, str], tasks: Collection[str] = ()) -> int:
    program = shutil.which(words[0], path=environ.get("PATH"))
    if program is None and words[0].endswith(".py"):
        raise UsageError(
            f"there is no file {words[0]}, nor a command of that name in the environment",
            code="command-missing",
            suggestions=("look at its path: it is taken from this directory",),
        )
    if program is None:
        raise UsageError(
            f"there is no command {words[0]} in the environment or on PATH",
            code="command-missing",
            suggestions=(
                "`dataloader list` shows what is installed",
                *(["`dataloader run` without a command shows the tasks of the manifest"] if tasks else []),
            ),
        )
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execve(program, list(words), environ)  # noqa: S606 -- running what the user names is the point
    except FileNotFoundError as error:  # the file is there: what its first line names is not
        raise UsageError(
            f"{program} cannot start: the program that its first line names is not there",
            code="command-missing",
            suggestions=("an environment that was moved is made ready for its new place by `dataloader sync`",),
        ) from error


# -- tasks


def _manifest_with_tasks(session: Session) -> Manifest | None:
    """The manifest, if it speaks of tasks: reading all of it takes longer than a command that needs none.

    None beside an environment that was named and is not this manifest's: its tasks are not for that one.
    """
    from dataloader.request.places import find, manifest_path

    path, options = manifest_path(session.options, session.here), session.options
    if path is not None and options.manifest is None and not is_made_from(options.prefix, path):
        return None
    try:
        return find(session.options, session.here) if path is not None and b"tasks" in path.read_bytes() else None
    except OSError:
        return find(session.options, session.here)  # which says what is wrong


def _tasks(session: Session, manifest: Manifest | None) -> Mapping[str, Task]:
    if manifest is None:
        return {}
    from dataloader.base.platforms import detect_platform

    return manifest.environment(session.options.environment or DEFAULT_ENVIRONMENT, detect_platform()).tasks


def _list(session: Session, manifest: Manifest | None, tasks: Mapping[str, Task]) -> int:
    shown = {name: task for name, task in sorted(tasks.items()) if not name.startswith("_")}
    if manifest is None or not shown:
        raise UsageError(
            "there is no command to run, and no task in a manifest here",
            suggestions=("`dataloader run -- python -V`", "tasks stand in [tasks] of the manifest"),
        )
    document = {
        "status": "ok",
        "manifest": str(manifest.path),
        "tasks": [
            {
                "name": name,
                "command": _text(task),
                "depends_on": list(task.depends_on),
                "description": task.description,
                "unsupported": list(task.unsupported),
            }
            for name, task in shown.items()
        ],
    }
    rows = [
        (name, task.description or _text(task) or f"runs {', '.join(task.depends_on)}") for name, task in shown.items()
    ]
    session.write(document, table(rows, ("task", "")))
    return 0


def _text(task: Task) -> str | None:
    return shlex.join(task.command) if isinstance(task.command, tuple) else task.command


def _run_tasks(chain: Sequence[Task], arguments: Sequence[str], root: Path, environ: Mapping[str, str]) -> int:
    """Run tasks one after the other, up to the first that fails; the last takes ``arguments``, and our place.

    As in pixi they run in the manifest's folder, and know where the user is and where the project.
    """
    asked = chain[-1]
    if arguments and asked.command is None:
        raise UsageError(
            f"{asked.origin}: the task {asked.name} has no command that could take {shlex.join(arguments)}",
            code="task-unusable",
        )
    chain = [task for task in chain if task.command is not None]
    environ = {**environ, "INIT_CWD": os.getcwd(), "PIXI_PROJECT_ROOT": str(root)}  # noqa: PTH109 -- as it is spelled
    for position, task in enumerate(chain):
        is_last = position + 1 == len(chain)
        line = _line(task, arguments if task is asked else ())
        folder = root / task.cwd if task.cwd else root
        if not folder.is_dir():
            raise UsageError(f"{task.origin}: the task {task.name}: there is no folder {folder}", code="task-unusable")
        sys.stderr.write(f"[{task.name}] {_text(task)}\n")
        if is_last:
            os.chdir(folder)
            _become((_shell(environ), "-c", line), environ)
        code = subprocess.run([_shell(environ), "-c", line], env=environ, cwd=folder, check=False).returncode
        if code:
            sys.stderr.write(f"[{task.name}] ended with exit code {code}\n")
            return code if code > 0 else 128 - code
    return 0


def _shell(environ: Mapping[str, str]) -> str:
    return shutil.which("bash", path=environ.get("PATH")) or "sh"


def _line(task: Task, arguments: Sequence[str]) -> str:
    """What a shell is told: the variables, and the command with what was typed behind it."""
    exports = "".join(f'export {name}="{_in_quotes(text)}"\n' for name, text in task.env.items())
    return f"{exports}{_text(task)}{''.join(f' {shlex.quote(word)}' for word in arguments)}"


def _in_quotes(text: str) -> str:
    for special in ("\\", '"', "`"):
        text = text.replace(special, f"\\{special}")
    return text
