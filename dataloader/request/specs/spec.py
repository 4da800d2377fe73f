"""Specs as people type them -> requirements. PEP 508, ``pypi:REQ``, ``conda:MATCHSPEC``, and wheels by path or URL."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urldefrag, urlsplit

from dataloader.base.errors import UsageError
from dataloader.base.names import file_name_of, normalized
from dataloader.base.origin import ARCHIVES
from dataloader.index.web.credentials import check_asked
from dataloader.request.specs.requirements import CondaRequirement, PypiRequirement, Refusal, Requirement
from dataloader.request.specs.sources import from_source, is_wheel, name_of, path_named, source_at

# Text, compiled when a conda spec is read: many runs have none.
_CONDA_NAME = r"[a-z0-9_][a-z0-9_.\-]*"
_CONDA_CLAUSE = r"\s*\(*\s*(?:(?:==|!=|<=|>=|~=|=|<|>)?\s*[0-9A-Za-z_.*+!\-]+|\^.*\$)\s*\)*\s*"
# The split of version and build is conda's own (conda.models.match_spec).
_CONDA_VERSION_BUILD = r"((?:.+?)[^><!,|]?)(?:(?<![=!|,<>~])(?:[ =])([^-=,|<>~]+?))?"
_CONDA_SERIES = r"(?<![<>=!~])=([^<>=!~,|()\s][^,|()\s]*)"
_CONDA_BRACKETS = r"\[(?P<inside>[^\[\]]*)\]\s*$"
_CONDA_FIELD = r"""\s*(\w+)\s*=\s*("[^"]*"|'[^']*'|[^,'"]*)\s*(?:,|$)"""
_CONDA_FIELDS = ("version", "build", "build_number", "channel", "subdir", "md5", "sha256")

_NAMED_WITH = {"txt": "-r", "in": "-r", "toml": "-r", "lock": "-r", "yml": "-f", "yaml": "-f"}
"""End of a file's name -> the option that reads such files."""


def parse_spec(text: str, *, origin: str = "the command line", base: Path | None = None) -> Requirement:
    """Read one spec as typed on the command line; relative paths are taken from ``base``.

    Raises UsageError ``requirement-invalid``, saying what to write instead.

    >>> str(parse_spec("Torch >=2.1, <3"))
    'torch<3,>=2.1'
    >>> str(parse_spec("conda:cudnn=8.7"))
    "conda:cudnn[version='8.7.*']"
    """
    text = text.strip()
    if base is not None and (option := _NAMED_WITH.get(text.rpartition(".")[2])) and (base / text).is_file():
        raise UsageError(
            f"{origin}: {text} is a file, and no package",
            code="requirement-invalid",
            suggestions=(f"name it with {option}: `{option} {text}`",),
        )
    if text.startswith("conda:"):
        return parse_conda(text.removeprefix("conda:"), origin=origin)
    if text.startswith("pypi:"):
        return parse_pypi(text.removeprefix("pypi:"), origin=origin, world="pypi", base=base)
    return parse_pypi(text, origin=origin, base=base)


def parse_pypi(
    text: str, *, origin: str = "the command line", world: Literal["any", "pypi"] = "any", base: Path | None = None
) -> PypiRequirement:
    """Read a PEP 508 requirement, or the path or URL of a wheel.

    What would have to be built is read, and refused where it is used. Raises UsageError ``requirement-invalid``.
    """
    from packaging.requirements import InvalidRequirement
    from packaging.requirements import Requirement as Pep508

    text = text.strip()
    if _is_location(text):
        return _location_requirement(text, origin=origin, base=base)
    try:
        parsed = Pep508(text)
    except InvalidRequirement as error:
        raise _not_pep508(text, origin, str(error)) from error
    requirement = PypiRequirement(
        name=normalized(parsed.name),
        extras=tuple(sorted({normalized(extra) for extra in parsed.extras})),
        specifier=str(parsed.specifier),
        marker=str(parsed.marker) if parsed.marker else None,
        world=world,
        origin=origin,
    )
    return _with_url(requirement, parsed.url, base) if parsed.url else requirement


def _with_url(requirement: PypiRequirement, url: str, base: Path | None) -> PypiRequirement:
    """``requirement`` met by what a URL names; what cannot be met is refused where its marker holds, and only there."""
    try:
        if not is_wheel(url):
            hashes = hashes_of(url) or requirement.hashes
            return from_source(replace(requirement, hashes=hashes), source_at(url, base=base))
        return with_wheel(requirement, url, base=base)
    except UsageError as error:
        if requirement.marker is None:
            raise
        return replace(requirement, refusal=refusal_of(error))


