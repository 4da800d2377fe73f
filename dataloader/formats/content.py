"""Which format a file is in, by what it holds: names are only what people call files."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, TypeGuard

from dataloader.base.errors import ManifestError
from dataloader.base.values import dataclass

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Form: TypeAlias = Literal[
    "dataloader.toml",
    "pixi.toml",
    "pyproject.toml",
    "dataloader.lock",
    "pylock.toml",
    "uv.lock",
    "poetry.lock",
    "conda-lock.yml",
    "pixi.lock",
    "explicit",
    "export",
    "requirements.txt",
    "environment.yml",
]
"""Formats that are read: of manifests, of locks, and of lists."""

MANIFESTS: Final[frozenset[Form]] = frozenset({"dataloader.toml", "pixi.toml", "pyproject.toml"})
LOCKS: Final[frozenset[Form]] = frozenset(
    {"dataloader.lock", "pylock.toml", "uv.lock", "poetry.lock", "conda-lock.yml", "pixi.lock", "explicit", "export"}
)
WITH_SETS: Final[frozenset[Form]] = frozenset({"pylock.toml", "uv.lock", "poetry.lock", "conda-lock.yml"})
"""Locks that have extras and groups; conda-lock.yml calls them categories."""

Unread: TypeAlias = Literal[
    "Pipfile",
    "Pipfile.lock",
    "pdm.lock",
    "meta.yaml (a conda recipe)",
    "anaconda-project.yml",
    "list of pip's",
    "list of pixi's or mamba's",
    "conda-lock.yml in its unified format before version 1",
]

_UNREAD: Final[Mapping[Form | Unread, str]] = {
    "Pipfile": "`pipenv requirements` writes it as a requirements.txt",
    "Pipfile.lock": "`pipenv requirements` writes it as a requirements.txt",
    "pdm.lock": "`pdm export` writes it as a requirements.txt, and pdm 2.24 and later as a pylock.toml",
    "meta.yaml (a conda recipe)": "name what it needs in an environment.yml",
    "anaconda-project.yml": "name what it needs in an environment.yml",
    "list of pip's": "`pip freeze` writes a requirements.txt",
    "list of pixi's or mamba's": "`conda list --export`, `micromamba env export --explicit`, or the pixi.lock",
    "conda-lock.yml in its unified format before version 1": "lock anew with conda-lock 1.0 or later",
}
"""Formats that are known and not read -> the way from there."""


@dataclass(frozen=True, slots=True)
class Content:
    """A file, what format it is in, and what was parsed of it to tell."""

    path: Path
    form: Form
    text: str
    data: Mapping[str, Any]
    """The document, where the format is TOML, YAML or JSON."""


def read_content(path: Path) -> Content:
    """Read a file, and tell its format.

    Raises:
        ManifestError: ``file-missing`` or ``format-unknown``: it is not there, or of no format that is read.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error.strerror}", code="requirements-invalid") from error
    text = _text(raw)
    if text is None:
        raise unknown(path, "it is not text")
    _refuse_unfinished(path, text)
    for load, tell in ((_toml, _told_of_toml), (_json, _told_of_json)):
        data = load(text)
        if data is not None and (form := tell(path, data)):
            return _known(path, form, text, data)
    if _LOCK_OF_TOML.search(text):
        raise unknown(path, f"it is a lock that is not TOML any more ({_fault(text)})", "restore it, or lock again")
    _unread(path, text)
    if form := _told_of_lines(text):
        return _known(path, form, text, {})
    if _may_be_yaml(path, text):
        data = _yaml(text)
        if data is not None:
            return _known(path, _told_of_yaml(path, data) or "environment.yml", text, data)
        return Content(path, "environment.yml", text, {})
    if _is_broken_toml(path, text):
        return Content(path, "pyproject.toml", text, {})
    return Content(path, "requirements.txt", text, {})


