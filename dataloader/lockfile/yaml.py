"""Lockfile <-> text: the format of pixi.lock (version 6), which rattler's LockFile reads, with our facts beside.

What rattler's model has no place for (a wheel's size, index and extras; a conda package's attestations, which it reads
from version 7 of the format on; what the lock was made from) stands in keys of ours, which it skips. The same values
give the same bytes: keys have a fixed order, packages are sorted.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dataloader.base.errors import LockfileError
from dataloader.base.files import replace_named
from dataloader.lockfile.model import DEFAULT, Build, CondaPackage, LockedPython, Lockfile, Package, PypiPackage
from dataloader.lockfile.parts import beside, meant, of_environment
from dataloader.lockfile.portable import as_read, to_write

FORMAT = 6
OURS = 1
"""Version of our own table in a lock for one platform."""
OF_SEVERAL = 2
"""Version of it where it has a table for each platform."""
OF_ENVIRONMENTS = 3
"""Version of it where it has one for each platform of each environment."""

_CONDA_FIELDS = (
    "name version build build_number subdir noarch channel sha256 md5 attestations_sha256 depends constrains "
    "track_features license size timestamp python_site_packages_path"
)
_PYPI_FIELDS = "name version sha256 requires_dist requires_python size extras index build"
_BUILD_FIELDS = "key python platform glibc requires against abi isolated"
"""In the order they are written."""

_EDITABLE = "#editable=true"
"""What a URL of ours ends with, and stands in the lock beside it, as pixi has it."""
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./+\-]*(?::[A-Za-z0-9_./+\-]+)*")
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "none", "y", "n"}


def lock_bytes(lock: Lockfile, path: Path, others: Iterable[Lockfile] = ()) -> bytes:
    """Return what a file at ``path`` holds: a lock, and ``others`` of its environments and platforms."""
    return dump_locks([to_write(lockfile, path.absolute().parent) for lockfile in beside(others, [lock])]).encode()


def dump_lock(lock: Lockfile) -> str:
    """Return the text of a lock for one platform."""
    return dump_locks([lock])


def dump_locks(parts: Sequence[Lockfile]) -> str:
    """Return the text of a file that holds locks for several platforms; the same locks always give the same bytes.

    What they share stands once: a package that two of them have, and what is said of all of an environment.
    """
    packages: dict[str, dict[str, Any]] = {}
    for said in (_package(package) for part in parts for package in part.packages):
        packages.setdefault(_url_in(said), said)
    names = tuple(dict.fromkeys(part.environment for part in parts))
    environments = {name: of_environment(parts, name) for name in names}
    tables = {
        name: {part.platform: _table_of(part, packages, own[0]) for part in own} for name, own in environments.items()
    }
    document: dict[str, Any] = {
        "version": FORMAT,
        "environments": {name: _environment(own) for name, own in environments.items()},
        "packages": list(packages.values()),
        "dataloader": _ours(tables),
    }
    return "\n".join(_emit(document, 0)) + "\n"


def _environment(own: Sequence[Lockfile]) -> dict[str, Any]:
    """Return what pixi reads of one environment."""
    first = own[0]
    return {
        "channels": [{"url": url} for url in first.channels],
        **({"indexes": list(first.indexes)} if first.indexes else {}),
        "packages": {part.platform: [_reference(p) for p in part.packages] for part in own},
    }


def _ours(tables: Mapping[str, Mapping[str, dict[str, Any]]]) -> dict[str, Any]:
    """Return our table, of environments and their platforms, no deeper than what there is."""
    if set(tables) != {DEFAULT}:
        return {"version": OF_ENVIRONMENTS, "environments": tables}
    (own,) = tables.values()
    if len(own) > 1:
        return {"version": OF_SEVERAL, "platforms": own}
    (table,) = own.values()
    return {"version": OURS, **table}


def _table_of(part: Lockfile, packages: Mapping[str, Mapping[str, Any]], first: Lockfile) -> dict[str, Any]:
    """Return what our table says of one platform: also what differs from what stands above it."""
    own = [package for package in map(_package, part.packages) if packages[_url_in(package)] != package]
    return {
        **({"channels": list(part.channels)} if part.channels != first.channels else {}),
        **({"indexes": list(part.indexes)} if part.indexes != first.indexes else {}),
        "python": _without_empty({"source": part.python.source, "version": part.python.version}),
        "requested": sorted(part.requested),
        "stack": dict(sorted(part.stack.items())),
        "rules": {name: list(ids) for name, ids in sorted(part.rules.items())},
        **_without_empty({"published-before": part.published_before}),
        "inputs": part.inputs,
        **({"packages": own} if own else {}),
    }


def _url_in(entry: Mapping[str, Any]) -> str:
    """Return what an entry stands under."""
    return str(entry.get("conda") or entry["pypi"])


def write_lock(lock: Lockfile, path: Path) -> bool:
    """Write the lock in one rename; say whether the file changed."""
    data = lock_bytes(lock, path)
    if path.is_file() and path.read_bytes() == data:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_named(path, data)
    return True


def read_lock(path: Path, platform: str | None = None, environment: str | None = None) -> Lockfile:
    """Read a lock: that of ``platform`` where it is said, else the only one of the file, else this machine's.

    So it is with ``environment``, whose default is ``default``.

    Raises:
        LockfileError: it is missing, or cannot be read; ``lock-unfit``, it is for others.
    """
    return meant(read_locks(path), platform, path, environment)


def read_locks(path: Path) -> tuple[Lockfile, ...]:
    """Read the locks of a file, for all its environments and platforms, in their order.

    Raises:
        LockfileError: it is missing, or cannot be read.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise LockfileError(f"there is no lockfile {path}", code="lockfile-missing") from None
    except OSError as error:
        raise LockfileError(f"{path} cannot be read: {error.strerror}") from error
    return parse_locks(data, path)


