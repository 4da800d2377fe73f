"""Which variables the process has that verify judges: this shell's, those of activation, and what was said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataloader.base.errors import UsageError

if TYPE_CHECKING:
    from dataloader.cli.stages.session import Session


def process_of(session: Session, prefix: Path, env: Sequence[str], *, no_env: bool) -> dict[str, Any]:
    """What is known of the process that will run, as VerifyOptions has it: this shell's variables as ``run`` passes
    them on, what activation adds, and what was said.

    Raises:
        UsageError: ``--env`` is no NAME=VALUE.
    """
    from dataloader.prefix.scripts import after_script, scripts_of
    from dataloader.prefix.variables import COUNTED, counted

    elsewhere = session.options.target is not None or session.options.platform is not None
    whose = ["this shell"] if not (no_env or elsewhere) else []
    variables = counted(session.environ) if whose else {}
    unread: list[str] = []
    if not no_env:
        active = _activated(prefix)
        whose += ["activation"] if active else []
        variables |= active
        for path, text in scripts_of(str(prefix)):
            after, unknown = after_script(text, {"CONDA_PREFIX": str(prefix), **variables})
            if counted(after) != counted(variables):
                whose.append("activation")
            variables = after
            unread += [path.removeprefix(f"{prefix}/")] if unknown else []
    for variable in env:
        name, equals, value = variable.partition("=")
        if name not in COUNTED or not equals:
            raise UsageError(
                f"--env {variable} is not understood",
                suggestions=(f"say NAME=VALUE, of {', '.join(COUNTED)}",),
            )
        variables[name] = value
        whose.append("--env")
    return {
        "library_path": () if no_env else _activated_path(prefix),
        "variables": tuple(sorted(counted(variables).items())),
        "variables_of": " and ".join(dict.fromkeys(whose)),
        "unread": tuple(unread),
    }


def _activated(prefix: Path) -> dict[str, str]:
    if not (prefix / "conda-meta").is_dir() and not (prefix / "pyvenv.cfg").is_file():
        return {}
    from dataloader.prefix.activate import activation
    from dataloader.prefix.variables import counted

    return counted(activation(prefix).variables)


def told(variables: Mapping[str, str], whose: str) -> str:
    """Which variables count, in a line."""
    if not variables:
        return ""
    said = " ".join(f"{name}={value}" for name, value in sorted(variables.items()))
    return f"{said} ({whose or 'of the target'}; --no-env leaves it out)"


def _activated_path(prefix: Path) -> tuple[str, ...]:
    """What activation puts on LD_LIBRARY_PATH: an environment of ours runs activated."""
    from dataloader.prefix.locate import ACTIVATION

    if not (prefix / ACTIVATION).is_file():
        return ()
    from dataloader.prefix.activate import activation

    return activation(prefix).library_path
