"""The Pythons of this machine, each asked once in a process of its own and remembered by path, size and time."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from dataloader.base.files import keep_file, read_kept
from dataloader.base.values import dataclass

_SECONDS = 10.0
_CACHE_VERSION = 1

# Runs under any Python 3; the base interpreter behind a virtual environment is what counts.
_QUESTION = """
import json, os, platform, struct, sys, sysconfig
base = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
var = sysconfig.get_config_var
print(json.dumps({
    "path": base,
    "version": "%d.%d.%d" % sys.version_info[:3],
    "prerelease": sys.version_info[3] != "final",
    "implementation": sys.implementation.name,
    "prefix": sys.base_prefix,
    "machine": platform.machine(),
    "bits": struct.calcsize("P") * 8,
    "multiarch": var("MULTIARCH") or getattr(sys.implementation, "_multiarch", "") or "",
    "soabi": var("SOABI") or "",
    "free_threaded": bool(var("Py_GIL_DISABLED")),
    "debug": bool(var("Py_DEBUG")) or hasattr(sys, "gettotalrefcount"),
    "externally_managed": os.path.isfile(os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")),
}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """A Python that works, as it described itself."""

    path: Path
    """The base interpreter's executable, links resolved; never one of a virtual environment."""
    version: str
    """``"3.11.7"``."""
    implementation: str
    """``sys.implementation.name``: ``cpython``, ``pypy``."""
    prefix: Path
    """``sys.base_prefix``."""
    machine: str
    bits: int
    multiarch: str
    """``x86_64-linux-gnu``, ``x86_64-linux-musl``."""
    soabi: str
    """``cpython-311-x86_64-linux-gnu``."""
    prerelease: bool = False
    free_threaded: bool = False
    debug: bool = False
    externally_managed: bool = False

    @property
    def minor(self) -> str:
        """``"3.11"``."""
        return self.version.rsplit(".", 1)[0]

    @property
    def takes_usual_wheels(self) -> bool:
        """Neither free-threaded nor a debug build, which have ABIs of their own."""
        return not (self.free_threaded or self.debug)

    @property
    def musl(self) -> bool:
        """Built for musl, so that musllinux wheels fit it."""
        return "musl" in self.multiarch or "musl" in self.soabi

    @property
    def abi(self) -> str:
        """The ABI tag of wheels built for it (PEP 425): ``cp311``, ``cp313t``, ``cp313d``."""
        if self.implementation != "cpython":
            return "-".join(self.soabi.split("-")[:2]).replace("-", "_")
        digits = self.minor.replace(".", "")
        return f"cp{digits}{'t' if self.free_threaded else ''}{'d' if self.debug else ''}"


def find_interpreters(
    cache_dir: Path | None = None, environ: Mapping[str, str] | None = None
) -> tuple[Interpreter, ...]:
    """Every CPython >= 3.8 of this machine, most preferred first.

    The running one comes first, then those on PATH, pyenv's, uv's and those of usual places; releases before
    pre-releases, plain builds before free-threaded and debug ones, newer before older. What does not run (a pyenv
    shim of a version that is not set) is left out. Answers are remembered in ``cache_dir``.
    """
    environ = os.environ if environ is None else environ
    answers = _remembered([Path(sys.executable), *_candidates(environ)], cache_dir, environ)
    found: dict[Path, Interpreter] = {}
    for interpreter in answers:
        if _is_usable(interpreter):
            found.setdefault(interpreter.path, interpreter)
    first = answers[0].path if answers else None
    return tuple(sorted(found.values(), key=lambda python: _preference(python, first)))


def each_interpreter(cache_dir: Path | None = None, environ: Mapping[str, str] | None = None) -> Iterator[Interpreter]:
    """As :func:`find_interpreters`; the others are asked only when the running one was not enough."""
    environ = os.environ if environ is None else environ
    running = _remembered([Path(sys.executable)], cache_dir, environ)
    yield from filter(_is_usable, running)
    for interpreter in find_interpreters(cache_dir, environ):
        if interpreter not in running:
            yield interpreter


def find_interpreter(
    minor: str, cache_dir: Path | None = None, environ: Mapping[str, str] | None = None
) -> Interpreter | None:
    """The most preferred Python of one ``major.minor`` version (a full version is matched exactly)."""
    fitting = (
        interpreter
        for interpreter in each_interpreter(cache_dir, environ)
        if minor in {interpreter.minor, interpreter.version}
    )
    return next(fitting, None)


def ask_interpreter(path: Path, environ: Mapping[str, str] | None = None) -> Interpreter | None:
    """Ask one executable what it is; ``None`` when it does not run or is no Python 3."""
    text = _ask(path, os.environ if environ is None else environ)
    return _from_json(text) if text else None


def _remembered(paths: list[Path], cache_dir: Path | None, environ: Mapping[str, str]) -> list[Interpreter]:
    """What those of ``paths`` that run say they are, by the memory in ``cache_dir`` where it knows."""
    candidates = list(dict.fromkeys(path for path in paths if _is_executable(path)))
    memory = _Memory(cache_dir / "interpreters.json" if cache_dir else None)
    answers = _ask_all(candidates, memory, environ)
    memory.save()
    return answers


def _is_usable(interpreter: Interpreter) -> bool:
    return interpreter.implementation == "cpython" and _number(interpreter.version) >= (3, 8)


def _preference(interpreter: Interpreter, running: Path | None) -> tuple[bool, bool, bool, tuple[int, ...]]:
    return (
        interpreter.path != running,
        interpreter.prerelease,
        not interpreter.takes_usual_wheels,
        tuple(-part for part in _number(interpreter.version)),
    )


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _candidates(environ: Mapping[str, str]) -> Iterator[Path]:
    home = Path(environ["HOME"]) if environ.get("HOME") else None
    pyenv = Path(environ["PYENV_ROOT"]) if environ.get("PYENV_ROOT") else home and home / ".pyenv"
    shims = pyenv / "shims" if pyenv else None
    name = re.compile(r"python3(\.\d+)?t?$")
    directories = [Path(part) for part in environ.get("PATH", "").split(":") if part]
    for directory in directories:
        # Shims stand for the versions below, and each would cost a shell.
        if directory != shims:
            yield from _matching(directory, name)
    if pyenv:
        for version in _children(pyenv / "versions"):
            yield version / "bin" / "python3"
    for managed in _uv_directories(environ, home):
        for version in _children(managed):
            yield version / "bin" / "python3"
    for usual in (Path("/usr/local/bin"), Path("/usr/bin")):
        if usual not in directories:
            yield from _matching(usual, name)


def _uv_directories(environ: Mapping[str, str], home: Path | None) -> Iterator[Path]:
    if directory := environ.get("UV_PYTHON_INSTALL_DIR"):
        yield Path(directory)
    elif data := environ.get("XDG_DATA_HOME"):
        yield Path(data, "uv", "python")
    elif home:
        yield home / ".local" / "share" / "uv" / "python"


def _matching(directory: Path, name: re.Pattern[str]) -> list[Path]:
    try:
        found = [entry for entry in os.listdir(directory) if name.match(entry)]  # noqa: PTH208  (/usr/bin has thousands)
    except OSError:
        return []
    return [directory / entry for entry in sorted(found)]


def _children(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []


def _is_executable(path: Path) -> bool:
    return os.access(path, os.X_OK) and path.is_file()


def _ask_all(candidates: list[Path], memory: _Memory, environ: Mapping[str, str]) -> list[Interpreter]:
    """What each candidate says it is, in their order; those that do not run are left out."""
    # Links to one file have one answer, but a virtual environment's link is told by its place.
    answers = {path: memory.recall(path) for path in candidates}
    unknown = [path for path, text in answers.items() if text is None]
    if unknown:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(max_workers=4) as pool:
            for path, text in zip(unknown, pool.map(lambda path: _ask(path, environ), unknown), strict=True):
                answers[path] = text
                memory.remember(path, text)
    described = (_from_json(text) if text else None for text in answers.values())
    return [interpreter for interpreter in described if interpreter is not None]


def _ask(path: Path, environ: Mapping[str, str]) -> str:
    """The answer of one executable; empty when it does not run."""
    try:
        done = subprocess.run(
            [str(path), "-I", "-S", "-c", _QUESTION],
            env={key: value for key, value in environ.items() if not key.startswith("PYTHON")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else ""


def _from_json(text: str) -> Interpreter | None:
    try:
        data = json.loads(text.splitlines()[-1])
        return Interpreter(**(data | {"path": Path(data["path"]), "prefix": Path(data["prefix"])}))
    except (ValueError, TypeError, KeyError, IndexError):
        return None


class _Memory:
    """Answers on disk: ``{executable: [size, mtime in ns, answer]}``. A lost or broken file only costs time."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._entries: dict[str, list[object]] = {}
        self._changed = False
        if path is None:
            return
        try:
            data = json.loads(read_kept(path) or b"{}")
        except ValueError:
            return
        if isinstance(data, dict) and data.get("version") == _CACHE_VERSION and isinstance(data.get("entries"), dict):
            self._entries = data["entries"]

    def recall(self, path: Path) -> str | None:
        """The answer of an executable that has not changed since; ``None`` when it has to be asked."""
        entry = self._entries.get(str(path))
        if isinstance(entry, list) and len(entry) == 3 and entry[:2] == _state(path) and isinstance(entry[2], str):
            return entry[2]
        return None

    def remember(self, path: Path, answer: str) -> None:
        """Keep an answer. A failure is not kept: a shim may work tomorrow."""
        if answer:
            self._entries[str(path)] = [*_state(path), answer]
            self._changed = True

    def save(self) -> None:
        """Write what is new; a cache that cannot be written is no error."""
        if not self._changed or self._path is None:
            return
        keep_file(self._path, json.dumps({"version": _CACHE_VERSION, "entries": self._entries}).encode())


def _state(path: Path) -> list[object]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]