def unknown(path: Path, why: str, *ways: str) -> ManifestError:
    """Return what is said of a file of no format that is read: one line, however long it is."""
    known = "requirements.txt, environment.yml, pyproject.toml, pixi.toml, and the locks of uv, Poetry, pixi and conda"
    return ManifestError(
        f"{path} is of no format that is read here: {why}",
        code="format-unknown",
        suggestions=ways or (f"what is read: {known}",),
    )


def _known(path: Path, form: Form | Unread, text: str, data: Mapping[str, Any]) -> Content:
    if _is_read(form):
        return Content(path, form, text, data)
    raise unknown(path, f"it is a {form}", _UNREAD[form])


def _is_read(form: Form | Unread) -> TypeGuard[Form]:
    return form not in _UNREAD


def _text(raw: bytes) -> str | None:
    """Return a file's text; ``None`` for bytes that are none."""
    import codecs

    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if raw.startswith(mark):
            return raw.decode(encoding, errors="replace")
    if b"\0" in raw:
        return None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")  # a requirements file may say its encoding; its reader looks


def _toml(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text) or None
    except tomllib.TOMLDecodeError:
        return None


def _fault(text: str) -> str:
    """Return what is wrong with a text that is not TOML."""
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return str(error)
    return ""


def _json(text: str) -> dict[str, Any] | None:
    if not text.lstrip().startswith("{"):
        return None
    try:
        data = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _yaml(text: str) -> dict[str, Any] | None:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        data = yaml.load(text, Loader=loader)  # noqa: S506 -- both are safe loaders
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _told_of_toml(path: Path, data: Mapping[str, Any]) -> Form | Unread | None:
    if "lock-version" in data and "packages" in data:
        return "pylock.toml"
    metadata = data.get("metadata")
    if isinstance(metadata, dict) and "content_hash" in metadata and "strategy" in metadata:
        return "pdm.lock"
    if isinstance(metadata, dict) and {"lock-version", "content-hash"} & set(metadata):
        return "poetry.lock"
    if isinstance(data.get("version"), int) and ("package" in data or "requires-python" in data):
        return "uv.lock"
    if isinstance(data.get("packages"), dict) and isinstance(data.get("source"), list):
        return "Pipfile"
    return _manifest(path, data)


_OF_PIXI = {
    "workspace",
    "dependencies",
    "pypi-dependencies",
    "feature",
    "environments",
    "target",
    "stack",
    "resolution",
}


def _manifest(path: Path, data: Mapping[str, Any]) -> Form | Unread | None:
    if by_name := next((form for form in MANIFESTS if form == path.name), None):
        return by_name
    tool = data.get("tool")
    tools = set(tool) if isinstance(tool, dict) else set()
    project = data.get("project")
    channels = isinstance(project, dict) and bool({"channels", "platforms"} & set(project))
    if tools & {"pixi", "uv", "poetry"} or {"build-system", "dependency-groups"} & set(data):
        return "pyproject.toml"
    if isinstance(project, dict) and not channels:
        return "pyproject.toml"
    if "dataloader" in tools:
        return "pixi.toml"
    return "dataloader.toml" if channels or _OF_PIXI & set(data) else None


def _told_of_json(path: Path, data: Mapping[str, Any]) -> Form | Unread | None:
    return "Pipfile.lock" if "_meta" in data and "default" in data else _told_of_yaml(path, data)


def _told_of_yaml(path: Path, data: Mapping[str, Any]) -> Form | Unread | None:
    keys = set(data)
    if "package" in keys and isinstance(data.get("package"), list) and "metadata" in keys:
        return "conda-lock.yml"
    if {"version", "environments", "packages"} <= keys:
        return "dataloader.lock" if "dataloader" in keys else "pixi.lock"
    if {"name", "channels", "dependencies", "variables", "prefix"} & keys and not {"package", "requirements"} & keys:
        return "anaconda-project.yml" if {"env_specs", "commands"} & keys else "environment.yml"
    if {"package", "requirements"} <= keys or {"recipe", "outputs"} <= keys:
        return "meta.yaml (a conda recipe)"
    raise unknown(path, f"it has the keys {', '.join(sorted(map(str, keys))[:8])}" if keys else "it is empty")


