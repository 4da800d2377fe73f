"""Read what is in a prefix: whose it is, what it holds, which files belong to packages. Writes only the state file."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator
from dataclasses import field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from dataloader.base.errors import PrefixError
from dataloader.base.names import normalized
from dataloader.base.values import dataclass
from dataloader.prefix.layout import main_site_packages
from dataloader.prefix.locate import JOURNAL, OWN_FOLDER, STATE
from dataloader.prefix.model import Installed, Inventory
from dataloader.prefix.rows import BadRecord, record_rows
from dataloader.prefix.unchanged import STATE_VERSION

Nature: TypeAlias = Literal["absent", "empty", "ours", "conda", "venv", "foreign"]


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the last sync noted down."""

    lock_digest: str | None
    target_prefix: str
    interpreter: str | None
    """The host Python it stands on, as asked for."""
    site_packages: str | None
    wheels: dict[str, str]
    """Name to sha256."""
    requested: tuple[str, ...]
    generated: tuple[str, ...]
    """Paths of the environment itself, which no package records."""
    fingerprint: str = ""
    slips: dict[str, dict[str, str]] = field(default_factory=dict)
    """Path of each file of which its package's own RECORD said otherwise -> ``published`` and ``installed`` hash."""
    lockfile: str | None = None
    """Path of the lock that it was made from."""
    platform: str | None = None
    """The platform whose lock it was made from."""
    environment: str | None = None
    """What that lock is called in its file."""
    manifest: str | None = None
    """Path of the manifest that the lock was made from, where there was one."""
    inputs: dict[str, Any] = field(default_factory=dict)
    """What the lock was made from: what was asked for, as ``Request.inputs`` has it."""
    trees: tuple[tuple[str, bool, str], ...] = ()
    """Local trees: folder, whether the environment leads there, and what they looked like."""

    def to_bytes(self) -> bytes:
        """The state file's content."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return (json.dumps({"version": STATE_VERSION, **fields}, indent=1, sort_keys=True) + "\n").encode()


def read_state(prefix: Path) -> State | None:
    """The state of a prefix of ours; ``None`` when it has none that can be read."""
    try:
        content = json.loads((prefix / STATE).read_bytes())
        if content.pop("version") != STATE_VERSION:
            return None
        content |= {name: tuple(content[name]) for name in ("requested", "generated")}
        content["trees"] = tuple(map(tuple, content.get("trees", ())))
        return State(**content)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def nature(prefix: Path) -> Nature:
    """Whose the directory is."""
    try:
        names = {path.name for path in prefix.iterdir()}
    except FileNotFoundError:
        return "absent"
    except NotADirectoryError as error:
        raise PrefixError(f"{prefix} is not a directory", code="prefix-foreign") from error
    if not names - {"lost+found"}:
        return "empty"
    if (prefix / STATE).is_file() or (prefix / JOURNAL).is_file():
        return "ours"
    if names <= {OWN_FOLDER, "lost+found"}:
        return "empty"  # a first sync is at work, or died, inside a mounted volume
    if "conda-meta" in names:
        return "conda"
    return "venv" if "pyvenv.cfg" in names else "foreign"


def check_usable(prefix: Path, *, adopt: bool) -> None:
    """Refuse a directory that another tool or a person filled."""
    found = nature(prefix)
    if found == "foreign":
        raise PrefixError(
            f"{prefix} is not empty and is not an environment",
            code="prefix-foreign",
            suggestions=("choose another directory with --prefix",),
        )
    if found in {"conda", "venv"} and not adopt:
        raise PrefixError(
            f"{prefix} is a {found} environment that another tool made",
            code="prefix-foreign",
            suggestions=(
                "take it over, what the lock does not name goes: `dataloader sync --adopt`",
                "or choose another directory with --prefix",
            ),
        )


def read_inventory(prefix: Path) -> Inventory:
    """The packages of both worlds that ``prefix`` holds."""
    state = read_state(prefix)
    site_packages = state.site_packages if state else main_site_packages(prefix)
    conda: list[Installed] = []
    conda_files: set[str] = set()
    for location, record in _conda_records(prefix):
        conda_files.update(path for path in record.get("files", ()) if path.endswith("/METADATA"))
        conda.append(
            Installed(
                kind="conda",
                name=str(record.get("name")),
                version=str(record.get("version")),
                build=record.get("build"),
                sha256=record.get("sha256"),
                location=location,
            )
        )
    wheels = [
        installed
        for installed in _distributions(prefix, site_packages)
        if f"{installed.location}/METADATA" not in conda_files
    ]
    digests = state.wheels if state else {}
    found = [*conda, *(_with_digest(wheel, digests) for wheel in wheels)]
    match = re.search(r"python(\d+\.\d+)t?/", site_packages or "")
    return Inventory(
        packages=tuple(sorted(found, key=lambda package: (package.kind, package.name))),
        python=match[1] if match else None,
        site_packages=site_packages,
    )


def installed(prefix: Path) -> Inventory:
    """The packages of both worlds in ``prefix``; PrefixError when there is no environment."""
    if not prefix.is_dir():
        raise PrefixError(f"there is no environment at {prefix}", code="prefix-missing")
    return read_inventory(prefix)


def owned_paths(prefix: Path) -> set[str]:
    """Every path that a package or the environment itself put there, relative to the prefix."""
    state = read_state(prefix)
    owned = set(state.generated) if state else {"pyvenv.cfg", "bin/python", "bin/python3", "lib64"}
    for location, record in _conda_records(prefix):
        owned.add(location)
        owned.update(record.get("files", ()))
    site_packages = state.site_packages if state else main_site_packages(prefix)
    for wheel in _distributions(prefix, site_packages):
        owned.update(f"{wheel.location}/{name}" for name in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json"))
        owned.update(recorded_paths(prefix, wheel.location))
    return owned


def recorded_paths(prefix: Path, location: str) -> Iterator[str]:
    """The files of one distribution by its RECORD, relative to the prefix; nothing that lies outside.

    Raises:
        PrefixError: ``prefix-damaged``; it is no CSV.
    """
    try:
        text = (prefix / location / "RECORD").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return
    site_packages = posixpath.dirname(location)
    try:
        rows = record_rows(text)
    except BadRecord as error:
        raise _damaged(prefix, f"the RECORD of {prefix / location} cannot be read: {error}") from error
    for name, _, _ in rows:
        path = posixpath.normpath(f"{site_packages}/{name}") if name.startswith(".") else f"{site_packages}/{name}"
        if not path.startswith("../"):
            yield path


def _conda_records(prefix: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted((prefix / "conda-meta").glob("*.json")):
        try:
            record = json.loads(path.read_bytes())
        except ValueError as error:
            raise _damaged(prefix, f"{path} is not JSON") from error
        if isinstance(record, dict):
            yield f"conda-meta/{path.name}", record


def _distributions(prefix: Path, site_packages: str | None) -> Iterator[Installed]:
    if site_packages is None:
        return
    for path in sorted((prefix / site_packages).glob("*.dist-info")):
        name, version = _name_and_version(path)
        if name and version:
            yield Installed(
                kind="pypi",
                name=normalized(name),
                version=version,
                installer=_read(path / "INSTALLER").strip() or None,
                location=f"{site_packages}/{path.name}",
            )


def _name_and_version(dist_info: Path) -> tuple[str | None, str | None]:
    header = _read(dist_info / "METADATA").split("\n\n", 1)[0]
    fields = dict(line.partition(": ")[::2] for line in header.splitlines() if line.startswith(("Name: ", "Version: ")))
    return fields.get("Name", "").strip() or None, fields.get("Version", "").strip() or None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _with_digest(wheel: Installed, digests: dict[str, str]) -> Installed:
    return replace(wheel, sha256=digests.get(wheel.name))


def _damaged(prefix: Path, message: str) -> PrefixError:
    return PrefixError(
        message, code="prefix-damaged", suggestions=(f"remove {prefix} and run `dataloader sync` again",)
    )
