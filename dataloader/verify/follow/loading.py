"""What brings code and libraries into a process: ``ctypes``, ``importlib`` and what packages are known by."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from dataloader.verify.follow.follower import RTLD_GLOBAL, Follower
from dataloader.verify.follow.natives import constant, of_first, pure
from dataloader.verify.follow.statements import absolute_name
from dataloader.verify.follow.values import (
    UNKNOWN,
    FileValue,
    Instance,
    ModuleValue,
    Native,
    Raised,
    Recorded,
    Unknown,
    text_of,
)


def _open(follower: Follower, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    name = arguments[0] if arguments else keywords.get("name", UNKNOWN)
    return follower.open(name, *arguments[1:2], **{k: v for k, v in keywords.items() if k == "mode"})


def _find_library(follower: Follower, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    del keywords
    name = arguments[0] if arguments and isinstance(arguments[0], str) else None
    found = follower.around.find_library(name) if name else None
    return UNKNOWN if found is None else found or None


def _open_of_folder(follower: Follower, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    """``numpy.ctypeslib.load_library(name, folder)``."""
    del keywords
    name, folder = (text_of(argument) for argument in (*arguments, UNKNOWN, UNKNOWN)[:2])
    if name is None or folder is None:
        return follower.open(UNKNOWN)
    return follower.open(f"{folder}/{name}" if name.endswith(".so") else f"{folder}/{name}.so")


def _open_nvidia(follower: Follower, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    del keywords
    name = arguments[0] if arguments else UNKNOWN
    if not isinstance(name, str):
        return follower.open(UNKNOWN)
    found = follower.around.named_by_nvidia(name)
    return follower.open(found[0]) if found else UNKNOWN


def ctypes_modules() -> dict[str, dict[str, Any]]:
    opener = Native("CDLL", _open)
    loader = Instance(names={"LoadLibrary": opener})
    return {
        "ctypes": {
            "CDLL": opener,
            "PyDLL": opener,
            "cdll": loader,
            "pydll": loader,
            "LibraryLoader": constant(loader),
            "RTLD_GLOBAL": RTLD_GLOBAL,
            "RTLD_LOCAL": 0,
            "DEFAULT_MODE": 0,
        },
        "ctypes.util": {"find_library": Native("find_library", _find_library)},
        "_ctypes": {"dlopen": opener},
        "numpy.ctypeslib": {"load_library": Native("load_library", _open_of_folder)},
        "cuda.pathfinder": {"load_nvidia_dynamic_lib": Native("load_nvidia_dynamic_lib", _open_nvidia)},
    }


def import_named(follower: Follower, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    """``importlib.import_module`` and ``__import__``."""
    name, package = (*arguments, keywords.get("package"), None)[:2] if arguments else (UNKNOWN, None)
    if not isinstance(name, str) or not name:
        return UNKNOWN
    level = len(name) - len(name.lstrip("."))
    if level:
        if not isinstance(package, str):
            return UNKNOWN
        name = absolute_name(name.lstrip("."), level, ModuleValue(package, None, folders=[""]))
    found = follower.import_module(name)
    return follower.import_module(name.partition(".")[0]) if "importer" in keywords and "." in name else found


def _spec(follower: Follower, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    """``spec_from_file_location(name, path)`` and ``ExtensionFileLoader(name, path)``."""
    del follower
    name, path = (*arguments, keywords.get("location", UNKNOWN))[:2] if arguments else (UNKNOWN, UNKNOWN)
    where = text_of(path)
    if where is None or not isinstance(name, str):
        return UNKNOWN

    def load(inner: Follower, _: Sequence[Any], __: Mapping[str, Any]) -> Any:
        return inner.load_file(name, where)

    loader = Instance(names=dict.fromkeys(("exec_module", "load_module", "create_module"), Native("load", load)))
    spec = Instance(names={"loader": loader, "name": name, "origin": where})
    loader.names["spec"] = spec
    return Instance(names={**spec.names, **loader.names})


def _finder(follower: Follower, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    """``FileFinder(folder, details)``: finds a module in one folder."""
    del follower, keywords
    folder = text_of(arguments[0]) if arguments else None
    if folder is None:
        return UNKNOWN

    def find(inner: Follower, names: Sequence[Any], _: Mapping[str, Any]) -> Any:
        name = names[0] if names else UNKNOWN
        if not isinstance(name, str):
            return UNKNOWN
        found = inner.find(ModuleValue("", None, folders=[folder]), name)
        return None if found is None else _spec(inner, (name, found[0]), {})

    return Instance(names={"find_spec": Native("find_spec", find)})


def _find_spec(follower: Follower, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    del keywords
    name = arguments[0] if arguments else UNKNOWN
    if not isinstance(name, str) or name.startswith("."):
        return UNKNOWN
    parent, _, last = name.rpartition(".")
    above = follower.import_module(parent) if parent else None
    if parent and not isinstance(above, ModuleValue):
        return UNKNOWN
    found = follower.find(above, last)
    if found is None:
        return None
    path, folders = found
    names = {"origin": path, "name": name, "submodule_search_locations": list(folders) or None}
    return Instance(names=names | {"loader": UNKNOWN, "has_location": path is not None})


def _distribution_files(follower: Follower, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    name = arguments[0] if arguments else keywords.get("distribution_name", UNKNOWN)
    if not isinstance(name, str):
        return UNKNOWN
    known = follower.around.recorded(name)
    if known is None:
        raise Raised(ModuleNotFoundError, name)
    return list(_recorded(known[0], known[1]))


def _recorded(site: str, paths: Sequence[str]) -> Iterator[Recorded]:
    for path in paths:
        recorded = Recorded(path)
        recorded.site = site
        yield recorded


def _distribution(follower: Follower, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    files = _distribution_files(follower, arguments, keywords)
    if isinstance(files, Unknown):
        return UNKNOWN
    known = follower.around.recorded(str(arguments[0]))
    site, _, version = known or ("", (), "")
    locate = pure("locate_file", lambda path: PurePosixPath(site, str(path)))
    return Instance(names={"files": files, "version": version, "locate_file": locate})


def _distribution_version(follower: Follower, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    del keywords
    name = arguments[0] if arguments and isinstance(arguments[0], str) else ""
    known = follower.around.recorded(name)
    if known is None:
        raise Raised(ModuleNotFoundError, name)
    return known[2]


def _resources(follower: Follower, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    """``importlib.resources.files(package)`` and, with a name, ``path(package, name)``."""
    del keywords
    package = arguments[0] if arguments else UNKNOWN
    module = follower.import_module(package) if isinstance(package, str) else package
    if not isinstance(module, ModuleValue) or not module.folders:
        return UNKNOWN
    names = [text_of(argument) for argument in arguments[1:]]
    return UNKNOWN if None in names else PurePosixPath(module.folders[0], *(name or "" for name in names))


def _json(follower: Follower, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    del keywords
    source = arguments[0] if arguments else UNKNOWN
    text = follower.around.text(source.path) if isinstance(source, FileValue) else source
    if not isinstance(text, str):
        return UNKNOWN
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Raised(ValueError, str(error)) from error


def import_modules() -> dict[str, dict[str, Any]]:
    module = Native("import_module", import_named)
    spec = Native("spec_from_file_location", _spec)
    first = of_first(lambda value: value)
    files = Native("files", _resources)
    loads = Native("loads", _json)
    metadata = {
        "files": Native("files", _distribution_files),
        "distribution": Native("distribution", _distribution),
        "version": Native("version", _distribution_version),
        "PackageNotFoundError": ModuleNotFoundError,
    }
    return {
        "importlib": {"import_module": module},
        "importlib.util": {
            "spec_from_file_location": spec,
            "module_from_spec": first,
            "find_spec": Native("find_spec", _find_spec),
        },
        "importlib.machinery": {
            "ExtensionFileLoader": spec,
            "SourceFileLoader": spec,
            "FileFinder": Native("FileFinder", _finder),
        },
        "importlib.metadata": metadata,
        "importlib_metadata": metadata,
        "importlib.resources": {"files": files, "path": files, "as_file": first},
        "importlib_resources": {"files": files, "path": files, "as_file": first},
        "json": {"load": loads, "loads": loads},
    }
