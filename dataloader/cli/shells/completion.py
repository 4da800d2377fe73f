"""``dataloader completion``: typer's, which asks this program at each TAB."""

from __future__ import annotations

from typing import Annotated, Literal

from dataloader.cli.line.command import command
from dataloader.cli.line.options import CommonOptions, Operand

VARIABLE = "_DATALOADER_COMPLETE"
"""Set by the shell at a TAB."""
_TYPERS = {"powershell": "pwsh"}
"""Ours -> typer's name."""


@command(example='eval "$(dataloader completion bash)"', takes=("Output",))
def completion(
    options: CommonOptions,
    shell: Annotated[Literal["bash", "zsh", "fish", "powershell"], Operand("SHELL", "bash, zsh, fish or powershell.")],
) -> int:
    """Print the shell code that completes commands and options at a TAB."""
    from typer._completion_shared import get_completion_script

    from dataloader.cli.stages.session import open_session

    script = get_completion_script(prog_name="dataloader", complete_var=VARIABLE, shell=_TYPERS.get(shell, shell))
    text = f"{script.strip()}\n"
    with open_session(options) as session:
        session.write({"status": "ok", "shell": shell, "script": text}, text)
    return 0


def complete(arguments: list[str]) -> int:
    """Answer a TAB."""
    from typer._completion_classes import completion_init

    from dataloader.cli.line.grammar import run

    completion_init()
    return run(arguments)
