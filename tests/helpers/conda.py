"""Build true conda packages and index them as a channel; pack a running interpreter as conda's ``python``.

channel = tmp_path / "channel"
make_conda_package(channel, "demo", "1.0", files={"share/demo.txt": "x"})
index_channel(channel)
record = read_record(channel, "demo")          # as the lock wants it
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import zstandard

from dataloader.lockfile.model import CondaPackage

_TIME = 1_700_000_000
_VERSION = "{}.{}.{}".format(*sys.version_info[:3])
_PYTHON = f"python-{_VERSION}-0_cpython"
_LEFT_OUT = frozenset(
    {"__pycache__", "site-packages", "test", "tests", "idlelib", "turtledemo", "ensurepip", "tkinter", "lib2to3"}
)
"""Parts of the standard library that a packed interpreter does without."""


def make_conda_package(
    channel: Path,
    name: str,
    version: str,
    *,
    build: str = "0",
    build_number: int = 0,
    subdir: str = "linux-64",
    depends: Iterable[str] = (),
    constrains: Iterable[str] = (),
    files: Mapping[str, str | bytes | Path] | None = None,
    links: Mapping[str, str] | None = None,
    executable: Iterable[str] = (),
    placeholders: Mapping[str, str] | None = None,
    noarch: str | None = None,
    entry_points: Iterable[str] = (),
    index: Mapping[str, object] | None = None,
    format: str = "conda",  # noqa: A002  (conda's own word)
) -> Path:
    """Write a package archive into ``channel/subdir`` and return its path.

    Args:
        files: Path in the prefix to content, or to a file with it (``site-packages/...`` for noarch python).
        links: Path in the prefix to the target of a symbolic link there.
        placeholders: Path to the prefix that its text holds and that installation replaces.
        noarch: ``"python"`` or ``"generic"``; then ``subdir`` is ``noarch``.
        entry_points: ``name = module:function``, for noarch python.
        index: Further fields of info/index.json (``track_features``, ``python_site_packages_path``, ...).
        format: ``"conda"`` or ``"tar.bz2"``.
    """
    subdir = "noarch" if noarch else subdir
    folder = channel / subdir
    folder.mkdir(parents=True, exist_ok=True)
    (channel / "noarch").mkdir(exist_ok=True)
    content = {path: _bytes(source) for path, source in (files or {}).items()}
    modes = {path: _mode(source, path in set(executable)) for path, source in (files or {}).items()}
    info = {
        "info/index.json": {
            "name": name,
            "version": version,
            "build": build,
            "build_number": build_number,
            "subdir": subdir,
            "depends": list(depends),
            "constrains": list(constrains),
            "license": "MIT",
            "timestamp": _TIME * 1000,
            **({"noarch": noarch} if noarch else {"arch": "x86_64", "platform": "linux"}),
            **(index or {}),
        },
        "info/paths.json": {"paths": _paths(content, links or {}, placeholders or {}), "paths_version": 1},
        "info/about.json": {"summary": "made for a test"},
    }
    if noarch == "python":
        points = {"type": "python", "entry_points": list(entry_points)}
        info["info/link.json"] = {"noarch": points, "package_metadata_version": 1}
    described = {path: (json.dumps(value, indent=1, sort_keys=True) + "\n").encode() for path, value in info.items()}
    stem = f"{name}-{version}-{build}"
    if format == "tar.bz2":
        target = folder / f"{stem}.tar.bz2"
        target.write_bytes(_tar({**described, **content}, links or {}, modes, compression="bz2"))
        return target
    target = folder / f"{stem}.conda"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_member("metadata.json"), json.dumps({"conda_pkg_format_version": 2}))
        archive.writestr(_member(f"pkg-{stem}.tar.zst"), _zstd(_tar(content, links or {}, modes)))
        archive.writestr(_member(f"info-{stem}.tar.zst"), _zstd(_tar(described, {}, {})))
    return target


def make_python_package(channel: Path, **index: object) -> Path:
    """Pack the interpreter that runs the tests as the conda package ``python``, without site-packages and tests."""
    target = channel / "linux-64" / f"{_PYTHON}.conda"
    target.parent.mkdir(parents=True, exist_ok=True)
    (channel / "noarch").mkdir(exist_ok=True)
    target.write_bytes(_packed_python(json.dumps(index)))
    return target


@cache
def _packed_python(index: str) -> bytes:
    """The archive, which takes 2 s to make and is the same for everyone; ``index`` in JSON."""
    base = Path(sys.base_prefix)
    minor = "{}.{}".format(*sys.version_info[:2])
    library = base / "lib" / f"python{minor}"
    files: dict[str, str | bytes | Path] = {}
    for path in sorted(library.rglob("*")):
        inside = path.relative_to(library)
        if path.is_file() and not _LEFT_OUT & set(inside.parts) and not inside.parts[0].startswith("config-"):
            files[f"lib/python{minor}/{inside}"] = path
    executable = f"bin/python{minor}"
    files[executable] = _self_contained(base / executable, base)
    for shared in sorted((base / "lib").glob(f"libpython{minor}*.so.*")):
        if not shared.is_symlink():
            files[f"lib/{shared.name}"] = shared
    config = f"lib/python{minor}/{sysconfig._get_sysconfigdata_name()}.py"  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as folder:
        files = {path: _stripped(source, path, Path(folder)) for path, source in files.items()}
        return make_conda_package(
            Path(folder),
            "python",
            _VERSION,
            build="0_cpython",
            files=files,
            links={"bin/python": f"python{minor}", "bin/python3": f"python{minor}"},
            executable=[executable],
            placeholders={config: str(base)},
            index=json.loads(index),
        ).read_bytes()


def _stripped(source: str | bytes | Path, path: str, folder: Path) -> str | bytes | Path:
    """A file of the interpreter without what a debugger wants of it: two thirds, which each test would unpack."""
    strip = shutil.which("strip")
    if strip is None or not isinstance(source, Path) or ".so" not in path:
        return source
    copy = folder / path
    copy.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([strip, "--strip-debug", "-o", str(copy), str(source)], capture_output=True, check=False)
    return copy if done.returncode == 0 else source


def make_library(
    folder: Path, soname: str, code: str, *, versions: str | None = None, needs: Iterable[Path] = ()
) -> Path:
    """Compile C code with gcc into a shared library of that soname; ``versions`` is a linker version script."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / soname
    source = folder / f"{soname}.c"
    source.write_text(code)
    command = ["gcc", "-shared", "-fPIC", "-o", str(target), str(source), f"-Wl,-soname,{soname}", "-Wl,-rpath,$ORIGIN"]
    if versions:
        script = folder / f"{soname}.map"
        script.write_text(versions)
        command.append(f"-Wl,--version-script={script}")
    subprocess.run([*command, *(str(library) for library in needs)], check=True, capture_output=True)
    return target


