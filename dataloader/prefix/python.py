"""Which Python will run an environment: its version and the program whose libraries are loaded first."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import NamedTuple

from dataloader.prefix.walk import read_regular

PROGRAM = "bin/python"
"""An environment's Python, whoever made it: venv, virtualenv, uv, conda and pixi call it so."""


class PrefixPython(NamedTuple):
    """The Python of a prefix. Each part is ``None`` where the prefix does not say."""

    version: str | None = None
    """``"3.11"``."""
    program: Path | None = None
    """The ELF file that runs, links followed."""

    def takes_extension(self, file_name: str) -> bool:
        """Whether an import would consider a file of this name: its tag is absent, ``abi3`` or this Python's."""
        tag = extension_tag(file_name)
        if tag is None or tag == "abi3" or self.version is None:
            return True
        wanted = "cpython-" + self.version.replace(".", "")
        return tag == wanted or tag.startswith((wanted + "-", wanted + "m"))


def extension_tag(file_name: str) -> str | None:
    """``cpython-311-x86_64-linux-gnu`` of ``_x.cpython-311-x86_64-linux-gnu.so``; ``None`` for an untagged name.

    >>> extension_tag("_x.abi3.so")
    'abi3'
    >>> extension_tag("libx.so")
    """
    found = re.fullmatch(r"[^.]+\.(cpython-[^.]+|abi3|pypy[^.]+|graalpy[^.]+)\.so", file_name)
    return found[1] if found else None


def find_interpreter(prefix: Path) -> PrefixPython:
    """The Python of ``prefix``; a directory of ``pip install --target`` has none."""
    program: Path | None = None
    for name in ("bin/python3", "bin/python"):
        candidate = prefix / name
        if candidate.is_file():
            program = candidate.resolve()
            break
    return PrefixPython(version=_version(prefix), program=program)


def host_python(prefix: Path) -> PrefixPython | None:
    """The Python of this machine that a virtual environment stands on, with its full version; ``None`` without one."""
    config = prefix / "pyvenv.cfg"
    if not config.is_file():
        return None
    found = find_interpreter(prefix)
    text = config.read_text(encoding="utf-8", errors="replace")
    full = re.search(r"^version(?:_info)?\s*=\s*(\d+\.\d+\.\d+)", text, re.MULTILINE)
    return found._replace(version=full[1]) if full else found


def missing_python(prefix: Path) -> str | None:
    """Why nothing runs in the Python of ``prefix``, as the end of a sentence; ``None`` where it can, or is not one's.

    Only the files are looked at: a venv whose Python was uninstalled, a conda environment whose ``bin`` was emptied.
    """
    if not (prefix / "pyvenv.cfg").is_file() and not any((prefix / "conda-meta").glob("python-3*.json")):
        return None
    program = prefix / PROGRAM
    if program.is_file() and os.access(program, os.X_OK):
        return None
    if program.is_symlink() and not program.exists():
        return f"{PROGRAM} leads to {os.path.realpath(program)}, where nothing is"
    return f"{PROGRAM} is no program" if program.exists() else f"there is no {PROGRAM}"


def _version(prefix: Path) -> str | None:
    config = prefix / "pyvenv.cfg"
    if config.is_file():
        text = config.read_text(encoding="utf-8", errors="replace")
        found = re.search(r"^version(?:_info)?\s*=\s*(\d+\.\d+)", text, re.MULTILINE)
        if found:
            return found[1]
    for record in sorted((prefix / "conda-meta").glob("python-3*.json")):
        try:
            version = json.loads(read_regular(record).decode("utf-8", "replace")).get("version")
        except (OSError, ValueError, AttributeError, RecursionError):
            continue  # read_installed says that this record cannot be read
        if isinstance(version, str):
            return ".".join(version.split(".")[:2])
    folders = sorted(path.name.removeprefix("python") for path in prefix.glob("lib/python3.*") if path.is_dir())
    return folders[-1] if len(folders) == 1 else None
