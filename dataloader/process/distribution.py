"""The distribution that brought this program: its name on an index is neither the command's nor the package's."""

from __future__ import annotations

from importlib.metadata import Distribution, entry_points

COMMAND, STARTS = "dataloader", "dataloader.__main__:main"


def extra_command(extra: str, *projects: str) -> str:
    """Return the command that installs an optional part of this program.

    The name is read from what is installed: somebody else's distribution may have the name of our command. A checkout
    that was never installed has none, and gets the projects themselves.

    Args:
        extra: As pyproject.toml has it.
        projects: What the extra brings.
    """
    ours = own_distribution()
    return f"pip install '{ours.name}[{extra}]'" if ours is not None else f"pip install {' '.join(projects)}"


def own_distribution() -> Distribution | None:
    """Return the distribution that has our command; a checkout that was never installed has none."""
    points = [point for point in entry_points(group="console_scripts", name=COMMAND) if point.value == STARTS]
    return next((point.dist for point in points if point.dist is not None), None)