def index_channel(channel: Path) -> str:
    """Write repodata for every subdir, with rattler's indexer; the channel's file:// URL with a slash at the end."""
    from rattler.index import index_fs

    (channel / "noarch").mkdir(parents=True, exist_ok=True)
    (channel / "linux-64").mkdir(exist_ok=True)
    asyncio.run(index_fs(channel, force=True, write_shards=False))
    return f"{channel.as_uri()}/"


def read_record(channel: Path, name: str, version: str | None = None, *, url: str | None = None) -> CondaPackage:
    """A package of an indexed channel as the lock holds it; ``url`` replaces the channel's file:// base."""
    base = url or f"{channel.as_uri()}/"
    for subdir in ("linux-64", "noarch"):
        repodata = json.loads((channel / subdir / "repodata.json").read_bytes())
        for file_name, row in {**repodata.get("packages", {}), **repodata.get("packages.conda", {})}.items():
            if row["name"] == name and version in (None, row["version"]):
                return CondaPackage(
                    name=name,
                    version=row["version"],
                    build=row["build"],
                    build_number=row["build_number"],
                    subdir=subdir,
                    url=f"{base}{subdir}/{file_name}",
                    channel=base,
                    sha256=row["sha256"],
                    md5=row.get("md5"),
                    attestations_sha256=row.get("attestations_sha256"),
                    size=row["size"],
                    noarch=row.get("noarch"),
                    depends=tuple(row["depends"]),
                    constrains=tuple(row.get("constrains", ())),
                    license=row.get("license"),
                    timestamp=row.get("timestamp"),
                    python_site_packages_path=row.get("python_site_packages_path"),
                )
    raise LookupError(f"{name} {version or ''} is not in {channel}")


def _self_contained(executable: Path, base: Path) -> bytes:
    """The executable, looking for libpython beside itself; the shorter path fits where the build's own was."""
    data = executable.read_bytes()
    old, new = f"{base}/lib".encode() + b"\0", b"$ORIGIN/../lib\0"
    return data.replace(old, new.ljust(len(old), b"\0")) if len(old) >= len(new) else data


def _bytes(source: str | bytes | Path) -> bytes:
    if isinstance(source, Path):
        return source.read_bytes()
    return source.encode() if isinstance(source, str) else source


def _mode(source: str | bytes | Path, is_executable: bool) -> int:
    return 0o755 if is_executable or (isinstance(source, Path) and source.stat().st_mode & 0o100) else 0o644


def _paths(
    content: Mapping[str, bytes], links: Mapping[str, str], placeholders: Mapping[str, str]
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for path, data in content.items():
        row = {
            "_path": path,
            "path_type": "hardlink",
            "sha256": hashlib.sha256(data).hexdigest(),
            "size_in_bytes": len(data),
        }
        if path in placeholders:
            row |= {"prefix_placeholder": placeholders[path], "file_mode": "text"}
        rows.append(row)
    rows += [{"_path": path, "path_type": "softlink", "sha256": None, "size_in_bytes": 0} for path in links]
    return sorted(rows, key=lambda row: str(row["_path"]))


def _tar(
    content: Mapping[str, bytes], links: Mapping[str, str], modes: Mapping[str, int], *, compression: str = ""
) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=f"w:{compression}") as archive:  # type: ignore[call-overload]
        for path, data in content.items():
            member = tarfile.TarInfo(path)
            member.size, member.mtime, member.mode = len(data), _TIME, modes.get(path, 0o644)
            archive.addfile(member, io.BytesIO(data))
        for path, link in links.items():
            member = tarfile.TarInfo(path)
            member.type, member.linkname, member.mtime = tarfile.SYMTYPE, link, _TIME
            archive.addfile(member)
    return stream.getvalue()


def _zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=1).compress(data)


def _member(name: str) -> zipfile.ZipInfo:
    return zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0))
