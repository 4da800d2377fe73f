"""Lockfile <-> text: the format of pixi.lock (version 6), which rattler's LockFile reads, with our facts beside.

What rattler's model has no place for (a wheel's size, index and extras; a conda package's attestations, which it reads
from version 7 of the format on; what the lock was made from) stands in keys of ours, which it skips. The same values
give the same bytes: keys have a fixed order, packages are sorted.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

from dataloader.base.errors import LockfileError
from dataloader.base.files import replace_named
from dataloader.lockfile.model import Build, CondaPackage, LockedPython, Lockfile, Package, PypiPackage
from dataloader.lockfile.portable import as_read, to_write

FORMAT = 6
OURS = 1
"""Version of our own table in the lock."""

_CONDA_FIELDS = (
    "name version build build_number subdir noarch channel sha256 md5 attestations_sha256 depends constrains "
    "track_features license size timestamp python_site_packages_path"
)
_PYPI_FIELDS = "name version sha256 requires_dist requires_python size extras index build"
_BUILD_FIELDS = "key python platform glibc requires against"
"""In the order they are written."""

_EDITABLE = "#editable=true"
"""What a URL of ours ends with, and stands in the lock beside it, as pixi has it."""
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./+\-]*(?::[A-Za-z0-9_./+\-]+)*")
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "none", "y", "n"}


def lock_bytes(lock: Lockfile, path: Path) -> bytes:
    """Return what a lock at ``path`` holds."""
    return dump_lock(to_write(lock, path.absolute().parent)).encode()


def dump_lock(lock: Lockfile) -> str:
    """Return the text of a lock; the same lock always gives the same bytes."""
    entries = [_reference(p) for p in lock.packages]
    document: dict[str, Any] = {
        "version": FORMAT,
        "environments": {
            "default": {
                "channels": [{"url": url} for url in lock.channels],
                "indexes": list(lock.indexes),
                "packages": {lock.platform: entries},
            }
        },
        "packages": [_package(p) for p in lock.packages],
        "dataloader": {
            "version": OURS,
            "python": _without_empty({"source": lock.python.source, "version": lock.python.version}),
            "requested": sorted(lock.requested),
            "stack": dict(sorted(lock.stack.items())),
            "rules": {name: list(ids) for name, ids in sorted(lock.rules.items())},
            **_without_empty({"published-before": lock.published_before}),
            "inputs": lock.inputs,
        },
    }
    if not lock.indexes:
        del document["environments"]["default"]["indexes"]
    return "\n".join(_emit(document, 0)) + "\n"


def write_lock(lock: Lockfile, path: Path) -> bool:
    """Write the lock in one rename; say whether the file changed."""
    data = lock_bytes(lock, path)
    if path.is_file() and path.read_bytes() == data:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_named(path, data)
    return True


def read_lock(path: Path) -> Lockfile:
    """Read a lock.

    Raises:
        LockfileError: it is missing, or not a lock; the message names the key at fault.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise LockfileError(f"there is no lockfile {path}", code="lockfile-missing") from None
    except OSError as error:
        raise LockfileError(f"{path} cannot be read: {error.strerror}") from error
    return parse_lock(data, path)


def parse_lock(data: bytes, path: Path) -> Lockfile:
    """Turn the bytes of a lock into values; ``path`` says where it lies.

    Raises:
        LockfileError: as :func:`read_lock`.
    """
    import yaml

    refused = _invalid if re.search(rb"^dataloader:", data, re.MULTILINE) else _not_ours
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        document = yaml.load(data, Loader=loader)  # noqa: S506 -- both are safe loaders
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise refused(path, f"it is not YAML: {' '.join(str(error).split())}") from error
    try:
        return as_read(_from_document(document), path.absolute().parent)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise refused(path, _fault(error)) from error


def groups_in(data: bytes) -> tuple[str, ...]:
    """Return the extras and groups that a lock was made with, without reading the rest of it.

    >>> groups_in(b"  inputs:\\n    groups:\\n    - extra:cpu\\n    - group:test\\n    stack: {}\\n")
    ('extra:cpu', 'group:test')
    """
    _, found, rest = data.partition(b"\n    groups:\n")
    lines = rest.decode(errors="replace").splitlines() if found else []
    return tuple(line.removeprefix("    - ").strip('"') for line in takewhile(_is_item, lines))


def _is_item(line: str) -> bool:
    return line.startswith("    - ")


_OUR_NAME = re.compile(r"dataloader(\..+)?\.lock")


def _invalid(path: Path, why: str) -> LockfileError:
    return LockfileError(
        f"{path} is not a lockfile that can be read: {why}",
        suggestions=("restore it from version control, or delete it and run `dataloader lock`",),
    )


def _not_ours(path: Path, why: str) -> LockfileError:
    """Return what is said of a file that may be another tool's: it is not ours to replace."""
    if _OUR_NAME.fullmatch(path.name):
        return _invalid(path, why)
    said = shlex.quote(str(path))
    return LockfileError(
        f"{path} is not a lock of dataloader's: {why}",
        suggestions=(
            f"`dataloader sync --lockfile {said}` installs the lock of another tool",
            f"`dataloader init --from {said}` makes a manifest of it, whose lock is dataloader.lock",
            "if dataloader wrote it, it is damaged: restore it from version control",
        ),
    )


