"""requirements.txt, in pip's grammar (pip's "Requirements File Format"): text -> InputFile.

Reads the file and those it names with ``-r`` and ``-c``.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

from dataloader.base.errors import DataloaderError, ManifestError
from dataloader.formats.content import unknown
from dataloader.request.input_file import InputFile
from dataloader.request.specs.requirements import PypiRequirement
from dataloader.request.specs.spec import parse_editable, parse_pypi

_COMMENT = re.compile(r"(^|\s+)#.*$")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_EDITABLE = re.compile(
    r"""(?:-e\s*|--editable[\s=]\s*)([\w.\-]+\s*(?:\[[^]]*\])?\s+@\s+)?('[^']*'|"[^"]*"|[^\s'"]+?)(?:(?:\s+;|;\s)\s*(.*))?"""
)
"""``-e [NAME @] LOCATION [; MARKER]``, of which quotes in the marker are its own."""
_ENCODING = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")


class _OptionError(Exception):
    """An option line that cannot be read."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _OptionError(message)


def _file_options() -> _Parser:
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("-r", "--requirement", action="append", default=[])
    parser.add_argument("-c", "--constraint", action="append", default=[])
    parser.add_argument("-e", "--editable", action="append", default=[])
    parser.add_argument("-i", "--index-url", "--pypi-url")
    parser.add_argument("--extra-index-url", action="append", default=[])
    parser.add_argument("-f", "--find-links", action="append", default=[])
    parser.add_argument("--no-index", action="store_true")
    parser.add_argument("--pre", action="store_true")
    parser.add_argument("--require-hashes", action="store_true")
    parser.add_argument("--only-binary", action="append", default=[])
    parser.add_argument("--no-binary", action="append", default=[])
    parser.add_argument("--prefer-binary", action="store_true")
    parser.add_argument("--trusted-host", action="append", default=[])
    parser.add_argument("--use-feature", action="append", default=[])
    return parser


def _line_options() -> _Parser:
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--hash", action="append", default=[])
    for name in ("--config-settings", "--config-setting", "-C", "--global-option", "--install-option"):
        parser.add_argument(name, action="append", default=[], dest="build_options")
    return parser


@dataclass(slots=True)
class _Draft:
    """What has been read so far, over all the files; ``mistakes`` are reported together."""

    requirements: list[PypiRequirement] = field(default_factory=list)
    constraints: list[PypiRequirement] = field(default_factory=list)
    extra_index_urls: list[str] = field(default_factory=list)
    find_links: list[str] = field(default_factory=list)
    trusted_hosts: list[str] = field(default_factory=list)
    only_binary: list[str] = field(default_factory=list)
    no_binary: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)
    suggestions: list[str] = field(default_factory=list)
    index_url: str | None = None
    no_index: bool = False
    prerelease: bool = False
    require_hashes: bool = False
    lines: int = 0
    """That said something."""


_SOME = 10
"""Mistakes that a file may have which is meant as one of requirements."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """The file being read, and how it was reached."""

    path: Path
    environ: Mapping[str, str]
    constraint: bool = False
    """Reached through ``-c``."""
    parents: tuple[Path, ...] = ()
    """The files that led here, this one last."""


def read_requirements(path: Path, *, environ: Mapping[str, str] | None = None) -> InputFile:
    """Read a requirements file and the files that it names.

    Raises ManifestError ``requirements-invalid`` with every mistake of every file, as ``FILE:LINE: what``.
    """
    _refuse_others(path)
    draft = _Draft()
    _read_file(draft, _Place(path=path, environ=os.environ if environ is None else environ))
    return _finish(draft, path)


_OTHERS = {
    "pyproject.toml": "name it with `--manifest FILE`, or work in its folder",
    "pixi.toml": "name it with `--manifest FILE`, or work in its folder",
    "dataloader.toml": "name it with `--manifest FILE`, or work in its folder",
    "pylock.toml": "lock anew from what it was made from, its requirements or its pyproject.toml",
    "uv.lock": "`uv export` writes it as a requirements.txt",
    "poetry.lock": "`poetry export` writes it as a requirements.txt",
    "Pipfile": "`pipenv requirements` writes it as a requirements.txt",
    "Pipfile.lock": "`pipenv requirements` writes it as a requirements.txt",
    "conda-lock.yml": "lock anew from the environment.yml that it was made from",
    "pixi.lock": "name its pixi.toml with `--manifest FILE`",
}
"""Files of other formats -> the way from there to here."""


def _refuse_others(path: Path) -> None:
    """Refuse a file of another format as a whole, and not once for each of its lines.

    Raises ManifestError ``requirements-invalid``.
    """
    name = "pylock.toml" if re.fullmatch(r"pylock\..+\.toml", path.name) else path.name
    if name in _OTHERS or path.suffix in {".toml", ".yml", ".yaml", ".lock"}:
        way = _OTHERS.get(name, "conda's environment.yml is read with `-f FILE`")
        raise ManifestError(f"{path} is not a requirements file", code="requirements-invalid", suggestions=(way,))


def parse_requirement_lines(
    lines: tuple[str, ...], *, path: Path, environ: Mapping[str, str] | None = None
) -> InputFile:
    """Read lines as a requirements file in the place of ``path`` would be read (the pip part of environment.yml)."""
    draft = _Draft()
    place = _Place(path=path, environ=os.environ if environ is None else environ, parents=(path.resolve(),))
    for number, line in enumerate(lines, 1):
        _read_line(draft, line.strip(), f"{path} (pip item {number})", place)
    return _finish(draft, path)


def _finish(draft: _Draft, path: Path) -> InputFile:
    if draft.require_hashes:
        draft.mistakes += [mistake for requirement in draft.requirements if (mistake := _unhashed(requirement))]
    if len(draft.mistakes) > _SOME and len(draft.mistakes) * 2 > draft.lines:
        raise unknown(path, f"{len(draft.mistakes)} of its {draft.lines} lines are no requirements")
    if draft.mistakes:
        raise ManifestError(
            f"{path} cannot be read as a requirements file",
            code="requirements-invalid",
            causes=tuple(draft.mistakes),
            suggestions=tuple(dict.fromkeys(draft.suggestions)),
        )
    return InputFile(
        path=str(path),
        requirements=tuple(draft.requirements),
        constraints=tuple(draft.constraints),
        index_url=draft.index_url,
        extra_index_urls=tuple(dict.fromkeys(draft.extra_index_urls)),
        find_links=tuple(dict.fromkeys(draft.find_links)),
        no_index=draft.no_index,
        trusted_hosts=tuple(dict.fromkeys(draft.trusted_hosts)),
        prerelease=draft.prerelease,
        only_binary=tuple(dict.fromkeys(draft.only_binary)),
        no_binary=tuple(dict.fromkeys(draft.no_binary)),
        require_hashes=draft.require_hashes,
        notes=tuple(dict.fromkeys(draft.notes)),
    )


def _unhashed(requirement: PypiRequirement) -> str | None:
    """What --require-hashes finds wrong with a requirement, as in pip and uv."""
    if not requirement.hashes:
        return f"{requirement.origin}: {requirement} has no --hash, and --require-hashes asks for one"
    pinned = requirement.url or re.fullmatch(r"===?[^,*]+", requirement.specifier)
    return (
        None
        if pinned
        else f"{requirement.origin}: {requirement} is not pinned with ==, and --require-hashes asks for that"
    )


def _read_file(draft: _Draft, place: _Place) -> None:
    path = place.path
    if path.resolve() in place.parents:
        draft.mistakes.append(f"{place.parents[-1]}: {path} names itself, through -r or -c")
        return
    try:
        text = decode(path.read_bytes())
    except (OSError, UnicodeDecodeError, LookupError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        draft.mistakes.append(f"{path}: {reason}")
        return
    inside = replace(place, parents=(*place.parents, path.resolve()))
    for number, line in logical_lines(text):
        _read_line(draft, line, f"{path}:{number}", inside)


def decode(data: bytes) -> str:
    """Text of a requirements file: by byte-order mark, else by its coding comment, else UTF-8 (as pip)."""
    import codecs

    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding)
    for line in data.split(b"\n")[:2]:
        if match := _ENCODING.match(line):
            return data.decode(match[1].decode("ascii"))
    return data.decode("utf-8")


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """``(number of the first line, text)`` with continuations joined and comments dropped, in pip's order.

    >>> list(logical_lines("a \\\\\\n  --hash=x  # why\\n\\n# b\\nc"))
    [(1, 'a   --hash=x'), (5, 'c')]
    """
    pending: list[str] = []
    first = 0
    for number, line in enumerate(text.splitlines(), 1):
        comment = line.lstrip().startswith("#")
        first = first if pending else number
        if line.endswith("\\") and not comment:
            pending.append(line[:-1])
            continue
        # A comment line ends a continuation, and needs the space that makes it a comment once joined.
        pending.append(" " + line if comment else line)
        joined = _COMMENT.sub("", "".join(pending)).strip()
        pending = []
        if joined:
            yield first, joined
    if joined := _COMMENT.sub("", "".join(pending)).strip():
        yield first, joined


def _expand(line: str, environ: Mapping[str, str]) -> str:
    """``${NAME}`` in upper case, where NAME is set; the rest stays (as pip)."""
    return _VARIABLE.sub(lambda match: environ.get(match[1]) or match[0], line)


def _read_line(draft: _Draft, line: str, where: str, place: _Place) -> None:
    line = _expand(line, place.environ)
    draft.lines += 1
    try:
        if found := _EDITABLE.fullmatch(line):
            named, location, marker = found.groups()
            text = f"{named or ''}{''.join(_split(location))}{f' ; {marker}' if marker else ''}"
            _add_editable(draft, text, where, place)
        elif line.startswith("-"):
            _apply_options(draft, _file_options().parse_args(_split(line)), where, place)
        else:
            requirement = _requirement(line, where, place.path.parent, draft)
            (draft.constraints if place.constraint else draft.requirements).append(requirement)
    except _OptionError as error:
        draft.mistakes.append(f"{where}: {error}")
    except DataloaderError as error:
        told = error.message if error.message.startswith(where) else f"{where}: {error.message}"
        unset = [f"the variable {name} is not set" for name in dict.fromkeys(_VARIABLE.findall(line))]
        draft.mistakes.append("; ".join([told, *unset]))
        draft.suggestions.extend(() if unset else error.suggestions)


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise _OptionError(f"{text!r}: {error}") from error


def _requirement(line: str, where: str, base: Path, draft: _Draft) -> PypiRequirement:
    """A requirement and its per-requirement options: everything from the first word that starts with ``-``."""
    words = line.split(" ")
    start = next((i for i, word in enumerate(words) if word.startswith("-")), len(words))
    requirement = parse_pypi(" ".join(words[:start]), origin=where, base=base)
    options = _line_options().parse_args(_split(" ".join(words[start:])))
    if options.build_options:
        draft.notes.append(f"{where}: build options have no effect, nothing is built")
    for digest in options.hash:
        if not re.fullmatch(r"\w+:[0-9a-fA-F]+", digest):
            raise _OptionError(f"--hash={digest} is not ALGORITHM:HEXDIGEST")
    hashes = tuple(digest.lower() for digest in options.hash if digest.startswith("sha256:"))
    if options.hash and not hashes:
        raise _OptionError(f"--hash={options.hash[0]}: sha256 alone is read; `pip hash FILE` gives it")
    return replace(requirement, hashes=(*requirement.hashes, *hashes)) if hashes else requirement


def _add_editable(draft: _Draft, text: str, where: str, place: _Place) -> None:
    if place.constraint:
        raise _OptionError("-e is no constraint: a folder to be edited is a requirement")  # as pip has it
    draft.requirements.append(parse_editable(text, origin=where, base=place.path.parent))


def _apply_options(draft: _Draft, arguments: argparse.Namespace, where: str, place: _Place) -> None:
    base = place.path.parent
    for text in arguments.editable:
        _add_editable(draft, text, where, place)
    for name in (*arguments.requirement, *arguments.constraint):
        if "://" in name:
            draft.mistakes.append(f"{where}: {name}: requirements files are read from disk only; download it first")
            continue
        constraint = place.constraint or name in arguments.constraint
        _read_file(draft, replace(place, path=base / name, constraint=constraint))
    draft.index_url = arguments.index_url or draft.index_url
    draft.extra_index_urls += arguments.extra_index_url
    draft.find_links += [_find_links(value, base) for value in arguments.find_links]
    draft.no_index |= arguments.no_index
    draft.prerelease |= arguments.pre
    draft.require_hashes |= arguments.require_hashes
    draft.only_binary += [name for value in arguments.only_binary for name in value.split(",")]
    draft.no_binary += [name for value in arguments.no_binary for name in value.split(",")]
    draft.trusted_hosts += arguments.trusted_host
    for option in ("use_feature", "prefer_binary"):
        if getattr(arguments, option):
            draft.notes.append(f"{where}: --{option.replace('_', '-')} has no effect here")


def _find_links(value: str, base: Path) -> str:
    """A URL stays; a path that exists relative to the file is taken from there (as pip), else from here."""
    if "://" in value:
        return value
    relative = base / value
    return str((relative if relative.exists() else Path(value)).resolve())
