"""C++ names for people: ``c++filt`` where the machine has it, else the name as it is in the file."""

from __future__ import annotations

from functools import cache


@cache
def demangle(name: str) -> str:
    """The readable form of one symbol, with its version kept behind ``@``."""
    mangled, _, version = name.partition("@")
    if not mangled.startswith("_Z"):
        return name
    import shutil
    import subprocess

    program = shutil.which("c++filt")
    if program is None:
        return name
    try:
        done = subprocess.run([program, mangled], capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return name
    return done.stdout.strip() + (f"@{version}" if version else "")