def refusal_of(error: UsageError) -> Refusal:
    """Return an error as a value."""
    return Refusal(message=error.message, code=error.code, suggestions=tuple(error.suggestions))


def _location_requirement(text: str, *, origin: str, base: Path | None) -> PypiRequirement:
    """Read ``WHEEL[EXTRAS] ; MARKER``, where WHEEL is a path or a URL; the marker stands behind a blank."""
    location, condition = _without_marker(text, origin)
    extras: tuple[str, ...] = ()
    if found := re.fullmatch(r"(.*\.whl)\[([\w.,\s\-]*)\]", location):
        location = found[1]
        extras = tuple(sorted({normalized(extra.strip()) for extra in found[2].split(",") if extra.strip()}))
    if not is_wheel(location):
        location, extras = _without_extras(location)
    if not is_wheel(location):
        source = source_at(location, base=base)
        bare = PypiRequirement(
            name=name_of(location, source), extras=extras, marker=condition, hashes=hashes_of(location), origin=origin
        )
        return from_source(bare, source)
    if condition is None:
        return replace(_wheel_requirement(location, origin=origin, base=base), extras=extras)
    try:
        wheel = _wheel_requirement(location, origin=origin, base=base)
    except UsageError as error:
        name = normalized(re.sub(r".*/", "", location.partition("#")[0])) or location
        return PypiRequirement(name=name, marker=condition, origin=origin, refusal=refusal_of(error))
    return replace(wheel, extras=extras, marker=condition)


def parse_editable(text: str, *, origin: str, base: Path | None = None) -> PypiRequirement:
    """Read what stands behind ``-e``: a tree or a repository, which is built where it is used; a marker may follow.

    Raises UsageError ``requirement-invalid``, or as :func:`source_at`.
    """
    location, condition = _without_marker(text, origin)
    named = re.fullmatch(r"([\w.\-]+)\s*(\[[^]]*\])?\s+@\s+(.*)", location)
    location, extras = _without_extras(f"{named[3]}{named[2] or ''}" if named else location)
    source = source_at(location, base=base, editable=True)
    name = normalized(named[1]) if named else name_of(location, source)
    bare = PypiRequirement(name=name, extras=extras, marker=condition, origin=origin)
    return from_source(bare, source)


def _without_marker(text: str, origin: str) -> tuple[str, str | None]:
    """Part ``LOCATION ; MARKER``; a blank stands on one side of the semicolon, which may be part of a URL."""
    from packaging.markers import InvalidMarker, Marker

    location, _, marker = (part.strip() for part in re.sub(r"\s+;|;\s+", "\n", text, count=1).partition("\n"))
    try:
        return location, str(Marker(marker)) if marker else None
    except InvalidMarker as error:
        raise _not_pep508(text, origin, str(error)) from error


def _without_extras(location: str) -> tuple[str, tuple[str, ...]]:
    """Part ``./tree[one,two]``."""
    found = re.fullmatch(r"([^#]*?)\[([\w.,\s\-]*)\](#.*)?", location)
    if not found:
        return location, ()
    extras = {normalized(extra.strip()) for extra in found[2].split(",") if extra.strip()}
    return found[1] + (found[3] or ""), tuple(sorted(extras))


def with_wheel(requirement: PypiRequirement, location: str, *, base: Path | None = None) -> PypiRequirement:
    """``requirement`` met by the one wheel at ``location``, a path or a URL.

    Raises UsageError ``requirement-invalid`` when the wheel is of another project or not there.
    """
    wheel = _wheel_requirement(location, origin=requirement.origin, base=base)
    if wheel.name != requirement.name:
        raise UsageError(
            f"{requirement.origin}: {location} is a wheel of {wheel.name}, not of {requirement.name}",
            code="requirement-invalid",
            suggestions=(f"write `{wheel.name} @ {location}`",),
        )
    hashes = wheel.hashes or requirement.hashes
    return replace(wheel, extras=requirement.extras, marker=requirement.marker, hashes=hashes)


def by_wheel(requirement: PypiRequirement, location: str, *, base: Path | None = None) -> PypiRequirement:
    """``requirement`` met by the wheel at ``location``; where it cannot be, it is refused where it matters."""
    try:
        return with_wheel(requirement, location, base=base)
    except UsageError as error:
        return replace(requirement, refusal=refusal_of(error))


