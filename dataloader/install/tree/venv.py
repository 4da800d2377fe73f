"""A virtual environment on a Python of this machine (PEP 405), made without running ``venv``."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from dataloader.base.errors import PrefixError
from dataloader.base.links import NO_SYMBOLIC_LINKS
from dataloader.install.tree.tree import ENVIRONMENT, PathClash, Tree
from dataloader.machine.interpreters import Interpreter, ask_interpreter


def resolve_interpreter(interpreter: Interpreter | Path) -> Interpreter:
    """What a venv needs to know of a Python; PrefixError when it does not run."""
    if isinstance(interpreter, Interpreter):
        return interpreter
    answer = ask_interpreter(interpreter)
    if answer is None:
        raise PrefixError(
            f"the Python at {interpreter} does not run",
            code="interpreter-broken",
            suggestions=("choose another with --python, or install it again",),
        )
    return answer


def library_name(python: Interpreter) -> str:
    """The folder below lib/ that a Python looks into: ``python3.11``, ``python3.13t``."""
    return f"python{python.minor}{'t' if python.free_threaded else ''}"


def write_venv(tree: Tree, python: Interpreter) -> None:
    """Make the tree a virtual environment of ``python``."""
    minor = python.minor
    for folder in ("bin", "include", f"lib/{library_name(python)}/site-packages"):
        tree.make_folder(folder)
    if python.bits == 64:
        _link(tree, "lib", "lib64")
    _link(tree, str(python.path), "bin/python")
    _link(tree, "python", "bin/python3")
    _link(tree, "python", f"bin/python{minor}")
    tree.owners["pyvenv.cfg"] = ENVIRONMENT
    settings = {
        "home": str(python.path.parent),
        "implementation": python.implementation,
        "version_info": python.version,
        "include-system-site-packages": "false",
        "prompt": " ".join(Path(tree.final).name.split()),  # a line each
    }
    tree.write(
        "pyvenv.cfg",
        "".join(f"{key} = {value}\n" for key, value in settings.items()).encode("utf-8", "surrogateescape"),
    )


def _link(tree: Tree, target: str, path: str) -> None:
    """A symbolic link, or a copy of the program on a volume without such links; PEP 405 allows both."""
    place = Path(tree.root, path)
    if os.path.lexists(place):
        raise PathClash(path, tree.owners.get(path, "A package"), ENVIRONMENT)
    tree.owners[path] = ENVIRONMENT
    try:
        place.symlink_to(target)
    except OSError as error:
        if error.errno not in NO_SYMBOLIC_LINKS:
            raise
        original = place.parent / target
        if original.is_file():
            shutil.copy(original, place)
        else:
            del tree.owners[path]  # lib64, for which lib serves as well
