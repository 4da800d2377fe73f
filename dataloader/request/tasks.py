"""The tasks of a manifest: pixi's [tasks] -> Task.

What a task has that is not carried out here is refused by name, and only where the task is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from dataloader.base.errors import UsageError
from dataloader.base.values import dataclass
from dataloader.request.toml import Table

_KNOWN = {"cmd", "depends-on", "depends_on", "env", "cwd", "description"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A command by a name, and what is run before it."""

    name: str
    command: str | tuple[str, ...] | None = None
    """For a shell, or a program and its arguments; None: it only stands for others."""
    depends_on: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    """Set for it, as a shell reads a text in double quotes."""
    cwd: str | None = None
    """Relative to the manifest's folder; None: that."""
    description: str | None = None
    origin: str = ""
    unsupported: tuple[str, ...] = ()
    """What it has that is not carried out here."""


def read_tasks(table: Table) -> Mapping[str, Task]:
    """Read a table of tasks."""
    return {name: _task(table, name, table.raw(name)) for name in table}


def _task(table: Table, name: str, value: Any) -> Task:
    origin = table.where(name)
    if isinstance(value, str):
        return Task(name=name, command=value, origin=origin)
    if isinstance(value, list):
        names, odd = _names(value)
        return Task(name=name, depends_on=names, origin=origin, unsupported=odd)
    if not isinstance(value, dict):
        table.mistake(name, "expected a command, or a table with cmd or depends-on")
        return Task(name=name, origin=origin)
    command, odd = value.get("cmd"), tuple(key for key in value if key not in _KNOWN)
    if isinstance(command, list) and all(isinstance(word, str) for word in command):
        command = tuple(command)
    elif command is not None and not isinstance(command, str):
        table.mistake(name, f"cmd: expected a command, not {command!r}")
        command = None
    needed, more = _names(value.get("depends-on", value.get("depends_on", [])))
    env = value.get("env", {})
    if not isinstance(env, dict) or not all(isinstance(text, str) for text in env.values()):
        table.mistake(name, "env: expected a table of strings")
        env = {}
    return Task(
        name=name,
        command=command,
        depends_on=needed,
        env=env,
        cwd=value.get("cwd"),
        description=value.get("description"),
        origin=origin,
        unsupported=(*odd, *more),
    )


def _names(value: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The tasks of a depends-on, and what it says beside their names."""
    names, odd = [], []
    for task in value if isinstance(value, list) else [value]:
        if isinstance(task, str):
            names.append(task)
        elif isinstance(task, dict) and isinstance(task.get("task"), str):
            names.append(task["task"])
            odd += [f"depends-on with {key}" for key in task if key != "task" and task[key]]
        else:
            odd.append(f"depends-on {task!r}")
    return tuple(names), tuple(odd)


def in_order(name: str, tasks: Mapping[str, Task]) -> tuple[Task, ...]:
    """Return a task behind all that it depends on, each once.

    Raises:
        UsageError: ``task-unusable``; one is missing, depends on itself, or has what is not carried out here.
    """
    found: dict[str, Task] = {}
    _visit(name, (), tasks, found)
    return tuple(found.values())


def _visit(name: str, asking: tuple[str, ...], tasks: Mapping[str, Task], found: dict[str, Task]) -> None:
    if name in found:
        return
    if name in asking:
        raise _unusable(tasks[name], f"depends on itself: {' -> '.join((*asking[asking.index(name) :], name))}")
    if name not in tasks:
        raise _unusable(tasks[asking[-1]], f"depends on {name}, which is no task")
    if tasks[name].unsupported:
        raise _unusable(tasks[name], f"has what is not carried out here: {', '.join(tasks[name].unsupported)}")
    for other in tasks[name].depends_on:
        _visit(other, (*asking, name), tasks, found)
    found[name] = tasks[name]


def _unusable(task: Task, why: str) -> UsageError:
    return UsageError(
        f"{task.origin}: the task {task.name} {why}",
        code="task-unusable",
        suggestions=("run its command itself: `dataloader run -- CMD`",),
    )