_VERSION = r"v?\d+(?:\.\d+)*(?:\.\*|(?:[._-]?(?:a|b|rc|alpha|beta|pre|post|dev)\d*)*(?:\+[\w.]+)?)"
_CLAUSE = rf"(?:===?|[<>!~]=|[<>])\s*{_VERSION}"
_AXIS_VALUE = re.compile(rf"=?{_VERSION}|{_CLAUSE}(?:\s*,\s*{_CLAUSE})*")


def axis_mistake(axis: str, value: str) -> str | None:
    """What is wrong with what was asked of an axis of the stack; ``None`` when it can be read.

    >>> axis_mistake("cuda", "12.1"), axis_mistake("torch", ">=2.1,<3"), axis_mistake("cuda", "none")
    (None, None, None)
    >>> axis_mistake("torch", "newest")
    'expected a version such as 2.1.0 or a specifier such as >=2,<3'
    """
    if value in {"", "*"} or (axis == "cuda" and value == "none") or _AXIS_VALUE.fullmatch(value):
        return None
    also = ", or none for CPU builds" if axis == "cuda" else ""
    return f"expected a version such as {'12.1' if axis == 'cuda' else '2.1.0'} or a specifier such as >=2,<3{also}"


def _is_location(text: str) -> bool:
    head = text.split("#", 1)[0].split(";", 1)[0].strip()
    if re.match(r"[\w.\-]+\s*(\[[^\]]*\])?\s+@\s", head):
        return False  # NAME @ LOCATION
    if "://" in head:
        return " @ " not in head and not re.match(r"[\w.\-]+\s*(\[[^\]]*\])?\s*@", head)
    return head.endswith((".whl", *ARCHIVES)) or head in {".", ".."} or head.startswith(("./", "../", "/", "~"))


def _wheel_requirement(location: str, *, origin: str, base: Path | None) -> PypiRequirement:
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    from dataloader.index.filenames import without_variant

    check_asked(location)
    hashes = hashes_of(location)
    location = urldefrag(location)[0]
    scheme = urlsplit(location).scheme
    if scheme in {"http", "https"}:
        url, filename = location, file_name_of(location)
    else:
        path = path_named(unquote(urlsplit(location).path) if scheme == "file" else location).expanduser()
        path = ((base or Path.cwd()) / path).resolve()
        if not path.is_file():
            raise UsageError(f"{origin}: there is no file {path}", code="requirement-invalid")
        url, filename = path.as_uri(), path.name
    try:
        name, version, _, _ = parse_wheel_filename(filename)
    except InvalidWheelFilename as error:
        plain = without_variant(filename)
        raise UsageError(
            f"{origin}: {filename} is a variant wheel (PEP 825), and those are chosen from an index"
            if plain
            else f"{origin}: {filename} is not a wheel's name: {error}",
            code="requirement-invalid",
            suggestions=("name its project, and its folder or index: --find-links, --index-url",) if plain else (),
        ) from error
    return PypiRequirement(
        name=str(name), specifier=f"=={version}", url=url, hashes=hashes, world="pypi", origin=origin
    )


def hashes_of(location: str) -> tuple[str, ...]:
    """Return the digests that the fragment of a location says its file has.

    >>> hashes_of("https://h/a-1.tar.gz#sha256=00&egg=a")
    ('sha256:00',)
    """
    parts = location.partition("#")[2].split("&")
    return tuple(part.replace("=", ":", 1) for part in parts if part.startswith("sha256="))


def _not_pep508(text: str, origin: str, reason: str) -> UsageError:
    """The error for text that is no requirement, with what was probably meant."""
    suggestions: tuple[str, ...]
    if "::" in text or re.fullmatch(r"[\w.\-]+\s*=\s*[^=<>\s]\S*", text):
        suggestions = (f"`conda:{text}` for the conda package",)
        name, equals, version = text.rpartition("::")[2].partition("=")
        if equals:
            suggestions += (f"`{name.strip()}=={version.strip()}` for the Python distribution",)
    elif found := re.fullmatch(r"([\w.\-]+(?:\[[^]]*\])?)\s*=([<>])\s*(\S+)", text):
        suggestions = (f"write the operator the other way round: `{found[1]}{found[2]}={found[3]}`",)
    elif text.endswith(",") and not _is_location(text):
        suggestions = (f"specs are parted by blanks: `{text.rstrip(',')}`",)
    elif re.match(r"[\w.\-]+\s+\d", text):
        suggestions = ("give the version with an operator: `" + re.sub(r"\s+", "==", text, count=1) + "`",)
    else:
        suggestions = ("write it like `numpy`, `numpy>=1.26,<2`, `ray[tune]==2.9.0` or `conda:cudnn=8.7`",)
    detail = " ".join(line.strip() for line in reason.splitlines()[:1])
    return UsageError(
        f"{origin}: {text!r} is not a requirement",
        code="requirement-invalid",
        causes=(detail,),
        suggestions=suggestions,
    )


