"""The answer to a verify of a prefix in which nothing has changed, before typer and the engine are imported.

It gives the last report again or nothing; whenever anything is unusual the full command takes over and says what it is.
"""

# ruff: noqa: PTH109, PTH110, PTH112, PTH113, PTH118, PTH120
# As dataloader.cli.fast: importing pathlib would cost more than most of the answers here.

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from dataloader.install.status import STATE, lock_digest
from dataloader.locate import DEFAULT_PREFIX, LOCK_NAME, locate_manifest

if TYPE_CHECKING:
    from dataloader.verify.findings import Severity

_FORMS = {"text", "json", "sarif", "junit", "github", "markdown"}
_SEVERITIES = {"error", "warning", "note"}
_KNOWN_VARIABLES = {"DATALOADER_PREFIX", "DATALOADER_LOCKFILE", "DATALOADER_CACHE_DIR"}


def same_report(arguments: Sequence[str], environ: Mapping[str, str]) -> int | None:
    """Write the last report of a prefix again and return the exit code; ``None`` when the full command must look."""
    asked = _read(arguments, environ)
    if asked is None:
        return None
    from dataloader.cache import cache_root
    from dataloader.detect import detect_target
    from dataloader.verify.files import walk
    from dataloader.verify.memo import memo_path, question, recall

    root = os.path.dirname(locate_manifest(os.getcwd()) or "") or os.getcwd()
    prefix = os.path.join(os.getcwd(), asked["--prefix"] or os.path.join(root, DEFAULT_PREFIX))
    cache = cache_root(environ) / "facts"
    if not os.path.isdir(prefix) or not os.path.exists(memo_path(cache, prefix)):
        return None
    gc.disable()  # a great many long-lived values; the process ends here, or goes on as it was
    try:
        lock = lock_held(prefix, asked["--lockfile"] or os.path.join(root, LOCK_NAME))
        about = question([detect_target(None, environ)], digest_of(lock), True, activated_path(prefix), None)
        reports = recall(cache, prefix, about, lambda: walk(prefix))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    finally:
        gc.enable()
    if reports is None or len(reports) != 1:
        return None
    from dataloader.verify.output import FORMATS, fails

    sys.stdout.write(FORMATS[asked["--format"]](reports[0]))
    return int(fails(reports[0], cast("Severity", asked["--fail-on"])))


def _read(arguments: Sequence[str], environ: Mapping[str, str]) -> dict[str, str] | None:
    """Return the options of a plain ``verify``; None for anything that takes more reading."""
    if any(name.startswith("DATALOADER_") and name not in _KNOWN_VARIABLES for name in environ):
        return None
    values = {
        "--prefix": environ.get("DATALOADER_PREFIX", ""),
        "--lockfile": environ.get("DATALOADER_LOCKFILE", ""),
        "--format": "text",
        "--fail-on": "error",
    }
    rest, places = iter(arguments[1:]), []
    for word in rest:
        name, equals, value = word.partition("=")
        name = "--prefix" if name == "-p" else name
        if name in values:
            values[name] = value if equals else next(rest, "")
        elif word == "--json":
            values["--format"] = "json"
        elif word.startswith("-"):
            return None
        else:
            places.append(word)
    if len(places) > 1 or values["--format"] not in _FORMS or values["--fail-on"] not in _SEVERITIES:
        return None
    return values | ({"--prefix": places[0]} if places else {})


def lock_held(prefix: str | os.PathLike[str], path: str | os.PathLike[str]) -> str:
    """The lock that ``prefix`` is held against: ``path``, if the prefix is one of ours; ``""`` where there is none."""
    return os.fspath(path) if os.path.isfile(os.path.join(prefix, STATE)) and os.path.isfile(path) else ""


def digest_of(lock: str) -> str:
    """What stands for a lock file; ``none`` for no file."""
    if not lock:
        return "none"
    with open(lock, "rb") as stream:
        return lock_digest(stream.read())


def activated_path(prefix: str | os.PathLike[str]) -> tuple[str, ...]:
    """What activation puts on LD_LIBRARY_PATH: an environment of ours runs activated."""
    from pathlib import Path

    from dataloader.install.activate import ACTIVATION, activation

    return activation(Path(prefix)).library_path if os.path.isfile(os.path.join(prefix, ACTIVATION)) else ()
