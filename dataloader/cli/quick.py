"""Quick answers: a sync with nothing to do, and what verify said last where nothing has changed since.

A quick answer is that of the full command, exit code and standard output: the full command notes what its answer
depends on, and here it is seen that this is the same. Whatever is unusual, or cannot be told without importing more, is
left to it; a mistake is its to name. A sync with nothing to do takes 22 ms so, of which an empty Python takes 11, and
260 ms otherwise; a verify again 20 for 90.
"""

# ruff: noqa: PTH100, PTH109, PTH112, PTH118
# As dataloader.prefix.locate: importing pathlib would cost more than most of the answers here.

from __future__ import annotations

import os
import sys

from dataloader.cli.line.words import Unusual, part
from dataloader.prefix.locate import (
    as_seen,
    locate_manifest,
    lock_held,
    lock_in,
    lock_noted,
    manifest_noted,
    own_files,
    plain_path,
    prefix_in,
    root_of,
    same_file,
)

TYPE_CHECKING = False  # typing takes 10 ms to import
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Said = dict[str, str | bool]
    """Option or operand -> its value. What was not said is not there."""

_PLACES: dict[str, tuple[str, bool | None]] = {
    "--prefix": ("prefix", None),
    "-p": ("prefix", None),
    "--lockfile": ("lockfile", None),
}
SPELLED: dict[str, dict[str, tuple[str, bool | None]]] = {
    "sync": {
        **_PLACES,
        "--frozen": ("frozen", True),
        "--locked": ("locked", True),
        "--check": ("check", True),
        "--offline": ("offline", True),
        "--quiet": ("quiet", True),
        "-q": ("quiet", True),
        "--events": ("events", None),
        "--status-file": ("status_file", None),
        "--metrics-file": ("metrics_file", None),
    },
    "verify": {
        **_PLACES,
        "--format": ("form", None),
        "--fail-on": ("fail_on", None),
        "--json": ("json", True),
    },
}
"""What can be typed here, as the commands declare it (a test compares): all of it has no say in the answer, or is
heeded here."""

VARIABLES = {
    "sync": {
        "DATALOADER_PREFIX": "prefix",
        "DATALOADER_LOCKFILE": "lockfile",
        "DATALOADER_EVENTS": "events",
        "DATALOADER_STATUS_FILE": "status_file",
        "DATALOADER_METRICS_FILE": "metrics_file",
        "DATALOADER_OFFLINE": "offline",
    },
    "verify": {"DATALOADER_PREFIX": "prefix", "DATALOADER_LOCKFILE": "lockfile"},
}
ARCHIVES = (".whl", ".conda", ".tar.bz2")
"""How the names of package files end."""
_HARMLESS = {"DATALOADER_CACHE_DIR"} | {
    f"DATALOADER_{name}" for name in ("CHANNEL", "CONDA", "EXTRA_INDEX_URL", "FIND_LINKS", "INDEX_URL", "MIRROR")
}
"""Variables of ours that have no say here: they stand for no option, or for one that only solving reads. Whether a sync
would solve is asked of the agreement, which has their values; verify takes none of them."""
FORMS = {"text", "json", "sarif", "junit", "github", "markdown"}
SEVERITIES = {"error", "warning", "note"}


def answer(arguments: Sequence[str], environ: Mapping[str, str]) -> int | None:
    """Answer a command line as the full command would: the exit code, or ``None`` with nothing written.

    Args:
        arguments: Those of the process.
        environ: Its environment.
    """
    known = {"sync": _nothing_to_do, "verify": _same_report}
    if not arguments or arguments[0] not in known:
        return None
    try:
        text, code = known[arguments[0]](_read(arguments, environ), environ)
        sys.stdout.write(text)
    except (Unusual, OSError, ValueError):
        return None
    return code


def _read(arguments: Sequence[str], environ: Mapping[str, str]) -> Said:
    """Return what was said by words, or else by variables.

    Raises:
        Unusual: this takes more reading.
    """
    command, variables = arguments[0], VARIABLES[arguments[0]]
    if any(name.startswith("DATALOADER_") and name not in variables and name not in _HARMLESS for name in environ):
        raise Unusual
    said: Said = {name: environ[variable] for variable, name in variables.items() if environ.get(variable)}
    if said.get("offline", "1") not in {"0", "1"}:
        raise Unusual
    given, free = part(arguments[1:], SPELLED[command])
    if not all(free) or not all(value for values in given.values() for value in values):
        raise Unusual  # an empty text
    said |= {name: values[-1] for name, values in given.items()}
    if free:
        if command != "verify" or len(free) > 1 or "prefix" in given:
            raise Unusual
        said["prefix"] = free[0]
    return said