def parse_conda(text: str, *, origin: str = "the command line") -> CondaRequirement:
    """Read a conda match spec: ``[CHANNEL[/SUBDIR]::]NAME[=VERSION[=BUILD]]``, with spaces or brackets too.

    Raises UsageError ``match-spec-invalid``.

    >>> parse_conda("conda-forge/linux-64::pytorch=2.1.0=*cuda118*").build
    '*cuda118*'
    >>> parse_conda("python >=3.10,<3.12").version
    '>=3.10,<3.12'
    """
    original, text = text, text.split(" #", 1)[0].strip()
    given: dict[str, str | None] = {}
    if brackets := re.search(_CONDA_BRACKETS, text):
        given = _bracket_fields(brackets["inside"], original, origin)
        text = text[: brackets.start()].strip()
    channel, _, text = text.rpartition("::")
    channel, subdir = _split_subdir(channel)
    match = re.match(r"([^ =<>!~\[\]]+)\s*(.*)$", text)
    if match is None or not re.fullmatch(_CONDA_NAME, match[1].lower()):
        raise _not_match_spec(
            original, origin, "the package's name is missing or has a character that names cannot have"
        )
    version, build = _version_and_build(match[2].strip())
    fields = {"version": version, "build": build, "channel": channel or None, "subdir": subdir} | given
    version = fields["version"]
    if version is not None and not all(re.fullmatch(_CONDA_CLAUSE, clause) for clause in re.split(r"[,|]", version)):
        raise _not_match_spec(original, origin, f"{version!r} is not a version spec")
    return CondaRequirement(name=match[1].lower(), origin=origin, **{k: fields.get(k) for k in _CONDA_FIELDS})  # type: ignore[arg-type]


def conda_version(text: str) -> str | None:
    """A version spec as manifests write it: ``*`` is ``None``, ``=2.1`` is ``2.1.*``."""
    text = text.strip()
    return _version_and_build(text)[0] if text not in {"", "*"} else None


def _version_and_build(text: str) -> tuple[str | None, str | None]:
    # Blanks part version and build; beside an operator or between clauses they mean nothing.
    text = re.sub(r"(?<=[<>=!~])\s+", "", re.sub(r"\s*([,|])\s*", r"\1", text.strip()))
    if not text:
        return None, None
    match = re.fullmatch(_CONDA_VERSION_BUILD, text)
    version, build = (match[1].strip(), match[2]) if match else (text, None)
    # conda: name=1.8 is any 1.8, name=1.8=build is exactly 1.8.
    series = "" if build else ".*"
    version = re.sub(_CONDA_SERIES, lambda found: found[1] + ("" if found[1].endswith("*") else series), version)
    return (None if version == "*" else version), (build or None)


def _split_subdir(channel: str) -> tuple[str, str | None]:
    match = re.search(r"/((?:linux|osx|win|emscripten|wasi|freebsd|zos)-\w+|noarch)$", channel)
    return (channel[: match.start()], match[1]) if match else (channel, None)


def _bracket_fields(inside: str, text: str, origin: str) -> dict[str, str | None]:
    fields: dict[str, str | None] = {}
    position = 0
    while position < len(inside):
        match = re.compile(_CONDA_FIELD).match(inside, position)
        if match is None or match[1] not in _CONDA_FIELDS:
            known = ", ".join(_CONDA_FIELDS)
            raise _not_match_spec(text, origin, f"inside the brackets only {known} are read")
        fields[match[1]] = match[2].strip().strip("'\"")
        position = match.end()
    if "version" in fields:
        fields["version"] = conda_version(fields["version"] or "")
    return fields


def _not_match_spec(text: str, origin: str, reason: str) -> UsageError:
    return UsageError(
        f"{origin}: {text!r} is not a conda match spec",
        code="match-spec-invalid",
        causes=(reason,),
        suggestions=(
            "write it like `cudnn=8.7`, `nvidia::cuda-nvcc`, `pytorch=2.1.0=*cuda11.8*` or `python >=3.10,<3.12`",
        ),
    )
