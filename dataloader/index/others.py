"""What pip's and uv's settings say of the packages themselves, which nobody heeds here: each is told, with our word.

Their settings of indexes that are heeded are in ``pip_config``; those of speed, output and places are their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dataloader.base.reporter import Reporter
from dataloader.index.pip_config import read_pip_files
from dataloader.index.settings import IndexSettings

_FILES = "-r FILE"
_CONSTRAINTS = "a line `-c FILE` in a file for -r, or `constraints` in [resolution]"
_HASHES = "`require-hashes = true` in [resolution]"
_BINARY = "--no-binary"
_PRE = "--prerelease"
_GROUPS = "--group"
_ISOLATION = "`no-isolation` in [build]"

PIP: Mapping[str, str | None] = {
    "abi": None,
    "all-releases": _PRE,
    "build-constraint": "`requires` in [build]",
    "config-settings": None,
    "constraint": _CONSTRAINTS,
    "editable": "`{ path = ..., editable = true }` in the manifest",
    "group": _GROUPS,
    "ignore-requires-python": None,
    "implementation": None,
    "no-binary": _BINARY,
    "no-build-isolation": _ISOLATION,
    "no-deps": None,
    "only-binary": "--build names what may be built, and nothing else is",
    "only-deps": None,
    "only-final": _PRE,
    "platform": "--platform",
    "pre": _PRE,
    "prefer-binary": "--build names what may be built, and nothing else is",
    "prefix": "--prefix",
    "python-version": "--python",
    "require-hashes": _HASHES,
    "requirement": _FILES,
    "requirements-from-script": "dataloader run SCRIPT",
    "root": "--target-prefix",
    "target": "--prefix",
    "uploaded-prior-to": "--exclude-newer",
}
"""Options of pip that change what is installed, and that a variable or a file may set -> what says it here."""

UV: Mapping[str, str | None] = {
    "UV_BUILD_CONSTRAINT": "`requires` in [build]",
    "UV_CONSTRAINT": _CONSTRAINTS,
    "UV_DEFAULT_INDEX": "--index-url",
    "UV_DEV": _GROUPS,
    "UV_EXCLUDE": None,
    "UV_EXCLUDE_NEWER": "--exclude-newer",
    "UV_EXTRA_INDEX_URL": "--extra-index-url",
    "UV_FIND_LINKS": "--find-links",
    "UV_FORK_STRATEGY": None,
    "UV_FROZEN": "--frozen",
    "UV_INDEX": "--extra-index-url",
    "UV_INDEX_STRATEGY": None,
    "UV_INDEX_URL": "--index-url",
    "UV_INSECURE_HOST": "DATALOADER_TRUSTED_HOST",
    "UV_LOCKED": "--locked",
    "UV_NO_BINARY": _BINARY,
    "UV_NO_BINARY_PACKAGE": _BINARY,
    "UV_NO_BUILD": "--build names what may be built, and nothing else is",
    "UV_NO_BUILD_ISOLATION": _ISOLATION,
    "UV_NO_BUILD_PACKAGE": "--build names what may be built, and nothing else is",
    "UV_NO_DEFAULT_GROUPS": _GROUPS,
    "UV_NO_DEV": _GROUPS,
    "UV_NO_EDITABLE": None,
    "UV_NO_GROUP": _GROUPS,
    "UV_NO_INSTALL_LOCAL": None,
    "UV_NO_INSTALL_PROJECT": None,
    "UV_NO_INSTALL_WORKSPACE": None,
    "UV_NO_SOURCES": None,
    "UV_NO_VERIFY_HASHES": None,
    "UV_OFFLINE": "--offline",
    "UV_OVERRIDE": "`overrides` in [resolution]",
    "UV_PRERELEASE": _PRE,
    "UV_PYTHON": "--python",
    "UV_REQUIRE_HASHES": _HASHES,
    "UV_RESOLUTION": None,
    "UV_TORCH_BACKEND": "--cuda",
}
"""Variables of uv that change what is installed -> what says it here."""


def unheeded(settings: IndexSettings) -> Iterator[str]:
    """Yield what is to be told of settings of other tools; not of what was said in our words too."""
    environ = settings.environ
    said = {f"PIP_{option.upper().replace('-', '_')}": ours for option, ours in PIP.items()} | dict(UV)
    heeded = {f"--{name.removesuffix('s').replace('_', '-')}" for name in settings.origins}
    for variable, ours in said.items():
        if environ.get(variable, "").strip() and ours not in heeded:
            yield _told(variable, variable.partition("_")[0].lower(), ours)
    for option in read_pip_files(environ, Reporter(), tuple(PIP)):
        if PIP[option] not in heeded:
            yield _told(f"{option} in pip's configuration", "pip", PIP[option])


def _told(what: str, whose: str, ours: str | None) -> str:
    return f"{what} is {whose}'s, and not heeded here" + (f": {ours}" if ours else "")
