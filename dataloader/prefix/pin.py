"""A process stays in the generation that it began in: what Python itself does about it, at its start.

Each generation has a copy of this file in site-packages (``_dataloader_generation``) and a ``.pth`` that calls ``pin``.
Through the link ``root/NAME`` the interpreter finds itself, the packages and its programs, and after the next sync that
link leads to other ones. So every path through the link becomes one of the generation's own directory: those that
Python holds by now, those that it will look for modules in, and those that children inherit.

It runs at each start of each Python from 3.8 on: it imports next to nothing, and has to stay well under a millisecond.
"""

# ruff: noqa: ARG002, PTH100, PTH115, PTH118, PTH119, PTH120, SIM105
# pathlib takes longer to import than all of this takes to run; annotations are for Pythons as old as 3.8.

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _typeshed.importlib import PathEntryFinderProtocol

GENERATIONS = ".generations"
"""The folder below a root that holds the generations of each name."""

_HOPS = 40
"""Links that lead to links: as many as the kernel follows."""

_INHERITED = ("PATH", "VIRTUAL_ENV", "CONDA_PREFIX", "LD_LIBRARY_PATH", "PYTHONPATH")
"""Variables by which children find programs and modules."""

_NAMING = ("prefix", "exec_prefix", "base_prefix", "base_exec_prefix", "executable", "_base_executable", "_stdlib_dir")
"""What of ``sys`` names the environment."""


def generation_of(path: str) -> "str | None":
    """The generation at ``path``, or the one that it leads to as a link; ``None`` for every other environment.

    Only links at the end are followed: what lies above keeps the name under which the volume is known here.
    """
    for _ in range(_HOPS):
        folder, entry = os.path.split(path)
        if is_generation(entry) and os.path.basename(os.path.dirname(folder)) == GENERATIONS:
            return path
        try:
            target = os.readlink(path)
        except OSError:
            return None
        if ".." in target:
            folder = os.path.realpath(folder)
        path = os.path.normpath(os.path.join(folder, target))
    return None


def is_generation(entry: str) -> bool:
    """Whether a directory of that name is a generation: its number, and twelve hexadecimal digits."""
    number, _, digest = entry.partition("-")
    return number.isdigit() and len(digest) == 12 and not digest.strip("0123456789abcdef")


def pin(known_paths: "set[str] | None" = None) -> None:
    """Keep this process in its generation; nothing happens in other environments.

    Args:
        known_paths: What ``site`` has put on sys.path by now; what is put there instead is added.
    """
    own = generation_of(sys.prefix)
    if own is not None and not _homes:
        _homes.append(_Home(sys.prefix, own))
        _homes[0].settle(known_paths)


