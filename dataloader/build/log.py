"""The log of a build: which of its lines decide, and what they mean in our terms."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

_MOST = 12
"""Lines that are shown of a log."""
_READ = 1 << 20
"""Bytes at its end that are looked at: a log of 200 MB took minutes."""

_DECISIVE = re.compile(
    r"(fatal error:|\berror:|\bError:|Error\b.*:|ERROR\b|CMake Error|undefined reference|cannot find -l|No such file"
    r"|command not found|Killed|Exception\b|not found)"
)
_NOISE = re.compile(r"^\s*(File \"|During handling|The above exception|Traceback|warning:)|0 errors|Werror")


class _Known(NamedTuple):
    pattern: str
    cause: str
    advice: str
    """Both are filled in with the groups of the pattern, and ``{name}``, the project."""


_COMPILER = r"(?P<compiler>[\w+.-]*(?:gcc|cc|g\+\+|c\+\+|clang)[\w+.-]*)"
_NO_COMPILER = (
    "there is no compiler {compiler} on this machine",
    "install a C and C++ compiler (build-essential, gcc-c++), or name one in CC and CXX",
)
_KNOWN = (
    _Known(
        r"Backend '(?P<backend>[\w.:]+)' is not available",
        "its pyproject.toml names the build backend {backend}, which nothing that it asks for has",
        'give it the project that has it, by the manifest: [build.requires] {name} = ["PROJECT"]',
    ),
    _Known(
        r"No module named '?distutils",
        "it needs distutils, which Python has no more since 3.12",
        'take an older --python, or give its build setuptools, which has it: [build.requires] {name} = ["setuptools"]',
    ),
    _Known(
        r"No module named '?(?P<module>\w+)",
        "its build imports {module}, and does not say that it needs it",
        'give it the project that has this module, by the manifest: [build.requires] {name} = ["PROJECT"]',
    ),
    _Known(
        r"fatal error: '?Python\.h'?",
        "this machine's Python has no headers to compile against",
        "install them (python3-dev, python3-devel), or name another Python: --python",
    ),
    _Known(
        r"fatal error: '?(?P<header>[^:'\s]+)'?:? (No such file|file not found)",
        "the header {header} is not on this machine",
        "install the library that has it, with its headers",
    ),
    _Known(
        r"cannot find -l(?P<library>cudart|cublas|cusparse|cusolver|cufft|curand|nvrtc)\b",
        "the library {library} of CUDA is not where its toolkit is looked for",
        "name the toolkit in CUDA_HOME: where nothing does, it is guessed from where nvcc lies",
    ),
    _Known(
        r"cannot find -l(?P<library>[\w+.-]+)",
        "the library {library} is not on this machine",
        "install it, with its headers",
    ),
    _Known(
        r"arch_list\[-1\]",
        "torch asks which GPUs to compile for, and there is none on this machine",
        "say which, with a target: `gpus` in the file that --target names; then lock again",
    ),
    _Known(
        r"CUDA_HOME (?!=)|nvcc['\"]?:? .*(not found|No such file)|Could NOT find CUDA|No CMAKE_CUDA_COMPILER",
        "the CUDA toolkit is not on this machine",
        "install it, and name it in CUDA_HOME; its nvcc has to be of the environment's CUDA",
    ),
    _Known(rf"unable to execute '{_COMPILER}'", *_NO_COMPILER),
    _Known(rf"command '\S*?{_COMPILER}' failed: No such file", *_NO_COMPILER),
    _Known(rf"No such file or directory: '{_COMPILER}'", *_NO_COMPILER),
    _Known(r"No (?P<compiler>CMAKE_CX*_COMPILER) could be found", *_NO_COMPILER),
    _Known(r"Unknown compiler\(s\): \[\['(?P<compiler>[^']+)'", *_NO_COMPILER),
    _Known(
        r"(?i)can't find Rust compiler|cargo\b.*(not found|No such file)",
        "there is no Rust compiler on this machine",
        "install Rust, with cargo",
    ),
    _Known(
        r"(?i)\bKilled\b|virtual memory exhausted|out of memory",
        "its compiler ran out of memory",
        "let fewer run at once: MAX_JOBS=1 before the command",
    ),
)


def end_of(log: Path) -> str:
    """Return what a log says at its end, where a build fails; it may have any length, or not be there."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _READ))
            return file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""


def decisive(log: str) -> tuple[str, ...]:
    r"""Return the lines of a log that say why the build failed; its last ones where none plainly does.

    >>> decisive("gcc -c x.c\nx.c:1: fatal error: foo.h: No such file or directory\nexit status 1")
    ('x.c:1: fatal error: foo.h: No such file or directory',)
    """
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    found = [line for line in lines if _DECISIVE.search(line) and not _NOISE.search(line)]
    return tuple(dict.fromkeys((found or lines)[-_MOST:]))


def meaning(log: str, name: str) -> tuple[str, str] | None:
    """Return what the first known cause in a log means for the build of ``name``, and what can be done about it.

    >>> meaning("x.c:1: fatal error: foo.h: No such file or directory", "demo")
    ('the header foo.h is not on this machine', 'install the library that has it, with its headers')
    """
    for known in _KNOWN:
        if found := re.search(known.pattern, log):
            facts = {**found.groupdict(), "name": name}
            return known.cause.format_map(facts), known.advice.format_map(facts)
    return None