def _where(said: Said) -> tuple[str | None, str, str]:
    """Return the paths of the manifest, the lock and the prefix."""
    here = os.getcwd()
    manifest = locate_manifest(here)
    root = root_of(manifest, here)
    noted = lock_noted(str(said["prefix"])) if manifest is None and "prefix" in said else None
    lock, prefix = said.get("lockfile") or noted or lock_in(root), said.get("prefix") or prefix_in(root)
    return manifest, plain_path(str(lock)), plain_path(str(prefix))


def _nothing_to_do(said: Said, environ: Mapping[str, str]) -> tuple[str, int]:
    """Answer ``sync``, if the prefix matches its lock and everything is as at the last sync.

    Raises:
        Unusual: there may be something to do.
    """
    from dataloader.cli.stages.agreement import agreement, stands
    from dataloader.prefix.unchanged import fast_status, has_remains

    if "frozen" in said and "locked" in said:
        raise Unusual
    manifest, lock, prefix = _where(said)
    with open(lock, "rb") as stream:
        data = stream.read()
    if not (
        fast_status(prefix, data)
        and not has_remains(prefix)
        and stands(prefix, agreement(manifest, data, environ, fits=not (manifest and "frozen" in said)))
    ):
        raise Unusual
    text = f"{as_seen(prefix)} matches the lock already\n"
    text.encode(sys.stdout.encoding, sys.stdout.errors or "strict")
    if any(said.get(name) for name in ("events", "status_file", "metrics_file")):
        _report(said, prefix, data, [lock, *own_files(manifest, os.getcwd())])
    return "" if said.get("events") == "-" else text, 0


def _report(said: Said, prefix: str, lock: bytes, own: list[str]) -> None:
    """Tell the programs that asked for it that nothing was to be done."""
    from dataloader.cli.telling.run import Run
    from dataloader.cli.telling.telemetry import OUTLETS, Telemetry, files_of
    from dataloader.prefix.unchanged import lock_digest

    asked = {name: said.get(name) for name in OUTLETS}
    if any(same_file(path, own_file) for _, path in files_of(asked) for own_file in own):
        raise Unusual  # it is refused in words
    telemetry = Telemetry(asked, Run("sync", "default"), lambda message: sys.stderr.write(f"[WARN] {message}\n"))
    telemetry.event("environment", prefix=os.path.abspath(prefix), lock=lock_digest(lock))
    # Each package of a lock is one entry of a list that is not indented.
    count = lock.count(b"\n- conda: ") + lock.count(b"\n- pypi: ")
    nothing = {"install": 0, "replace": 0, "remove": 0, "keep": count, "rebuild": [], "bytes": 0}
    with telemetry.stage("plan"):
        pass  # the plan is that everything stays
    telemetry.event("planned", packages=count, **nothing)
    telemetry.event("synced", changed=False)
    telemetry.close(0)


def _names_rows(manifest: str | None) -> bool:
    """Whether a manifest may name rows of the matrix: what they say is asked each time."""
    if manifest is None:
        return False
    with open(manifest, "rb") as stream:
        return b"matrix" in stream.read()


def _same_report(said: Said, environ: Mapping[str, str]) -> tuple[str, int]:
    """Answer ``verify`` with the last report.

    Raises:
        Unusual: something has changed, or nothing was said yet.
    """
    from dataloader.base.cache import cache_folder
    from dataloader.verify.memory.answer import plain_question, read_answer
    from dataloader.verify.memory.changed import CheckAhead

    form, fail_on = str(said.get("form", "json" if "json" in said else "text")), str(said.get("fail_on", "error"))
    if form not in FORMS or fail_on not in SEVERITIES or ("json" in said and form != "json"):
        raise Unusual
    _, lock, prefix = _where(said)
    if prefix.endswith(ARCHIVES) or not os.path.isdir(prefix):
        raise Unusual
    prefix = os.path.join(os.getcwd(), prefix)
    if _names_rows(manifest_noted(prefix)):
        raise Unusual
    last = read_answer(os.path.join(cache_folder(environ), "facts"), prefix)
    if last is None:
        raise Unusual
    check = CheckAhead(prefix, last.parts)
    try:
        question = plain_question(prefix, lock_held(prefix, lock), environ)
        if not (question and last.stands(question) and check.is_same()):
            raise Unusual
    finally:
        check.close()
    text = last.forms[form]
    if form == "text" and sys.stdout.isatty():
        from dataloader.cli.telling.folding import columns_of, folded

        text = folded(text, columns_of(sys.stdout))
    return text, int(fail_on in last.failing.split())
