"""``dataloader shell-hook``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from dataloader.base.errors import UsageError
from dataloader.cli.line.command import PREFIX, command
from dataloader.cli.line.options import CommonOptions, own_option

if TYPE_CHECKING:
    from dataloader.prefix.activate import Dialect


@command(example='eval "$(dataloader shell-hook -p /opt/env)"', takes=PREFIX)
def shell_hook(
    options: CommonOptions,
    shell: Annotated[
        Literal["posix", "bash", "zsh", "fish", "csh", "tcsh", "powershell", "pwsh"] | None,
        own_option("--shell", "-s", about="Shell to write for; else $SHELL."),
    ] = None,
) -> int:
    """Print the shell code that activates the environment."""
    from dataloader.cli.stages.session import open_session
    from dataloader.cli.stages.use import check_python, home_of, prefix_of
    from dataloader.prefix.activate import activation

    dialect = spoken(shell or Path(os.environ.get("SHELL", "sh")).name)
    with open_session(options) as session:
        prefix = home_of(prefix_of(session))
        active = activation(prefix)
        check_python(prefix)
        text = active.shell(session.environ, dialect)
        session.write({"status": "ok", "prefix": str(prefix), "shell": dialect, "script": text}, text)
    return 0


def spoken(shell: str) -> Dialect:
    """What a shell reads.

    Raises:
        UsageError: ``shell-unsupported``.
    """
    from dataloader.prefix.activate import dialect_of

    dialect = dialect_of(shell)
    if dialect is None:
        raise UsageError(
            f"the shell {shell} is not spoken",
            code="shell-unsupported",
            suggestions=("use `dataloader run -- CMD`", "`dataloader shell-hook --shell posix` is for sh and its kin"),
        )
    return dialect
