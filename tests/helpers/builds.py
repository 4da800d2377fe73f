"""Small true source archives with a build backend of their own, so that building them needs no network."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

_BACKEND = """
import base64, hashlib, json, os, subprocess, sys, sysconfig, zipfile

with open("facts.json") as file:
    FACTS = json.load(file)


def _note(what):
    if path := os.environ.get("TEST_BUILDS"):
        with open(path, "a") as file:
            file.write(f"{what} {FACTS['name']} {FACTS['version']}\\n")


def get_requires_for_build_wheel(config_settings=None):
    return FACTS["more"]


def prepare_metadata_for_build_wheel(folder, config_settings=None):
    _note("asked")
    exec(FACTS["run"])
    info = f"{FACTS['name']}-{FACTS['version']}.dist-info"
    os.mkdir(os.path.join(folder, info))
    with open(os.path.join(folder, info, "METADATA"), "w") as file:
        file.write(FACTS["metadata"])
    return info


def get_requires_for_build_editable(config_settings=None):
    return FACTS["more"]


def build_editable(folder, config_settings=None, metadata_directory=None):
    _note("led to")
    return _wheel(folder, {f"__editable__.{FACTS['name']}.pth": os.getcwd().encode()})


def build_wheel(folder, config_settings=None, metadata_directory=None):
    _note("built")
    exec(FACTS["run"])
    files = {path: text.encode() for path, text in FACTS["files"].items()}
    for path in FACTS["taken"]:
        with open(path, "rb") as file:
            files[path] = file.read()
    return _wheel(folder, files)


def _wheel(folder, files):
    if FACTS["c"]:
        include = sysconfig.get_path("include")
        name = FACTS["name"] + ".abi3.so"
        with open("code.c", "w") as file:
            file.write(FACTS["c"])
        subprocess.run(["cc", "-shared", "-fPIC", "-I", include, "-o", name, "code.c"], check=True)
        with open(name, "rb") as file:
            files[name] = file.read()
    info = f"{FACTS['name']}-{FACTS['version']}.dist-info"
    files[info + "/METADATA"] = FACTS["wheel_metadata"].encode()
    wheel = f"Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: {FACTS['tag']}\\n"
    files[info + "/WHEEL"] = wheel.encode()
    rows = []
    for path, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        rows.append(f"{path},sha256={digest},{len(data)}\\n")
    files[info + "/RECORD"] = ("".join(rows) + f"{info}/RECORD,,\\n").encode()
    target = f"{FACTS['name']}-{FACTS['version']}-{FACTS['tag']}.whl"
    with zipfile.ZipFile(os.path.join(folder, target), "w") as archive:
        for path, data in files.items():
            archive.writestr(zipfile.ZipInfo(path, (2024, 1, 1, 0, 0, 0)), data)
    return target


if not FACTS["prepares"]:
    del prepare_metadata_for_build_wheel
"""


def make_source(  # one keyword for each thing a test may want to vary
    folder: Path,
    name: str,
    version: str = "1.0",
    *,
    requires: Iterable[str] = (),
    static: bool = True,
    build_requires: Iterable[str] = (),
    more: Iterable[str] = (),
    run: str = "",
    files: Mapping[str, str] | None = None,
    c: str = "",
    tag: str = "py3-none-any",
    wheel_requires: Iterable[str] | None = None,
    project: str | None = None,
    taken: Iterable[str] = (),
    prepares: bool = True,
    as_tree: bool = False,
) -> Path:
    """Write a source archive that builds without anything else, and return its path.

    Args:
        requires: What the project needs.
        static: Whether PKG-INFO vouches for that (core metadata 2.2), so that nothing need be asked.
        build_requires: What pyproject.toml says that the build needs.
        more: What the backend says besides.
        run: A statement that the backend runs before it answers.
        files: Modules of the wheel; by default one that is named like the project.
        c: Source of a C extension, compiled with ``cc``.
        wheel_requires: What the wheel needs, where that differs.
        taken: Files of the source that the wheel takes in as they are.
        prepares: Whether the backend says what the project needs without building it.
        project: Lines of a [project] table.
        as_tree: Whether ``folder`` is to be the source itself, not to hold an archive of it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    metadata = _metadata(name, version, requires, "2.2" if static else "2.1")
    facts = {
        "name": name,
        "version": version,
        "metadata": metadata,
        "wheel_metadata": metadata if wheel_requires is None else _metadata(name, version, wheel_requires, "2.2"),
        "more": list(more),
        "run": run,
        "files": dict(files) if files is not None else {} if c else {f"{name}.py": f"VERSION = {version!r}\n"},
        "c": c,
        "taken": list(taken),
        "prepares": prepares,
        "tag": tag,
    }
    needs = json.dumps(list(build_requires))
    content = {
        "PKG-INFO": metadata,
        "pyproject.toml": f'[build-system]\nrequires = {needs}\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "backend.py": _BACKEND,
        "facts.json": json.dumps(facts),
        **({"code.c": c} if c else {}),
    }
    if project is not None:
        content["pyproject.toml"] += f"[project]\n{project}\n"
    if as_tree:
        for path, text in content.items():
            (folder / path).write_text(text)
        return folder
    target = folder / f"{name}-{version}.tar.gz"
    with tarfile.open(target, "w:gz") as archive:
        for path, text in content.items():
            member = tarfile.TarInfo(f"{name}-{version}/{path}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return target


def _metadata(name: str, version: str, requires: Iterable[str], metadata_version: str) -> str:
    lines = [f"Metadata-Version: {metadata_version}", f"Name: {name}", f"Version: {version}"]
    return "\n".join([*lines, *(f"Requires-Dist: {text}" for text in requires)]) + "\n"
