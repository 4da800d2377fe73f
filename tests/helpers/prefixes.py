"""Small prefixes as installers leave them: files with a RECORD, on the Python that runs the tests."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

VERSION = "{}.{}".format(*sys.version_info[:2])
SITE = f"lib/python{VERSION}/site-packages"
EXTENSION = f".cpython-{VERSION.replace('.', '')}-x86_64-linux-gnu.so"
"""Suffix of an extension module of this Python."""


def make_prefix(folder: Path) -> Path:
    """An empty virtual environment: what verify needs to know of one."""
    (folder / SITE).mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    (folder / "pyvenv.cfg").write_text(f"home = {Path(sys.base_prefix) / 'bin'}\nversion = {VERSION}.0\n")
    return folder


def record_hash(data: bytes) -> str:
    """The hash field of a RECORD row."""
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def register(
    prefix: Path,
    name: str,
    version: str,
    *,
    paths: Iterable[str] = (),
    files: Mapping[str, str] | None = None,
    requires: Iterable[str] = (),
    hashes: Mapping[str, str] | None = None,
) -> Path:
    """Record files of site-packages as a distribution's; ``files`` are written first, ``paths`` lie there already."""
    site = prefix / SITE
    for path, text in (files or {}).items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text)
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"]
    lines += [f"Requires-Dist: {each}\n" for each in requires]
    (info / "METADATA").write_text("".join(lines))
    rows = []
    for path in [*(files or {}), *paths]:
        data = (site / path).read_bytes()
        rows.append(f"{path},{(hashes or {}).get(path, record_hash(data))},{len(data)}\n")
    rows += [f"{info.name}/METADATA,,\n", f"{info.name}/RECORD,,\n"]
    (info / "RECORD").write_text("".join(rows))
    return info


def register_conda(
    prefix: Path,
    name: str,
    version: str,
    *,
    paths: Iterable[str] = (),
    depends: Iterable[str] = (),
    constrains: Iterable[str] = (),
    build: str = "0",
) -> Path:
    """Record files of the prefix as a conda package's."""
    (prefix / "conda-meta").mkdir(exist_ok=True)
    rows = []
    for path in paths:
        data = (prefix / path).read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        rows.append(
            {
                "_path": path,
                "path_type": "hardlink",
                "sha256": digest,
                "sha256_in_prefix": digest,
                "size_in_bytes": len(data),
            }
        )
    record = prefix / "conda-meta" / f"{name}-{version}-{build}.json"
    document = {
        "name": name,
        "version": version,
        "build": build,
        "build_number": 0,
        "depends": list(depends),
        "constrains": list(constrains),
        "files": [row["_path"] for row in rows],
        "paths_data": {"paths_version": 1, "paths": rows},
    }
    record.write_text(json.dumps(document))
    return record


def module_source(name: str, body: str = "") -> str:
    """C source of an extension module that Python imports, without Python's headers; ``body`` runs while it is."""
    return f"""
struct def {{ long count; void *type; void *init; long index; void *copy; const char *name; const char *doc; long size;
             void *methods, *slots, *traverse, *clear, *free; }};
extern void *PyModule_Create2(struct def *, int);
static struct def def = {{ .count = 1, .name = "{name}", .size = -1 }};
void *PyInit_{name}(void) {{ {body} return PyModule_Create2(&def, 1013); }}
"""
