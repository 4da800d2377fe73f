"""Distribution filenames -> project and version. Fast for the common form, ``packaging`` decides the rest."""

from __future__ import annotations

import re
from functools import lru_cache

from dataloader.base.names import normalized

_normalized = lru_cache(maxsize=4096)(normalized)
_WHEEL_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._]*[A-Za-z0-9])?\Z").match
_WHEEL_TAG = re.compile(
    r"(?:\d[^-]*-)?"
    r"[^\W\d]\w*(?:\.[^\W\d]\w*)*-\w+(?:\.\w+)*-\w+(?:\.\w+)*\.whl\Z",
    re.ASCII,
).match
"""Build number, then interpreters (identifiers), ABIs and platforms: each a dotted set without empty members."""
_PLAIN_VERSION = re.compile(
    r"(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*))*(?:(?:a|b|rc)(?:0|[1-9]\d*))?(?:\.post(?:0|[1-9]\d*))?(?:\.dev(?:0|[1-9]\d*))?\Z"
).match
"""Versions that are their own normal form (PEP 440, appendix B, without epoch and local part)."""
_VARIANT = re.compile(r"(.+)-[a-z0-9_.]{1,16}\.whl\Z").match
_DASHES = 5
"""What the name of a variant wheel has at least; that of a plain one has fewer, unless it has a build number."""
_SDIST_SUFFIXES = (".tar.gz", ".zip")


def parse_filename(filename: str, project: str | None = None) -> tuple[str, str] | None:
    """Normalised project and version of a wheel or sdist; ``None`` when it is neither, or another project's.

    ``project`` (normalised) settles where the name of an sdist ends, which its filename alone does not.

    >>> parse_filename("foo-1.0-py3-none-any.whl")
    ('foo', '1.0')
    >>> parse_filename("foo-bar-1.0.tar.gz", "foo-bar")
    ('foo-bar', '1.0')
    """
    found = _parse_wheel(filename) if filename.endswith(".whl") else _parse_sdist(filename, project)
    if found is None or (project is not None and found[0] != project):
        return None
    return found


def parse_listed(filename: str, project: str | None = None) -> tuple[str, str] | None:
    """As :func:`parse_filename`, and of variant wheels."""
    return parse_filename(filename, project) or parse_filename(without_variant(filename), project)


def without_variant(filename: str) -> str:
    """The name of a variant wheel (PEP 825) without its label; empty where it is none.

    >>> without_variant("foo-1.0-py3-none-any-cu128.whl"), without_variant("foo-1.0-py3-none-any.whl")
    ('foo-1.0-py3-none-any.whl', '')
    """
    if filename.count("-") < _DASHES:
        return ""
    found = _VARIANT(filename)
    plain = f"{found[1]}.whl" if found else ""
    return plain if plain and _parse_wheel(plain) and not _parse_wheel(filename) else ""


def variant_label(filename: str) -> str:
    """The label of a variant wheel (PEP 825); empty where it is none.

    >>> variant_label("foo-1.0-py3-none-any-cu128.whl"), variant_label("foo-1.0-py3-none-any.whl")
    ('cu128', '')
    """
    plain = without_variant(filename)
    return filename[len(plain) - len(".whl") + 1 : -len(".whl")] if plain else ""


def described_release(filename: str) -> tuple[str, str] | None:
    """The project and version whose variants a file describes (PEP 825); ``None`` where it is no such file.

    >>> described_release("foo_bar-1.0-variants.json")
    ('foo-bar', '1.0')
    """
    name, _, version = filename.removesuffix("-variants.json").partition("-")
    return _wheel_release(name, version) if filename.endswith("-variants.json") else None


@lru_cache(maxsize=16384)
def normal_version(text: str) -> str | None:
    """The normal form of a version (PEP 440), or ``None`` when it is not one.

    >>> normal_version("1.0-RC.1+cu11_8")
    '1.0rc1+cu11.8'
    """
    if _PLAIN_VERSION(text):
        return text
    from packaging.version import InvalidVersion, Version

    try:
        return str(Version(text))
    except InvalidVersion:
        return None


def _parse_wheel(filename: str) -> tuple[str, str] | None:
    # A page repeats each release and each tag many times: both halves are judged once.
    name, _, rest = filename.partition("-")
    version, _, tag = rest.partition("-")
    return _wheel_release(name, version) if _is_wheel_tag(tag) else None


@lru_cache(maxsize=16384)
def _wheel_release(name: str, version: str) -> tuple[str, str] | None:
    # "__" is what escaping can never give (packaging.utils says the same).
    if _WHEEL_NAME(name) is None or "__" in name or version != version.strip():
        return None
    normal = normal_version(version)
    return None if normal is None else (_normalized(name), normal)


@lru_cache(maxsize=4096)
def _is_wheel_tag(text: str) -> bool:
    """Whether a wheel's name may end so: an optional build number, then the tag."""
    return _WHEEL_TAG(text) is not None


def _parse_sdist(filename: str, project: str | None) -> tuple[str, str] | None:
    suffix = next((suffix for suffix in _SDIST_SUFFIXES if filename.endswith(suffix)), None)
    if suffix is None:
        return None
    stem = filename.removesuffix(suffix)
    ends = [stem.rfind("-")] if project is None else [match.start() for match in re.finditer("-", stem)]
    for end in ends:
        name = _normalized(stem[:end]) if end > 0 else ""
        if not name or (project is not None and name != project):
            continue
        version = normal_version(stem[end + 1 :])
        if version is not None:
            return name, version
    return None
