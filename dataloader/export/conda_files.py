"""The files of conda and of conda-lock: environment.yml, explicit lists, conda-lock.yml."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from dataloader.export.formats import ExportOptions
from dataloader.export.sources import index_lines, pinned
from dataloader.lockfile.graph import edges_of
from dataloader.lockfile.model import CondaPackage, Lockfile, PypiPackage
from dataloader.lockfile.parts import beside


def environment_yml(lock: Lockfile, options: ExportOptions) -> str:
    """Every package with its exact version; wheels in the part for pip, with the indexes that have them."""
    dependencies: list[Any] = [_spec(package, options) for package in lock.conda()]
    if lock.pypi():
        if lock.python.source == "host":
            dependencies.append(f"python={lock.python.version}")
        if all(package.name != "pip" for package in lock.conda()):
            dependencies.append("pip")
        dependencies.append({"pip": [*index_lines(lock), *(pinned(package) for package in lock.pypi())]})
    # Channels that are named are all there are: `nodefaults` is what conda calls that.
    # Without a conda package nothing says which channel has Python; conda-forge does.
    channels = [*(_channels(lock) or ["conda-forge"]), "nodefaults"]
    document = {"name": options.name, "channels": channels, "dependencies": dependencies}
    return _yaml(document)


def explicit(lock: Lockfile, options: ExportOptions) -> str:
    """The conda packages by URL, in an order in which each comes after what it needs (conda links them so)."""
    del options
    lines = [f"# platform: {lock.platform}", "@EXPLICIT"]
    for package in in_order(lock):
        digest = f"#{package.md5}" if package.md5 else f"#sha256:{package.sha256}" if package.sha256 else ""
        lines.append(f"{package.url}{digest}")
    return "\n".join(lines) + "\n"


def in_order(lock: Lockfile) -> list[CondaPackage]:
    """The conda packages, each after what it needs; by name where nothing decides, as in a circle."""
    packages = {package.name: package for package in lock.conda()}
    needs: defaultdict[str, set[str]] = defaultdict(set)
    for edge in edges_of(lock):
        if edge.source in packages and edge.target in packages:
            needs[edge.source].add(edge.target)
    done: dict[str, CondaPackage] = {}
    waiting = sorted(packages)
    while waiting:
        ready = [name for name in waiting if needs[name] <= done.keys()] or waiting[:1]
        done |= {name: packages[name] for name in ready}
        waiting = [name for name in waiting if name not in done]
    return list(done.values())


def conda_lock(lock: Lockfile, options: ExportOptions) -> str:
    """Version 1 of conda-lock's lock, of all platforms."""
    parts = beside(options.others, [lock])
    channels = dict.fromkeys(url for part in parts for url in _channels(part))
    document = {
        "version": 1,
        "metadata": {
            "content_hash": {part.platform: _digest(part) for part in parts},
            "channels": [{"url": url, "used_env_vars": []} for url in channels],
            "platforms": [part.platform for part in parts],
            "sources": ["dataloader.lock"],
        },
        "package": [package for part in parts for package in _conda_lock_packages(part)],
    }
    return _yaml(document)


def _conda_lock_packages(lock: Lockfile) -> Iterator[dict[str, Any]]:
    needs: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for edge in edges_of(lock):
        needs[edge.source].setdefault(edge.target, edge.bound or "*")
    for package in lock.packages:
        yield _conda_lock_package(package, lock.platform, needs[package.name])


def _conda_lock_package(package: CondaPackage | PypiPackage, platform: str, needs: dict[str, str]) -> dict[str, Any]:
    hashes = {"sha256": package.sha256} if package.sha256 else {}
    if isinstance(package, CondaPackage) and package.md5:
        hashes = {"md5": package.md5, **hashes}
    return {
        "name": package.name,
        "version": package.version,
        "manager": "conda" if isinstance(package, CondaPackage) else "pip",
        "platform": platform,
        "dependencies": needs,
        "url": package.url,
        "hash": hashes,
        "category": "main",
        "optional": False,
    }


def _spec(package: CondaPackage, options: ExportOptions) -> str:
    build = f"={package.build}" if options.builds else ""
    return f"{package.name}={package.version}{build}"


def _channels(lock: Lockfile) -> list[str]:
    """The channels that serve a package of the lock, in the lock's order."""
    used = {package.channel.rstrip("/") for package in lock.conda()}
    listed = [url.rstrip("/") for url in lock.channels]
    return [url for url in listed if url in used] + sorted(used - set(listed))


def _digest(lock: Lockfile) -> str:
    """What the lock was made from, and for what: conda-lock compares it to tell whether a lock is stale."""
    text = json.dumps({"inputs": lock.inputs, "platform": lock.platform}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _yaml(document: object) -> str:
    import yaml

    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=1000)
