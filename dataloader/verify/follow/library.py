"""Python's own library as followed code sees it, and what tells machines and Pythons apart."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping, Sequence
from typing import Any

from dataloader.verify.follow.exceptions import Suppress
from dataloader.verify.follow.files import file_modules
from dataloader.verify.follow.follower import Follower, Library
from dataloader.verify.follow.loading import ctypes_modules, import_modules
from dataloader.verify.follow.natives import asking, constant, of_first, pure
from dataloader.verify.follow.surroundings import Surroundings
from dataloader.verify.follow.values import (
    UNKNOWN,
    Environ,
    Instance,
    Native,
)

_Version = namedtuple("_Version", "major minor micro releaselevel serial")  # noqa: PYI024 - as Python's own, compared with tuples


def _set_flags(follower: Follower, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    del keywords
    flags = arguments[0] if arguments else UNKNOWN
    follower.open_flags = flags if isinstance(flags, int) else follower.open_flags
    return None


def _machine(around: Surroundings) -> dict[str, dict[str, Any]]:
    version: Any = _Version(*around.version, 0, "final", 0) if around.version else UNKNOWN
    sites = list(around.sites)
    system = {
        "platform": "linux",
        "maxsize": (1 << 63) - 1,
        "byteorder": "little",
        "version_info": version,
        "prefix": around.prefix,
        "exec_prefix": around.prefix,
        "executable": f"{around.prefix}/bin/python",
        "setdlopenflags": Native("setdlopenflags", _set_flags),
        "getdlopenflags": asking(lambda follower: follower.open_flags),
        "implementation": Instance(names={"name": "cpython"}),
        "modules": UNKNOWN,
    }
    folders = {"purelib": sites[0] if sites else "", "platlib": sites[0] if sites else "", "data": around.prefix}
    return {
        "sys": system,
        "platform": {
            "system": constant("Linux"),
            "machine": constant(around.machine),
            "python_implementation": constant("CPython"),
        },
        "site": {"getsitepackages": asking(lambda _: list(sites))},
        "sysconfig": {
            "get_path": pure("get_path", lambda name, *_, **__: folders.get(name, UNKNOWN)),
            "get_paths": constant(folders),
            "get_platform": constant(f"linux-{around.machine}"),
        },
        "typing": {"TYPE_CHECKING": False},
        "warnings": {"warn": constant(None)},
        "contextlib": {
            "suppress": Native("suppress", lambda _, arguments, __: Suppress(arguments)),
            "nullcontext": of_first(lambda value: value),
        },
    }


def make_library(around: Surroundings) -> Library:
    """The modules that followed code finds beside those of the prefix."""
    library = {**file_modules(), **ctypes_modules(), **_machine(around), **import_modules()}
    library["os"]["environ"] = Environ(around.variables)
    variables = library["os"]["environ"]
    library["os"]["getenv"] = Native("getenv", lambda follower, names, _: follower.method(variables, "get", names, {}))
    return library