_KEY_OF_YAML = re.compile(r"^(?:name|channels|dependencies|version|package|packages|environments)\s*:", re.MULTILINE)
_TABLE_OF_TOML = re.compile(r"^\[(?:project|tool\.|build-system|workspace)", re.MULTILINE)
_EXPORTED = re.compile(r"[a-z0-9_.-]+=[^=\s]+=[^=\s]+")


def _told_of_lines(text: str) -> Form | Unread | None:
    lines = [line.strip() for line in text.splitlines()]
    said = [line for line in lines if line and not line.startswith("#")]
    if said and said[0].startswith("@EXPLICIT"):
        return "explicit"
    if said and all(_EXPORTED.fullmatch(line) for line in said):
        return "export"
    if said and _HEAD_OF_CONDA.search(text) and all(_LISTED.fullmatch(line) for line in said):
        return "export"
    if said and _HEAD_OF_PIP.match(said[0]):
        return "list of pip's"
    return "list of pixi's or mamba's" if any(map(_HEAD_OF_MAMBA.match, said[:4])) else None


_HEAD_OF_CONDA = re.compile(r"^#\s*Name\s+Version\s+Build\b", re.MULTILINE)
_LISTED = re.compile(r"\S+\s+\S+\s+\S+(?:\s+\S+)?")
"""A line of ``conda list``: name, version, build, and for the most part a channel."""
_HEAD_OF_PIP = re.compile(r"Package\s+Version\b")
_HEAD_OF_MAMBA = re.compile(r"(?:Name|Package)\s+Version\s+(?:Build|Size)\b")
_UNFINISHED = re.compile(r"^(?:<{7}|>{7}|\|{7}) .*$", re.MULTILINE)
_PAGE = re.compile(r"\s*<(?:!doctype\s+html|html)\b", re.IGNORECASE)

_LOCK_OF_TOML = re.compile(r"^\[\[packages?\]\]", re.MULTILINE)
_PYTHON = re.compile(r"^(?:import |from \w[\w.]* import |def |class )", re.MULTILINE)
_SETUP_CFG = re.compile(r"^\[(?:metadata|options)\]", re.MULTILINE)


def _refuse_unfinished(path: Path, text: str) -> None:
    """Refuse what is not anybody's file: one with the marks of a merge, or a page that a browser was meant for."""
    if marks := _UNFINISHED.search(text):
        line = text.count("\n", 0, marks.start()) + 1
        raise unknown(path, f"line {line} is the mark of a merge that was not finished", "settle it, and try again")
    if _PAGE.match(text):
        raise unknown(path, "it is a web page", "fetch the file itself, not the page that shows it")
    if text.lstrip().startswith("["):
        try:
            said = json.loads(text)
        except (json.JSONDecodeError, RecursionError):
            return
        if isinstance(said, list):
            raise unknown(path, "it is a list in JSON")


def _unread(path: Path, text: str) -> None:
    """Refuse what is plainly something else."""
    if _SETUP_CFG.search(text):
        raise unknown(path, "it is a setup.cfg", "move what it needs to [project] of a pyproject.toml")
    if _PYTHON.search(text):
        raise unknown(path, "it is Python source", "name the file that says what it needs")


def _may_be_yaml(path: Path, text: str) -> bool:
    if path.suffix in {".yml", ".yaml"} or path.name.endswith(".lock"):
        return True
    return _KEY_OF_YAML.search(text) is not None


def _is_broken_toml(path: Path, text: str) -> bool:
    """Say whether a file is meant to be TOML: its own reader then says what is wrong, and where."""
    return path.suffix == ".toml" or _TABLE_OF_TOML.search(text) is not None