def parse_lock(data: bytes, path: Path, platform: str | None = None, environment: str | None = None) -> Lockfile:
    """As :func:`read_lock`, of the bytes of a file; ``path`` says where it lies."""
    return meant(parse_locks(data, path), platform, path, environment)


def parse_locks(data: bytes, path: Path) -> tuple[Lockfile, ...]:
    """As :func:`read_locks`, of the bytes of a file; ``path`` says where it lies."""
    import yaml

    refused = _invalid if re.search(rb"^dataloader:", data, re.MULTILINE) else _not_ours
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        document = yaml.load(data, Loader=loader)  # noqa: S506 -- both are safe loaders
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise refused(path, f"it is not YAML: {' '.join(str(error).split())}") from error
    try:
        return tuple(as_read(part, path.absolute().parent) for part in _from_document(document))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise refused(path, _fault(error)) from error


def groups_in(data: bytes, environment: str = DEFAULT) -> tuple[str, ...]:
    """Return the extras and groups that a lock was made with, without reading the rest of it.

    >>> groups_in(b"  inputs:\\n    groups:\\n    - extra:cpu\\n    - group:test\\n    stack: {}\\n")
    ('extra:cpu', 'group:test')
    """
    if several := re.search(rb"\ndataloader:\n  version: 3\n  environments:\n(.*)", data, re.DOTALL):
        own = re.search(
            rb"^    %s:\n((?:      .*\n)*)" % re.escape(_scalar(environment).encode()), several[1], re.MULTILINE
        )
        data = own[1] if own else b""
    found = re.search(rb"\n((?:  ){2,5})groups:\n((?:\1- .*\n)+)", data)
    lines = found[2].decode(errors="replace").splitlines() if found else []
    return tuple(line.strip().removeprefix("- ").strip('"') for line in lines)


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
        values["build"] = _without_empty(
            {
                **said,
                "against": dict(sorted(build.against.items())) or None,
                "abi": dict(sorted(build.abi.items())) or None,
                "isolated": None if build.isolated else False,
            }
        )
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


def _from_document(document: Any) -> Iterator[Lockfile]:
    if not isinstance(document, Mapping) or document.get("version") != FORMAT:
        found = document.get("version") if isinstance(document, Mapping) else None
        raise ValueError(f"its version is {found!r}, not {FORMAT}")
    environments, ours = document["environments"], document["dataloader"]
    tables = dict(_tables_in(ours, environments))
    if not tables:
        raise ValueError("it holds no platform")
    shared = {entry.get("conda") or entry["pypi"]: entry for entry in document["packages"]}
    for name, platform in sorted(tables, key=lambda place: (place[0] != DEFAULT, *place)):
        environment, table = environments[name], tables[name, platform]
        packages = {**shared, **{entry.get("conda") or entry["pypi"]: entry for entry in table.get("packages", ())}}
        references = [next(iter(reference.values())) for reference in environment["packages"][platform]]
        yield Lockfile(
            platform=platform,
            environment=name,
            channels=tuple(table.get("channels", [channel["url"] for channel in environment["channels"]])),
            indexes=tuple(table.get("indexes", environment.get("indexes", ()))),
            python=LockedPython(source=table["python"]["source"], version=table["python"].get("version")),
            packages=tuple(_to_package(packages[url]) for url in references),
            requested=tuple(table.get("requested") or ()),
            stack=dict(table.get("stack") or {}),
            rules={name: tuple(ids) for name, ids in (table.get("rules") or {}).items()},
            published_before=table.get("published-before"),
            inputs=_inputs(table.get("inputs") or {}),
        )


def _tables_in(ours: Any, environments: Any) -> Iterator[tuple[tuple[str, str], Any]]:
    """Yield what our table says of each environment and platform."""
    version = ours["version"]
    if version not in (OURS, OF_SEVERAL, OF_ENVIRONMENTS):
        raise ValueError(f"its dataloader table has version {version!r}, not {OURS}, {OF_SEVERAL} or {OF_ENVIRONMENTS}")
    for name in (DEFAULT,) if version != OF_ENVIRONMENTS else environments:
        platforms = environments[name]["packages"]
        if version == OURS and len(platforms) != 1:
            raise ValueError(f"it holds {len(platforms)} platforms, not one")
        own = ours["environments"][name] if version == OF_ENVIRONMENTS else ours.get("platforms", {})
        yield from (((name, subdir), ours if version == OURS else own[subdir]) for subdir in platforms)


def _inputs(said: Mapping[str, Any]) -> dict[str, object]:
    """Return what a lock was made from; earlier versions wrote the platform there too, which its place says."""
    options = {key: value for key, value in said.get("options", {}).items() if key != "platform"}
    return {**said, "options": options} if "platform" in said.get("options", {}) else dict(said)


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
        abi={name: str(value) for name, value in entry.get("abi", {}).items()},
        isolated=entry.get("isolated", True),
    )
