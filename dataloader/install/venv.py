"""A virtual environment on a Python of this machine (PEP 405), made without running ``venv``."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from dataloader.errors import PrefixError
from dataloader.install.tree import ENVIRONMENT, Tree

_QUESTION = """
import json, os, sys
base = getattr(sys, "_base_executable", None) or sys.executable
if sys.prefix != sys.base_prefix and os.path.realpath(base) == os.path.realpath(sys.executable):
    base = os.path.join(sys.base_prefix, "bin", "python%d.%d" % sys.version_info[:2])
print(json.dumps({"executable": base, "version": "%d.%d.%d" % sys.version_info[:3],
                  "implementation": sys.implementation.name, "wide": sys.maxsize > 2**32,
                  "free_threaded": "t" in sys.abiflags}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPython:
    """An interpreter of this machine, as a venv needs to know it."""

    executable: str
    """Never the one of a virtual environment: what that one stands on."""
    version: str
    """Three parts."""
    implementation: str
    wide: bool
    """Built for 64 bits."""
    free_threaded: bool

    @property
    def minor(self) -> str:
        """``major.minor``."""
        return ".".join(self.version.split(".")[:2])

    @property
    def library(self) -> str:
        """The name of its folder below lib/."""
        return f"python{self.minor}{'t' if self.free_threaded else ''}"


def probe_python(path: Path) -> HostPython:
    """Ask an interpreter for what a venv needs; PrefixError when it does not answer."""
    try:
        answer = subprocess.run([path, "-I", "-S", "-c", _QUESTION], capture_output=True, check=True, timeout=60)
        facts = json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise PrefixError(
            f"The Python at {path} does not run.",
            code="interpreter-broken",
            causes=(str(error),),
            suggestions=("Choose another with --python, or install it again.",),
        ) from error
    return HostPython(**facts)


def write_venv(tree: Tree, python: HostPython) -> None:
    """Make the tree a virtual environment of ``python``."""
    minor = python.minor
    for folder in ("bin", "include", f"lib/{python.library}/site-packages"):
        tree.make_folder(folder)
    if python.wide:
        _link(tree, "lib", "lib64")
    _link(tree, python.executable, "bin/python")
    _link(tree, "python", "bin/python3")
    _link(tree, "python", f"bin/python{minor}")
    tree.owners["pyvenv.cfg"] = ENVIRONMENT
    settings = {
        "home": str(Path(python.executable).parent),
        "implementation": python.implementation,
        "version_info": python.version,
        "include-system-site-packages": "false",
        "prompt": Path(tree.final).name,
    }
    tree.write("pyvenv.cfg", "".join(f"{key} = {value}\n" for key, value in settings.items()).encode())


def _link(tree: Tree, target: str, path: str) -> None:
    Path(tree.root, path).symlink_to(target)
    tree.owners[path] = ENVIRONMENT