def _fault(error: Exception) -> str:
    return f"the key {error} is missing" if isinstance(error, KeyError) else str(error)


# -- text


def _reference(package: Package) -> dict[str, str]:
    return (
        {"conda": package.url} if isinstance(package, CondaPackage) else {"pypi": package.url.removesuffix(_EDITABLE)}
    )


def _package(package: Package) -> dict[str, Any]:
    fields = _CONDA_FIELDS if isinstance(package, CondaPackage) else _PYPI_FIELDS
    values = {name: getattr(package, name) for name in fields.split()}
    if isinstance(package, PypiPackage) and package.build is not None:
        build = package.build
        said = {name: getattr(build, name) for name in _BUILD_FIELDS.split()}
        values["build"] = _without_empty({**said, "against": dict(sorted(build.against.items())) or None})
    editable = {"editable": True} if isinstance(package, PypiPackage) and package.url.endswith(_EDITABLE) else {}
    return {**_reference(package), **_without_empty(values), **editable}


def _without_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in values.items()
        if value is not None and value != () and value != ""
    }


def _emit(value: Any, depth: int) -> Iterable[str]:
    """Yield the block-style lines of a value at an indent of ``depth`` levels."""
    pad = "  " * depth
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if isinstance(inner, (Mapping, list, tuple)) and inner:
                yield f"{pad}{_scalar(key)}:"
                yield from _emit(inner, depth if isinstance(inner, (list, tuple)) else depth + 1)
            else:
                yield f"{pad}{_scalar(key)}: {_scalar(inner)}"
        return
    for inner in value:
        if isinstance(inner, (Mapping, list, tuple)) and inner:
            first, *rest = list(_emit(inner, depth + 1))
            yield f"{pad}- {first.lstrip()}"
            yield from rest
        else:
            yield f"{pad}- {_scalar(inner)}"


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    # every other scalar, and the empty list or mapping, is YAML in its JSON form; some characters need escapes there
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


# -- values


def _from_document(document: Any) -> Lockfile:
    if not isinstance(document, Mapping) or document.get("version") != FORMAT:
        found = document.get("version") if isinstance(document, Mapping) else None
        raise ValueError(f"its version is {found!r}, not {FORMAT}")
    environment = document["environments"]["default"]
    platforms = list(environment["packages"])
    if len(platforms) != 1:
        raise ValueError(f"it holds {len(platforms)} platforms, not one")
    packages = {entry.get("conda") or entry["pypi"]: entry for entry in document["packages"]}
    ours = document["dataloader"]
    if ours["version"] != OURS:
        raise ValueError(f"its dataloader table has version {ours['version']!r}, not {OURS}")
    return Lockfile(
        platform=platforms[0],
        channels=tuple(channel["url"] for channel in environment["channels"]),
        indexes=tuple(environment.get("indexes", ())),
        python=LockedPython(source=ours["python"]["source"], version=ours["python"].get("version")),
        packages=tuple(
            _to_package(packages[next(iter(ref.values()))]) for ref in environment["packages"][platforms[0]]
        ),
        requested=tuple(ours.get("requested") or ()),
        stack=dict(ours.get("stack") or {}),
        rules={name: tuple(ids) for name, ids in (ours.get("rules") or {}).items()},
        published_before=ours.get("published-before"),
        inputs=dict(ours.get("inputs") or {}),
    )


def _to_package(entry: Mapping[str, Any]) -> Package:
    if "conda" in entry:
        return CondaPackage(
            name=entry["name"],
            version=str(entry["version"]),
            build=str(entry["build"]),
            build_number=entry["build_number"],
            subdir=entry["subdir"],
            url=entry["conda"],
            channel=entry["channel"],
            sha256=entry.get("sha256"),
            md5=entry.get("md5"),
            attestations_sha256=entry.get("attestations_sha256"),
            size=entry.get("size"),
            noarch=entry.get("noarch"),
            depends=tuple(entry.get("depends", ())),
            constrains=tuple(entry.get("constrains", ())),
            license=entry.get("license"),
            timestamp=entry.get("timestamp"),
            python_site_packages_path=entry.get("python_site_packages_path"),
            track_features=tuple(entry.get("track_features", ())),
        )
    return PypiPackage(
        name=entry["name"],
        version=str(entry["version"]),
        url=f"{entry['pypi']}{_EDITABLE}" if entry.get("editable") else entry["pypi"],
        sha256=entry.get("sha256", "") if "build" in entry else entry["sha256"],
        size=entry.get("size"),
        requires_dist=tuple(entry.get("requires_dist", ())),
        requires_python=entry.get("requires_python"),
        extras=tuple(entry.get("extras", ())),
        index=entry.get("index"),
        build=_to_build(entry["build"]) if "build" in entry else None,
    )


def _to_build(entry: Mapping[str, Any]) -> Build:
    return Build(
        key=entry["key"],
        python=str(entry["python"]),
        platform=entry["platform"],
        glibc=entry.get("glibc"),
        requires=tuple(entry.get("requires", ())),
        against={name: str(version) for name, version in entry.get("against", {}).items()},
    )
