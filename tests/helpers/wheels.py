"""Build true wheels and sdists, small enough to read: METADATA, WHEEL, entry points and a right RECORD."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

_EPOCH = (2024, 1, 1, 0, 0, 0)
"""The time of every member, so that the same arguments give the same bytes."""


def make_wheel(  # one keyword for each thing a test may want to vary
    folder: Path,
    name: str,
    version: str,
    *,
    requires: Iterable[str] = (),
    files: Mapping[str, str | bytes] | None = None,
    entry_points: Mapping[str, Mapping[str, str]] | None = None,
    tag: str = "py3-none-any",
    requires_python: str | None = None,
    extras: Iterable[str] = (),
    build: str | None = None,
    executable: Iterable[str] = (),
    purelib: bool | None = None,
    compression: int = zipfile.ZIP_DEFLATED,
    variant: str | None = None,
) -> Path:
    """Write a wheel into ``folder`` (made if missing) and return its path.

    Args:
        requires: Requires-Dist lines, as in PEP 508.
        files: Members besides the dist-info, archive path to content; by default one importable package with
            ``__version__``. ``NAME-VERSION.data/scripts/...`` and the other schemes go here too; ``data_folder``
            gives the prefix.
        entry_points: Group to ``{name: "module:attribute"}``.
        tag: ``python-abi-platform``; each part may hold several with dots.
        extras: Provides-Extra names.
        executable: Members of ``files`` that carry the executable bit.
        variant: Label of a variant wheel (PEP 825); ``describe_variants`` writes what it stands for.
        purelib: Root-Is-Purelib; by default true when the tag's platform is ``any``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{_escape(name)}-{_escape(version)}.dist-info"
    module = _escape(name).lower()
    content: dict[str, bytes] = {}
    for path, text in (
        files if files is not None else {f"{module}/__init__.py": f"__version__ = {version!r}\n"}
    ).items():
        content[path] = text.encode() if isinstance(text, str) else text
    content[f"{info}/METADATA"] = make_metadata(
        name, version, requires=requires, requires_python=requires_python, extras=extras
    ).encode()
    content[f"{info}/WHEEL"] = _wheel_file(tag, build, tag.endswith("-any") if purelib is None else purelib).encode()
    if entry_points:
        content[f"{info}/entry_points.txt"] = _entry_points(entry_points).encode()
    content[f"{info}/RECORD"] = _record(content, f"{info}/RECORD").encode()

    parts = [_escape(name), _escape(version), *([build] if build else []), tag, *([variant] if variant else [])]
    target = folder / ("-".join(parts) + ".whl")
    marked = set(executable)
    with zipfile.ZipFile(target, "w", compression) as archive:
        for path, data in content.items():
            member = zipfile.ZipInfo(path, _EPOCH)
            member.compress_type = compression
            member.external_attr = (0o100755 if path in marked else 0o100644) << 16
            archive.writestr(member, data)
    return target


def describe_variants(
    folder: Path,
    name: str,
    version: str,
    variants: Mapping[str, Mapping[str, Mapping[str, list[str]]]],
    *,
    namespaces: Iterable[str] = ("nvidia", "x86_64"),
) -> Path:
    """Write ``NAME-VERSION-variants.json``: label -> namespace -> feature -> values."""
    path = folder / f"{_escape(name)}-{_escape(version)}-variants.json"
    document = {"default-priorities": {"namespace": list(namespaces)}, "variants": variants}
    path.write_text(json.dumps({"$schema": "https://variants-schema.wheelnext.dev/v0.0.3.json", **document}))
    return path


def make_sdist(
    folder: Path,
    name: str,
    version: str,
    *,
    requires: Iterable[str] = (),
    requires_python: str | None = None,
    files: Mapping[str, str | bytes] | None = None,
) -> Path:
    """Write a ``.tar.gz`` sdist into ``folder`` and return its path; ``files`` are relative to the sdist's root."""
    folder.mkdir(parents=True, exist_ok=True)
    module = _escape(name).lower()
    root = f"{module}-{version}"
    content: dict[str, str | bytes] = {
        "PKG-INFO": make_metadata(name, version, requires=requires, requires_python=requires_python),
        "pyproject.toml": _PYPROJECT.format(name=name, version=version),
        f"{module}/__init__.py": f"__version__ = {version!r}\n",
        **(files or {}),
    }
    target = folder / f"{root}.tar.gz"
    with tarfile.open(target, "w:gz") as archive:
        for path, text in content.items():
            data = text.encode() if isinstance(text, str) else text
            member = tarfile.TarInfo(f"{root}/{path}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return target


def make_metadata(
    name: str,
    version: str,
    *,
    requires: Iterable[str] = (),
    requires_python: str | None = None,
    extras: Iterable[str] = (),
) -> str:
    """The text of a METADATA file (core metadata 2.1)."""
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", "Summary: made for a test"]
    if requires_python:
        lines.append(f"Requires-Python: {requires_python}")
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    lines += [f"Provides-Extra: {extra}" for extra in extras]
    return "\n".join(lines) + "\n\nA body: with a colon, which is no header.\n"


def data_folder(name: str, version: str, scheme: str) -> str:
    """The archive folder of an install scheme: ``data_folder("a", "1", "scripts")`` is ``a-1.data/scripts``."""
    return f"{_escape(name)}-{_escape(version)}.data/{scheme}"


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


_PYPROJECT = """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "{name}"
version = "{version}"
"""


def _escape(part: str) -> str:
    return re.sub(r"[-_.]+", "_", part) if not part[:1].isdigit() else part.replace("-", "_")


def _wheel_file(tag: str, build: str | None, purelib: bool) -> str:
    pythons, abis, platforms = tag.split("-")
    lines = ["Wheel-Version: 1.0", "Generator: tests", f"Root-Is-Purelib: {str(purelib).lower()}"]
    if build:
        lines.append(f"Build: {build}")
    for python in pythons.split("."):
        for abi in abis.split("."):
            lines += [f"Tag: {python}-{abi}-{platform}" for platform in platforms.split(".")]
    return "\n".join(lines) + "\n"


def _entry_points(groups: Mapping[str, Mapping[str, str]]) -> str:
    lines: list[str] = []
    for group, entries in groups.items():
        lines.append(f"[{group}]")
        lines += [f"{name} = {target}" for name, target in entries.items()]
        lines.append("")
    return "\n".join(lines)


def _record(content: Mapping[str, bytes], itself: str) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for path, data in content.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        writer.writerow([path, f"sha256={digest}", len(data)])
    writer.writerow([itself, "", ""])
    return text.getvalue()