class _Home:
    """The generation of this process, and the names that lead out of it sooner or later."""

    def __init__(self, started: str, own: str) -> None:
        self.folder = os.path.dirname(own)
        self.real_folder = os.path.realpath(self.folder)
        self.own = own if started == own else self._that_runs() or own
        link = os.path.join(os.path.dirname(os.path.dirname(self.folder)), os.path.basename(self.folder))
        self.aliases = [link] if started in (link, own) else [started, link]
        self.library = os.path.dirname(os.__file__) + "/"
        self.script = self.script_given = self.script_path = ""

    def settle(self, known_paths: "set[str] | None") -> None:
        """Replace what is known by now, and stand where the rest will come by."""
        sys.path[:] = [self.named(entry) for entry in sys.path]
        self._settle_finders()
        if known_paths is not None:
            known_paths.update(sys.path)
        for name in _NAMING:
            if hasattr(sys, name):
                setattr(sys, name, self.named(getattr(sys, name)))
        for name in _INHERITED:
            value = os.environ.get(name, "")
            parts = [self.named(part) for part in value.split(os.pathsep)]
            if os.pathsep.join(parts) != value:
                os.environ[name] = os.pathsep.join(parts)
        self._settle_modules()
        self._settle_script()
        sys.path_hooks.insert(0, self.finder)
        try:
            # What shows in /proc that this process is here, though it has nothing else open (see ``jobs``).
            self.mark = os.open(self.own, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            pass  # no descriptor is left, or it is nobody's to read: the job itself is not to fail for that

    def named(self, path: str) -> str:
        """``path`` by the generation's own name, if it goes by a link that is known to lead here."""
        for alias in self.aliases:
            if path == alias or path.startswith(alias + "/"):
                return self.own + path[len(alias) :]
        return path

    def placed(self, path: str) -> str:
        """As ``named``, and for links of any other name too: where the path leads now, but in this generation."""
        named = self.named(path)
        if named != path or path.startswith((self.folder + "/", self.real_folder + "/", self.library)):
            return named
        real = os.path.realpath(path)
        if not real.startswith(self.real_folder + "/"):
            return path
        entry, _, rest = real[len(self.real_folder) + 1 :].partition("/")
        return os.path.join(self.own, rest) if is_generation(entry) else path

    def finder(self, path: str) -> "PathEntryFinderProtocol":
        """A hook of ``sys.path_hooks``: modules are looked for in this generation, however the path is spelt."""
        own = self.placed(path) if isinstance(path, str) and path.startswith("/") else path
        if own == path:
            raise ImportError("another hook's business", path=path)
        # Children get a copy of sys.path, and packages look there for their parts.
        sys.path[:] = [own if entry == path else entry for entry in sys.path]
        for hook in sys.path_hooks:
            if hook != self.finder:
                try:
                    return hook(own)
                except ImportError:
                    continue
        raise ImportError("no hook takes it", path=own)

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """A finder of ``sys.meta_path`` that finds nothing, but is the first to see that the script has begun.

        ``multiprocessing`` runs that file again in each worker that it spawns.
        """
        main = vars(sys.modules["__main__"])
        if main.get("__file__") in (self.script_given, self.script_path):
            main["__file__"] = self.script

    def _that_runs(self) -> "str | None":
        """The generation whose own Python runs here: the link may have been switched since the kernel followed it."""
        try:
            program = os.readlink("/proc/self/exe")
        except OSError:
            return None
        entry = program[len(self.real_folder) + 1 :].partition("/")[0]
        inside = program.startswith(self.real_folder + "/") and is_generation(entry)
        return os.path.join(self.folder, entry) if inside else None

    def _settle_finders(self) -> None:
        """Keep what was read of the directories: to read them again would take longer than all the rest."""
        finders = sys.path_importer_cache
        for entry in list(finders):
            own = self.named(entry)
            if own != entry:
                finder = finders.pop(entry)
                if type(finder).__name__ == "FileFinder":
                    finder.path = own  # type: ignore[union-attr]
                    finders[own] = finder

    def _settle_modules(self) -> None:
        """Modules that Python needed to come this far: their submodules are imported by and by."""
        for name, module in list(sys.modules.items()):
            space = getattr(module, "__dict__", {})
            for key in list(space) if name in ("site", "sysconfig") else ("__file__", "__path__"):
                value = space.get(key)
                if isinstance(value, str):
                    space[key] = self.named(value)
                elif isinstance(value, list):
                    value[:] = [self.named(element) if isinstance(element, str) else element for element in value]

    def _settle_script(self) -> None:
        words, given = getattr(sys, "argv", []), getattr(sys, "orig_argv", [])
        given[:1] = [sys.executable if "/" in word else word for word in given[:1]]
        if not words or "/" not in words[0]:
            return  # -c, -m, or from the directory that the process stands in, whose path is without links
        try:
            path = os.path.abspath(words[0])
        except OSError:
            return  # the directory is gone
        own = self.placed(path)
        if own != path:
            self.script, self.script_given, self.script_path = own, words[0], path
            given[:] = [own if word == self.script_given else word for word in given]
            words[0] = own
            sys.meta_path.insert(0, self)


_homes: "list[_Home]" = []
"""That of this process, once it is known to have one."""
