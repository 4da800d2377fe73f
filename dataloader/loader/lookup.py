"""Symbol lookup as glibc's dl-lookup.c does it: what one object needs, in a scope of others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from dataloader.elf.definitions import bare
from dataloader.loader.model import Environment, FileImage, Loaded

_OF_THE_DRIVER: Final = re.compile(rb"cu[A-Z]|cuvid|cudbg|nvml|nvPTX|[Nn]v[A-Z]|__(cu|nv)")
"""Names of what the NVIDIA driver's libraries define. ``cudaMalloc`` and ``cublasCreate`` are of others."""


class SymbolLookup:
    """Looks symbols up, and remembers by content what sufficed."""

    def __init__(self, environment: Environment, *, assumes_python: bool) -> None:
        """``assumes_python``: no program is known, so Python's C API counts as present."""
        self._environment = environment
        self._assumes_python = assumes_python

    def missing(self, loaded: Loaded, scope: Sequence[Loaded]) -> frozenset[bytes]:
        """``name`` or ``name@version`` of what ``loaded`` needs and nothing in ``scope`` has."""
        image = loaded.image
        if image is None or image.facts is None:
            return frozenset()
        memory = self._environment.memory
        present = {loaded.image.key if loaded.image else loaded.path: loaded for loaded in scope}
        # What sufficed once suffices in every scope that holds it.
        if any(set(known) <= present.keys() for known in memory.sufficed.get(image.key, ())):
            return frozenset()
        key = "\n".join([image.key, *sorted(present)])
        if key not in memory.missing:
            missing, used = self._look_up(loaded, image, scope)
            if missing:
                memory.missing[key] = missing
            else:
                memory.sufficed.setdefault(image.key, []).append(used)
        return memory.missing.get(key, frozenset())

    def _look_up(
        self, loaded: Loaded, image: FileImage, scope: Sequence[Loaded]
    ) -> tuple[frozenset[bytes], tuple[str, ...]]:
        """Names not found, and the keys of the objects that had the others."""
        files = self._environment.files
        for provider in scope:
            if provider.image and provider.image.facts:
                # Most will be looked up next: definitions are read once for all of them.
                files.undefined(provider.image)
        missing = set(files.undefined(image))
        if self._environment.musl:
            missing = set(map(bare, missing))
        used: set[str] = set()
        for provider in scope:
            if missing and provider.image and provider.image.facts:
                symbols = files.definitions(provider.image)
                # Most have none of them. Binary minus walks the left side; names in ``plain`` carry no version.
                if not (missing.isdisjoint(symbols.plain) and missing.isdisjoint(symbols.exact)):
                    used.add(provider.image.key)
                    missing = missing - symbols.exact - symbols.plain
        versioned = {name: bare(name) for name in missing if b"@" in name}
        for provider in scope:
            if versioned and provider.image and provider.image.facts:
                base = files.definitions(provider.image).base
                found = {name for name, plain in versioned.items() if plain in base}
                if found:
                    used.add(provider.image.key)
                missing -= found
                versioned = {name: plain for name, plain in versioned.items() if name not in found}
        if missing:
            taken = set(self._taken_as_present(missing, scope))
            if taken:
                used.update(loaded.path for loaded in scope if loaded.image is None)
            missing -= taken
            missing &= self._relocated(loaded, missing)
        return frozenset(missing), tuple(sorted(used))

    def _relocated(self, loaded: Loaded, missing: set[bytes]) -> set[bytes]:
        names = self._environment.files.relocated(loaded.path)
        return {name for name in missing if bare(name) in names}

    def _taken_as_present(self, missing: set[bytes], scope: Sequence[Loaded]) -> Iterator[bytes]:
        """Symbols of libraries that cannot be looked at: their versions were checked already.

        For names without a version this machine's library of the same soname stands in, where it has one.
        """
        env = self._environment
        absent = [loaded.path for loaded in scope if loaded.image is None]
        opaque = [path for path in absent if not env.assumed(path)]
        driver = len(opaque) < len(absent)
        plain: set[bytes] = set()
        unknown = False
        for soname in opaque:
            path = env.system.stand_in(soname)
            image = env.files.image(path) if path else None
            unknown |= image is None or image.facts is None
            if image and image.facts:
                plain |= missing & env.files.definitions(image).plain
                opaque += [name for name in image.facts.needed if name not in opaque]  # libc brings ld.so
        for name in missing:
            hidden = opaque and (unknown or b"@" in name or name in plain)
            if (
                hidden
                or (driver and _OF_THE_DRIVER.match(name))
                or (self._assumes_python and name.startswith((b"Py", b"_Py")))
            ):
                yield name
