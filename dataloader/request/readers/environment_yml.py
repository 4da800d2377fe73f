"""conda's environment.yml, with its pip section: text -> InputFile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from dataloader.base.errors import DataloaderError, ManifestError
from dataloader.request.input_file import InputFile
from dataloader.request.readers.requirements_txt import parse_requirement_lines
from dataloader.request.specs.requirements import CondaRequirement
from dataloader.request.specs.spec import parse_conda

_KEYS = {"name", "prefix", "channels", "dependencies", "variables"}


def read_environment(path: Path, *, platform: str | None = None) -> InputFile:
    """Read an environment.yml, without the lines whose selectors are of other platforms.

    ``prefix`` is noted, not used: it is the path of the machine that exported the file. Raises ManifestError
    ``environment-invalid`` with every mistake.
    """
    data, lines = _load(path, platform)
    mistakes: list[str] = []
    suggestions: list[str] = []
    conda: list[CondaRequirement] = []
    pip: list[str] = []
    for at, entry in enumerate(_list(data, "dependencies", mistakes)):
        number = lines[at] if at < len(lines) else 0
        if isinstance(entry, str):
            try:
                conda.append(parse_conda(entry, origin=f"{path}:{number}"))
            except DataloaderError as error:
                mistakes.append(f"{path}:{number}: {error.message.split(': ', 1)[1]}")
                suggestions.extend(error.suggestions)
        elif isinstance(entry, dict) and set(entry) == {"pip"}:
            pip += _strings(entry, "pip", mistakes)
        else:
            mistakes.append(f"{path}:{number}: {entry!r} is neither a match spec nor a `pip:` section")
    channels = _strings(data, "channels", mistakes)
    variables = _variables(data, mistakes)
    if mistakes:
        raise ManifestError(
            f"{path} cannot be read as an environment file",
            code="environment-invalid",
            causes=tuple(mistakes),
            suggestions=tuple(dict.fromkeys(suggestions)),
        )
    section = parse_requirement_lines(tuple(pip), path=path)
    return replace(
        section,
        path=str(path),
        requirements=(*conda, *section.requirements),
        name=str(data["name"]) if data.get("name") else None,
        channels=tuple(c for c in channels if c != "nodefaults") if data.get("channels") is not None else None,
        variables=variables,
        notes=(*_notes(path, data), *section.notes),
    )


def _load(path: Path, platform: str | None) -> tuple[dict[str, Any], list[int]]:
    """Return what the file holds, and the lines of its dependencies."""
    import yaml

    from dataloader.base.platforms import detect_platform
    from dataloader.request.readers.selectors import selected

    try:
        text = selected(path.read_bytes().decode("utf-8-sig"), platform or detect_platform())
        data, lines = yaml.safe_load(text), _lines(yaml.compose(text, Loader=yaml.SafeLoader))
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path} is not UTF-8: {error}", code="environment-invalid") from error
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error.strerror}", code="environment-invalid") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or "it cannot be decoded"
        raise ManifestError(f"{where} is not YAML: {problem}", code="environment-invalid") from error
    except (ValueError, RecursionError) as error:  # a day that there is not; deeper than anybody reads
        raise ManifestError(f"{path} is not YAML that can be read: {error}", code="environment-invalid") from error
    if not isinstance(data, dict):
        raise ManifestError(
            f"{path} is not an environment file: it holds no mapping",
            code="environment-invalid",
            suggestions=("a requirements.txt is read with `-r FILE`",),
        )
    if not _KEYS & set(data) or {"package", "metadata"} <= set(data):
        of_conda_lock = "package" in data
        way = "its own environment.yml is read" if of_conda_lock else f"it has none of {', '.join(sorted(_KEYS))}"
        raise ManifestError(
            f"{path} is not an environment file" + (" but a lock of conda-lock" if of_conda_lock else ""),
            code="environment-invalid",
            suggestions=(way,),
        )
    return data, lines


def _lines(node: Any) -> list[int]:
    """Return the line of each entry of ``dependencies``."""
    for key, value in getattr(node, "value", ()) if type(node).__name__ == "MappingNode" else ():
        if key.value == "dependencies" and isinstance(value.value, list):
            return [node.start_mark.line + 1 for node in value.value]
    return []


def _list(data: dict[Any, Any], key: str, mistakes: list[str]) -> list[Any]:
    value = data.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        mistakes.append(f"{key}: expected a list, not {type(value).__name__}")
        return []
    return value


def _strings(data: dict[Any, Any], key: str, mistakes: list[str]) -> list[str]:
    values = _list(data, key, mistakes)
    mistakes += [f"{key}: {value!r} is not a string" for value in values if not isinstance(value, str)]
    return [value for value in values if isinstance(value, str)]


def _variables(data: dict[str, Any], mistakes: list[str]) -> tuple[tuple[str, str], ...]:
    value = data.get("variables") or {}
    if not isinstance(value, dict):
        mistakes.append("variables: expected a mapping of names to values")
        return ()
    return tuple((str(name), str(text)) for name, text in value.items())


def _notes(path: Path, data: dict[str, Any]) -> tuple[str, ...]:
    notes = [f"{path}: {key} is not read" for key in sorted(map(str, set(data) - _KEYS))]
    if data.get("prefix"):
        notes.append(f"{path}: prefix is not used; --prefix says where the environment goes")
    return tuple(notes)
