"""The distribution that brought this program: its name on an index is neither the command's nor the package's."""

from __future__ import annotations

from importlib.metadata import entry_points

COMMAND, STARTS = "dataloader", "dataloader.__main__:main"


def extra_command(extra: str, *projects: str) -> str:
    """Return the command that installs an optional part of this program.

    The name is read from what is installed: somebody else's distribution may have the name of our command. A checkout
    that was never installed has none, and gets the projects themselves.

    Args:
        extra: As pyproject.toml has it.
        projects: What the extra brings.
    """
    points = [point for point in entry_points(group="console_scripts", name=COMMAND) if point.value == STARTS]
    names = [point.dist.name for point in points if point.dist is not None]
    return f"pip install '{names[0]}[{extra}]'" if names else f"pip install {' '.join(projects)}"
