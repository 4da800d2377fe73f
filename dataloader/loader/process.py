"""The dynamic loader's model: what dlopen would do with a file, step by step as ld.so(8) and glibc do it.

Nothing is executed. The model asks a :class:`Files` what a path holds, and a ``System`` what the machine provides.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from dataloader.elf.definitions import bare
from dataloader.elf.facts import ElfFacts
from dataloader.elf.image import DF_1_NODEFLIB, DF_1_NOOPEN, DF_1_NOW, DF_1_PIE, ET_DYN
from dataloader.elf.tokens import expanded
from dataloader.loader.lookup import SymbolLookup
from dataloader.loader.model import STATIC_TLS_SURPLUS, Environment, Failure, FileId, FileImage, Loaded, Result


class Process:
    """One process: what it has loaded, in order."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.objects: list[Loaded] = []
        self.by_name: dict[str, Loaded] = {}
        self.by_id: dict[FileId, Loaded] = {}
        self.main: Loaded | None = None
        self.global_scope: list[Loaded] = []
        self.static_tls_left = STATIC_TLS_SURPLUS
        self.assumes_python = False
        """No program is known: Python's C API counts as present."""
        self.failures: list[Failure] = []
        """Why the program itself does not start."""
        self.caller: Loaded | None = None
        """Who calls dlopen with a bare name: it is searched for as that file's own needs are. Else the program is."""

    def copy(self) -> Process:
        """The same state, for one more load that must not be remembered."""
        other = Process(self.environment)
        other.objects = list(self.objects)
        other.by_name = dict(self.by_name)
        other.by_id = dict(self.by_id)
        other.main = self.main
        other.global_scope = list(self.global_scope)
        other.static_tls_left = self.static_tls_left
        other.assumes_python = self.assumes_python
        other.caller = self.caller
        other.failures = self.failures
        return other

    # -- loading ---------------------------------------------------------------------------------------------------

    def start(self, program: str) -> list[Failure]:
        """Begin with an executable; its libraries form the global scope."""
        image = self.environment.files.image(program)
        if image is None or image.facts is None:
            return [Failure(kind="malformed-elf", path=program, name=program)]
        self.main = self._add(program, image, None)
        failures: list[Failure] = []
        self.main.needed = [*self._preload(self.main), *self._find_all(self.main, image.facts, failures)]
        self.global_scope = self._load_needed(self.main, failures)
        if not failures:
            failures += self._check_versions(self.global_scope)
        return failures

    def run(self, program: str) -> Result:
        """What running a program comes to: it starts, and what is looked up before it begins is found.

        A call that is bound when it is first made is no reason not to begin; with BIND_NOW there is none of these.
        """
        failures = self.start(program)
        if self.main is not None and not failures:
            lookup = SymbolLookup(self.environment, assumes_python=False)
            for loaded in self.global_scope:
                missing = lookup.missing(loaded, self.global_scope)
                if missing and loaded.facts is not None and not loaded.facts.flags_1 & DF_1_NOW:
                    at_once = self.environment.files.relocated(loaded.path, at_once=True)
                    missing = frozenset(name for name in missing if bare(name) in at_once)
                failures += [
                    Failure(kind="undefined-symbol", path=loaded.path, name=os.fsdecode(name))
                    for name in sorted(missing)
                ]
        return Result(self.main, failures, self.global_scope)

    def _preload(self, program: Loaded) -> list[Loaded]:
        """LD_PRELOAD, in order. What cannot be loaded is ignored, with a word on standard error."""
        found: list[Loaded] = []
        for name in self.environment.preload:
            image = self.environment.files.image(name) if "/" in name else None
            if "/" in name and (image is None or self._unloadable(name, image, direct=True)):
                continue
            added = self._add(name, image, program, why="LD_PRELOAD") if image else self._find_needed(program, name, [])
            if added is not None:
                added.why = "LD_PRELOAD"
                found.append(added)
        return found

    def open(self, path: str, *, make_global: bool = False, keep: bool = True) -> Result:
        """dlopen(path, RTLD_NOW) of a path, or of a bare name that is searched for.

        With ``keep`` a success stays loaded; a failure never does.
        """
        trial = self.copy()
        result = trial.load(path)
        if keep and result.loads:
            self.objects, self.by_name, self.by_id = trial.objects, trial.by_name, trial.by_id
            self.static_tls_left = trial.static_tls_left
            if make_global:
                known = set(map(id, self.global_scope))
                self.global_scope += [loaded for loaded in result.scope if id(loaded) not in known]
        return result

    def open_named(self, caller: Loaded, soname: str) -> Result:
        """dlopen(soname) called by a loaded library: searched with the caller's own RPATH or RUNPATH."""
        return self.copy().load_named(caller, soname)

    def load_named(self, caller: Loaded, soname: str) -> Result:
        """:meth:`open_named` in this very process; after a failure its state is of no use any more."""
        failures: list[Failure] = []
        root = self._find_needed(caller, soname, failures)
        return self._finish(root, failures) if root else Result(None, failures, [])

    def load(self, path: str) -> Result:
        """:meth:`open` in this very process; after a failure its state is of no use any more."""
        if "/" not in path:
            caller = self.caller or self.main
            missing = Failure(kind="missing-library", path=path, name=path)
            return self.load_named(caller, path) if caller is not None else Result(None, [missing], [])
        image = self.environment.files.image(path)
        failure = self._unloadable(path, image, direct=True)
        if failure or image is None:
            return Result(None, [failure] if failure else [], [])
        known = self.by_id.get(image.file_id)
        if known:
            return Result(known, [], list(_breadth_first(known)))
        return self._finish(self._add(path, image, None), [])

    def _finish(self, root: Loaded, failures: list[Failure]) -> Result:
        before = set(map(id, self.objects)) - {id(root)}
        scope = self._load_needed(root, failures)
        if not failures:
            new = [loaded for loaded in scope if id(loaded) not in before]
            failures += self._check_static_tls(new)
            failures += self._check_versions(new)
            if not failures:
                failures += self._check_symbols(new, scope)
        return Result(root, failures, scope)

    def _add(
        self, path: str, image: FileImage | None, loader: Loaded | None, name: str | None = None, why: str = ""
    ) -> Loaded:
        loaded = Loaded(path, image, loader, {name} if name else {path}, why)
        self.objects.append(loaded)
        if image:
            self.by_id[image.file_id] = loaded
        soname = loaded.facts.soname if loaded.facts else None
        # musl knows a library by the name it was searched for, and by nothing else.
        known_as = (name if name and "/" not in name else None,) if self.environment.musl else (name, path, soname)
        for alias in known_as:
            if alias:
                self.by_name.setdefault(alias, loaded)
        return loaded

    def _load_needed(self, root: Loaded, failures: list[Failure]) -> list[Loaded]:
        """Breadth-first over DT_NEEDED; the search list of ``root``."""
        scope: list[Loaded] = [root]
        seen = {id(root)}
        for current in scope:  # grows while it is walked
            facts = current.facts
            if facts is None:
                continue
            if not current.needed and current is not self.main:
                current.needed = self._find_all(current, facts, failures)
            for loaded in current.needed:
                if id(loaded) not in seen:
                    seen.add(id(loaded))
                    scope.append(loaded)
        return scope

    def _find_all(self, loader: Loaded, facts: ElfFacts, failures: list[Failure]) -> list[Loaded]:
        """Filtees, then DT_NEEDED, in order. A filtee that may be absent is no failure."""
        found = [self._find_needed(loader, name, []) for name in facts.auxiliary]
        found += [self._find_needed(loader, name, failures) for name in (*facts.filters, *facts.needed)]
        return [loaded for loaded in found if loaded is not None]

    def _find_needed(self, loader: Loaded, name: str, failures: list[Failure]) -> Loaded | None:
        known = self.by_name.get(name)
        if known:
            return known
        if self.environment.musl and self.environment.system.describes(name):
            return self._add(name, None, loader, name, "libc")  # never searched for
        searched: list[str] = []
        for path, why in self._candidates(loader, name, searched):
            image = self.environment.files.image(path)
            if image is None:
                continue
            failure = self._unloadable(path, image, direct="/" in name)
            if failure is None:
                known = self.by_id.get(image.file_id)
                if known:
                    known.names.add(name)
                    self.by_name.setdefault(name, known)
                    return known
                return self._add(path, image, loader, name, why)
            if failure.kind != "wrong-machine" or self.environment.musl:
                failures.append(failure)
                return None
        if self.environment.system.describes(name) or self.environment.assumed(name):
            return self._add(name, None, loader, name, "driver" if self.environment.assumed(name) else "target")
        failures.append(Failure(kind="missing-library", path=loader.path, name=name, searched=tuple(searched)))
        return None

    def _unloadable(self, path: str, image: FileImage | None, *, direct: bool) -> Failure | None:
        """Why the loader cannot take this file. A file for another machine is skipped in a search: not fatal there."""
        if image is None:
            return Failure(kind="missing-library", path=path, name=path)
        facts = image.facts
        if facts is None:
            return Failure(kind="malformed-elf", path=path, name=image.problem or "invalid ELF header")
        env = self.environment
        if facts.bits != env.bits or facts.machine != env.machine:
            return Failure(kind="wrong-machine", path=path, name=f"{facts.machine}, {facts.bits} bits")
        if facts.truncated:
            return Failure(kind="malformed-elf", path=path, name="a segment reaches past the end of the file")
        if facts.type != ET_DYN or not facts.dynamic:
            return Failure(kind="not-a-library", path=path, name="only shared objects can be opened")
        if direct and facts.flags_1 & DF_1_PIE:
            return Failure(kind="not-a-library", path=path, name="a position-independent executable")
        if direct and facts.flags_1 & DF_1_NOOPEN:
            return Failure(kind="not-a-library", path=path, name="marked as not to be opened by dlopen")
        if facts.isa_needed & ~env.isa:
            return Failure(kind="processor-too-old", path=path, name=f"x86-64-v{facts.isa_needed.bit_length()}")
        if facts.exec_stack and not env.exec_stack_allowed:
            return Failure(kind="executable-stack", path=path, name="asks for an executable stack")
        return None

    # -- searching (dl-load.c, _dl_map_object) -----------------------------------------------------------------------

    def _candidates(self, loader: Loaded, name: str, searched: list[str]) -> Iterator[tuple[str, str]]:
        """(path, what led there) of every place to try, in order; ``searched`` collects the folders of the file."""
        if "/" in name:
            yield self._expand(loader, name), "path"
            return
        env = self.environment
        if loader.directories is None:
            loader.directories = list(self._directories(loader))
        for directory, why in loader.directories:
            searched.append(directory)
            yield from ((path, why) for path in self._in_directory(directory, name))
        no_default = bool(loader.facts and loader.facts.flags_1 & DF_1_NODEFLIB)
        defaults = env.system.default_directories()
        cached = env.system.cached(name)
        if cached and not (no_default and cached.rpartition("/")[0] in defaults):
            yield cached, "ld.so.cache"
        if not no_default:
            for directory in defaults:
                yield from ((path, "system folder") for path in self._in_directory(directory, name))

    def _in_directory(self, directory: str, name: str) -> Iterator[str]:
        for capability in self.environment.hwcaps:
            if self.environment.files.is_folder(f"{directory}/{capability}"):
                yield f"{directory}/{capability}/{name}"
        yield f"{directory}/{name}"

    def _directories(self, loader: Loaded) -> Iterator[tuple[str, str]]:
        """RPATH (only without a RUNPATH) of the file and of those that brought it, LD_LIBRARY_PATH, RUNPATH."""
        facts = loader.facts
        if self.environment.musl:
            yield from self._musl_directories(loader)
            return
        if facts is None or facts.runpath is None:
            asking: Loaded | None = loader
            did_main = False
            while asking is not None:
                did_main |= asking is self.main
                why = "RPATH" if asking is loader else f"RPATH of {asking.path.rpartition('/')[2]}"
                yield from ((directory, why) for directory in self._split(asking, asking.rpath()))
                asking = asking.loader
            if self.main and not did_main:
                why = f"RPATH of {self.main.path.rpartition('/')[2]}"
                yield from ((directory, why) for directory in self._split(self.main, self.main.rpath()))
        yield from ((directory, "LD_LIBRARY_PATH") for directory in self.environment.library_path)
        if facts and facts.runpath is not None:
            yield from ((directory, "RUNPATH") for directory in self._split(loader, facts.runpath))

    def _musl_directories(self, loader: Loaded) -> Iterator[tuple[str, str]]:
        """LD_LIBRARY_PATH, then the path of the file and of those that brought it; RUNPATH in place of RPATH."""
        yield from ((directory, "LD_LIBRARY_PATH") for directory in self.environment.library_path)
        asking: Loaded | None = loader
        while asking is not None:
            facts = asking.facts
            path = None if facts is None else (facts.rpath if facts.runpath is None else facts.runpath)
            why = "RUNPATH" if asking is loader else f"RUNPATH of {asking.path.rpartition('/')[2]}"
            yield from ((directory, why) for directory in self._split(asking, path))
            asking = asking.loader or (self.main if asking is not self.main else None)

    def _split(self, owner: Loaded, path: str | None) -> Iterator[str]:
        if path is None:
            return
        for part in path.split(":"):
            # An empty element means the current directory, which is none of the environment's.
            if part:
                yield self._expand(owner, part)

    def _expand(self, owner: Loaded, text: str) -> str:
        here = self.environment
        return expanded(text, {"ORIGIN": owner.origin, "LIB": here.lib, "PLATFORM": here.platform})

    def _check_static_tls(self, new: Sequence[Loaded]) -> list[Failure]:
        """The static block was laid out when the program started; what is opened later shares its surplus."""
        for loaded in new if not self.environment.musl else ():
            wanted = loaded.facts.static_tls if loaded.facts else 0
            if wanted > self.static_tls_left:
                return [Failure(kind="static-tls", path=loaded.path, name=f"{wanted} bytes")]
            self.static_tls_left -= wanted
        return []

    # -- versions (dl-version.c) -------------------------------------------------------------------------------------

    def _check_versions(self, objects: Iterable[Loaded]) -> list[Failure]:
        failures: list[Failure] = []
        for loaded in objects:
            if loaded.facts is None:
                continue
            for need in loaded.facts.version_needs:
                provider = self.by_name.get(need.file)
                if need.weak or provider is None or (self.environment.musl and provider.image):
                    continue
                if not self._offers(provider, need.file, need.version):
                    failures.append(
                        Failure(
                            kind="version-not-provided", path=loaded.path, name=need.version, provider=provider.path
                        )
                    )
        return failures

    def _offers(self, provider: Loaded, file: str, version: str) -> bool:
        if provider.facts is None:
            return self.environment.system.has_version(file, version) is not False
        definitions = provider.facts.version_definitions
        # No definitions at all: "no version information available" is a warning of the loader, no failure.
        return definitions is None or version in definitions

    # -- symbols (dl-lookup.c) ---------------------------------------------------------------------------------------

    def _check_symbols(self, new: Sequence[Loaded], search_list: Sequence[Loaded]) -> list[Failure]:
        scope = list(dict.fromkeys([*self.global_scope, *search_list]))
        failures: list[Failure] = []
        lookup = SymbolLookup(self.environment, assumes_python=self.assumes_python)
        for loaded in new:
            missing = lookup.missing(loaded, scope)
            failures += self._ends_lookup(loaded, scope)
            failures += [
                Failure(kind="undefined-symbol", path=loaded.path, name=os.fsdecode(name)) for name in sorted(missing)
            ]
        return failures

    def _ends_lookup(self, loaded: Loaded, scope: Sequence[Loaded]) -> list[Failure]:
        """A version is asked of a library that has none at all: where a lookup comes to its symbol, glibc ends (an
        assertion of dl-lookup.c). The loader's own check of versions lets such a library pass.
        """
        facts, image = loaded.facts, loaded.image
        if facts is None or image is None or self.environment.musl:
            return []
        for need in facts.version_needs:
            provider = self.by_name.get(need.file)
            if provider is None or provider.facts is None or provider.facts.symbol_versions or provider.image is None:
                continue
            files, ending = self.environment.files, b"@" + os.fsencode(need.version)
            wanted = {name for name in files.undefined(image) if name.endswith(ending)}
            for earlier in scope[: scope.index(provider)] if provider in scope else ():
                if earlier.image and earlier.image.facts:
                    found = files.definitions(earlier.image)
                    wanted = {name for name in wanted - found.exact if bare(name) not in found.base}
            plain = files.definitions(provider.image).plain
            if any(bare(name) in plain for name in wanted):
                return [
                    Failure(kind="version-not-provided", path=loaded.path, name=need.version, provider=provider.path)
                ]
        return []


def _breadth_first(root: Loaded) -> Iterator[Loaded]:
    seen = {id(root)}
    queue = deque([root])
    while queue:
        current = queue.popleft()
        yield current
        for loaded in current.needed:
            if id(loaded) not in seen:
                seen.add(id(loaded))
                queue.append(loaded)
