"""What the files of a prefix hold: libraries with their owners and GPU code, and what packages declare (PEP 770)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dataloader.base.digests import hexadecimal_of
from dataloader.machine.target import Target
from dataloader.prefix.contents import Declared, InnerLibrary
from dataloader.prefix.records import InstalledPackage
from dataloader.verify.options import VerifyOptions
from dataloader.verify.report import VerifyReport, inventory, printable
from dataloader.verify.run import report_of, survey_prefix

_BUNDLED = re.compile(r"(?P<name>.+?)-(?P<mark>[0-9a-f]{8})(?P<rest>[.\w-]*)\Z")
"""As auditwheel and delocate name what they put into a wheel: its name, the first digits of its hash, what is left."""
_SBOMS = re.compile(r"[^/]+\.dist-info/sboms/.+\.json\Z")


class Inside(NamedTuple):
    """What is in a prefix, and what verify says of it."""

    libraries: tuple[InnerLibrary, ...]
    declared: tuple[Declared, ...]
    licences: Mapping[str, str]
    """What wheels say of their licences, by name."""
    report: VerifyReport


def read_contents(prefix: Path, *, target: Target, options: VerifyOptions) -> Inside:
    """Look into every library of a prefix.

    Raises:
        PrefixError: there is no such directory.
    """
    seen = survey_prefix(prefix, target=target, options=options)
    gpu = inventory(seen.scanned)
    modules = {file.path: bool(file.facts.python_init) for file in seen.scanned if file.facts and file.facts.is_library}
    libraries: list[InnerLibrary] = []
    declared: list[Declared] = []
    for package in seen.groundwork.installed.packages:
        paths, recorded, _ = package.files.columns
        for path, digest in zip(paths, recorded, strict=True):
            if path in modules:
                sha256 = hexadecimal_of(digest) if digest else None
                libraries.append(_library(package, path, sha256, gpu.get(path, ()), is_module=modules[path]))
            elif _SBOMS.search(path):
                declared += _declared(prefix, package, path)
    wheels = [package for package in seen.groundwork.installed.packages if package.kind == "pypi"]
    licences = {package.name: said for package in wheels if (said := _licence(prefix / package.path))}
    by_path = {library[:3]: library for library in libraries}  # a record may name a file twice
    found = tuple(by_path[place] for place in sorted(by_path))
    return Inside(found, tuple(dict.fromkeys(declared)), licences, report_of(prefix, seen))


def _licence(record: Path) -> str | None:
    """Return what METADATA says of the licence: an expression (PEP 639), else the older field or a classifier."""
    from email.parser import BytesHeaderParser

    folder = record if record.is_dir() else record.parent
    try:
        said = BytesHeaderParser().parsebytes((folder / "METADATA").read_bytes())
    except OSError:
        return None
    classifiers = [
        str(classifier) for classifier in said.get_all("Classifier", ()) if str(classifier).startswith("License ::")
    ]
    older = str(said.get("License") or "").strip()
    found = said.get("License-Expression") or (older if older and "\n" not in older else None)
    return printable(str(found or (classifiers[0].rpartition(" :: ")[2] if classifiers else ""))) or None


def _library(
    package: InstalledPackage, path: str, sha256: str | None, gpu: tuple[str, ...], *, is_module: bool
) -> InnerLibrary:
    folder, _, file = path.rpartition("/")
    name, version = split_name(file)
    bundled = package.kind == "pypi" and folder.rpartition("/")[2].endswith((".libs", ".dylibs"))
    return InnerLibrary(package.kind, package.name, printable(path), name, version, sha256, gpu, is_module, bundled)


def split_name(file: str) -> tuple[str, str | None]:
    """Return a library's name and version, as its file has them.

    >>> split_name("libopenblas64_p-r0-0cf96a72.3.23.dev.so"), split_name("libcudart.so.12.8.90")
    (('libopenblas64_p-r0', '3.23.dev'), ('libcudart', '12.8.90'))
    >>> split_name("libgfortran-040039e1-0352e75f.so.5.0.0"), split_name("_core.cpython-311-x86_64-linux-gnu.so")
    (('libgfortran', '5.0.0'), ('_core', None))
    """
    stem, _, version = file.partition(".so")
    version = version.lstrip(".")
    while found := _BUNDLED.match(stem):
        stem, version = found["name"], version or found["rest"].strip(".-")
    stem = stem.partition(".cpython-")[0].partition(".abi3")[0]
    return printable(stem), printable(version) or None


def _declared(prefix: Path, package: InstalledPackage, path: str) -> Iterator[Declared]:
    """Yield the components of a CycloneDX bill; what cannot be read says nothing."""
    try:
        document = json.loads((prefix / path).read_bytes())
        components: list[Mapping[str, Any]] = [c for c in document.get("components", ()) if isinstance(c, dict)]
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return
    for component in components:
        name, version, purl = component.get("name"), component.get("version"), component.get("purl")
        if isinstance(name, str) and not str(purl).startswith(f"pkg:pypi/{package.name}@"):
            told = [printable(text) if isinstance(text, str) else None for text in (version, purl)]
            yield Declared(package.kind, package.name, printable(path), printable(name), *told)
