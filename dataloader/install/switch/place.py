"""Where a sync works: beside the prefix, or inside it where nothing can be put beside (a mounted volume).

beside   .env.dataloader-lease    inside   env/.dataloader/lease     who is at work
         .env.dataloader-tree-*            env/.dataloader/tree-*    the next environment, then the old one
         .env.dataloader-journal           env/.dataloader/journal   a switch that takes several steps
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from dataloader.base.errors import PrefixError
from dataloader.base.values import dataclass
from dataloader.install.switch.mounts import mounts
from dataloader.prefix.locate import OWN_FOLDER


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A prefix and the room to work on it."""

    prefix: Path
    """Without a link at the end."""
    inside: bool

    def helper(self, what: str) -> Path:
        """The path of the ``lease``, the ``journal`` or a ``tree-*``."""
        if self.inside:
            return self.prefix / OWN_FOLDER / what
        return self.prefix.parent / f".{self.prefix.name}.dataloader-{what}"

    def helpers(self) -> list[Path]:
        """All that is there of them, but for the lease."""
        if self.inside:
            found = [*self.helper("").glob("tree-*"), *self.helper("").glob("journal*")]
        else:
            name = "".join(f"[{letter}]" if letter in "*?[" else letter for letter in self.prefix.name)
            found = list(self.prefix.parent.glob(f".{name}.dataloader-*"))
        return sorted(path for path in found if path != self.helper("lease"))

    def new_tree(self) -> Path:
        """Make an empty directory for the next environment, on the prefix's volume."""
        tree = self.helper(f"tree-{uuid.uuid4().hex[:12]}")
        tree.mkdir()
        return tree


def place_of(prefix: Path) -> Place:
    """Where to work on ``prefix``, whose parents are made.

    Raises:
        PrefixError: something is mounted below it; replacing the tree would take that volume's content along.
    """
    real = Path(os.path.realpath(prefix)) if prefix.is_symlink() else prefix.parent.resolve() / prefix.name
    real.parent.mkdir(parents=True, exist_ok=True)
    mounted = mounts()
    below = sorted(path for path in mounted if path.startswith(f"{real}/"))
    if below:
        raise PrefixError(
            f"{real} has other volumes mounted inside it",
            code="prefix-has-mounts",
            causes=tuple(below),
            suggestions=("unmount them while the environment is changed, or mount them elsewhere",),
        )
    inside = real.is_dir() and (str(real) in mounted or not os.access(real.parent, os.W_OK | os.X_OK))
    if inside:
        (real / OWN_FOLDER).mkdir(exist_ok=True)
    return Place(prefix=real, inside=inside)
