"""A lock and filled stores -> a complete tree, ready to be switched in. Writes inside the tree only."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dataloader.base.errors import LockfileError, PrefixError
from dataloader.base.reporter import Reporter
from dataloader.install.local import direct_url, stamps
from dataloader.install.model import SyncOptions
from dataloader.install.store.slips import Slip
from dataloader.install.store.store import StoredWheel
from dataloader.install.tree.linking import Linker
from dataloader.install.tree.runtime import library_folders
from dataloader.install.tree.tree import ENVIRONMENT, PathClash, Tree
from dataloader.install.tree.venv import library_name, resolve_interpreter, write_venv
from dataloader.install.tree.wheel import claim_wheel, link_wheels, write_record
from dataloader.lockfile.model import Lockfile
from dataloader.machine.interpreters import Interpreter
from dataloader.prefix import pin
from dataloader.prefix.activate import activation_of, conda_scripts
from dataloader.prefix.activators import ENDS, activators
from dataloader.prefix.layout import Layout, conda_layout, venv_layout
from dataloader.prefix.locate import ACTIVATION, STATE
from dataloader.prefix.state import State
from dataloader.prefix.unchanged import fingerprint

_PIN = "_dataloader_generation"
"""The module that keeps a process in its generation."""

_PIN_LINE = "00-dataloader-generation.pth"
"""What starts it. Python reads these in the order of their names: before any that adds to the search path."""

_COMPILE = (
    "import py_compile as p, sys\n"
    "p.compile(sys.argv[1], dfile=sys.argv[2], optimize=2, invalidation_mode=p.PycInvalidationMode.UNCHECKED_HASH,\n"
    "          cfile=__import__('importlib.util').util.cache_from_source(sys.argv[1], optimization=''))"
)


def host_python(lock: Lockfile, options: SyncOptions) -> Interpreter | None:
    """The interpreter of this machine that the environment stands on; ``None`` when Python is a package or absent."""
    if lock.python.source != "host":
        return None
    if options.interpreter is None:
        raise PrefixError(
            f"the lock needs Python {lock.python.version}, and this machine has none",
            code="python-missing",
            suggestions=(f"install Python {lock.python.version}, or name one with --python PATH",),
        )
    python = resolve_interpreter(options.interpreter)
    if lock.python.version and python.minor != lock.python.version:
        raise PrefixError(
            f"the lock is for Python {lock.python.version}; {python.path} is Python {python.version}",
            code="python-mismatch",
            suggestions=(f"install Python {lock.python.version}, or make the lock again for {python.minor}",),
        )
    return python


_HISTORY = "conda-meta/history"


def layout_of(lock: Lockfile, python: Interpreter | None) -> Layout | None:
    """Where things go in the lock's environment; ``None`` without a Python."""
    if python is not None:
        return venv_layout(python.minor, library_name(python))
    for package in lock.conda():
        if package.name == "python":
            minor = ".".join(package.version.split(".")[:2])
            return conda_layout(minor, package.python_site_packages_path)
    if lock.pypi():
        raise LockfileError(
            "the lock has wheels but no Python to install them for",
            suggestions=("make the lock again with `dataloader lock`",),
        )
    return None


def build_tree(
    tree: Tree,
    lock: Lockfile,
    wheels: Mapping[str, StoredWheel],
    python: Interpreter | None,
    reporter: Reporter,
) -> None:
    """Complete a tree in which conda's packages are linked already: the venv, the wheels, their scripts and records.

    Raises:
        PrefixError: two packages own one path (``path-clash``).
        DamagedEntry: a stored wheel is not what was unpacked.
    """
    _claim_conda_files(tree)
    if python is not None:
        write_venv(tree, python)
    elif not lock.packages:  # an environment all the same, to be activated and filled: conda makes the like
        tree.owners[_HISTORY] = ENVIRONMENT
        tree.write(_HISTORY, b"")
    for package in lock.pypi():
        said = direct_url(package, lock)
        claim_wheel(tree, wheels[package.name], requested=package.name in lock.requested, direct_url=said)
    linkers: dict[Path, Linker] = {}

    def linker(stored: StoredWheel) -> Linker:
        return linkers.setdefault(stored.layer, Linker(reporter, os.fspath(stored.layer)))

    def records() -> None:
        for stored in ordered.values():
            write_record(tree, stored.recipe)

    ordered = {package.name: wheels[package.name] for package in lock.pypi()}
    if ordered:
        reporter.start("link", "linking wheels", sum(len(tree.files_of(name)) for name in ordered), "files")
        try:
            link_wheels(tree, ordered, linker, lambda count: reporter.advance("link", count), records)
        finally:
            reporter.finish("link")
    _write_activation(tree, lock)


def write_pin(tree: Tree, python: Interpreter | None) -> None:
    """Have every Python of the environment stay in it, though a link leads to it that will lead elsewhere."""
    if tree.layout is None:
        return
    folder = tree.layout.site_packages
    files = {_PIN_LINE: f"import {_PIN}; {_PIN}.pin(locals().get('known_paths'))\n".encode()}
    files[f"{_PIN}.py"] = Path(pin.__file__).read_bytes()
    for name, content in files.items():
        if os.path.lexists(f"{tree.root}/{folder}/{name}"):
            raise PathClash(f"{folder}/{name}", "A conda package", ENVIRONMENT)
        tree.owners[f"{folder}/{name}"] = ENVIRONMENT
        tree.write(f"{folder}/{name}", content)
    # Its bytecode comes along: where Python may not write any, each start would take 2 ms more.
    source = f"{folder}/{_PIN}.py"
    command = [
        _program(tree, python),
        "-I",
        "-S",
        "-B",
        "-c",
        _COMPILE,
        f"{tree.root}/{source}",
        f"{tree.final}/{source}",
    ]
    subprocess.run(command, check=False, capture_output=True)


def write_state(
    tree: Tree, lock: Lockfile, options: SyncOptions, python: Interpreter | None, slips: Mapping[str, Slip]
) -> None:
    """Leave the note that makes the tree ours. Comes last: its fingerprint covers what is there.

    Args:
        slips: Of files of conda packages, by path.
    """
    site_packages = tree.layout.site_packages if tree.layout else None
    state = State(
        lock_digest=options.lock_digest,
        target_prefix=tree.final,
        interpreter=str(python.path) if python is not None else None,
        site_packages=site_packages,
        wheels={package.name: package.stored_as for package in lock.pypi()},
        requested=tuple(sorted(lock.requested)),
        generated=tuple(sorted(path for path, owner in tree.owners.items() if owner == ENVIRONMENT)),
        fingerprint=fingerprint(tree.root, site_packages),
        slips={path: slip._asdict() for path, slip in slips.items()} | tree.found_slips(),
        **made_from(lock, options),
    )
    tree.write(STATE, state.to_bytes())


def made_from(lock: Lockfile, options: SyncOptions) -> dict[str, Any]:
    """What the state says of where an environment comes from."""
    paths = {"lockfile": options.lockfile, "manifest": options.manifest}
    return {
        **{name: os.path.abspath(path) if path else None for name, path in paths.items()},  # noqa: PTH100 (links stay)
        "platform": lock.platform,
        "environment": lock.environment,
        "inputs": dict(lock.inputs),
        "trees": stamps(lock),
    }


def compile_modules(tree: Tree, python: Interpreter | None) -> None:
    """Write ``__pycache__`` for all of site-packages, with the final path in tracebacks; broken modules are skipped."""
    if tree.layout is None:
        return
    command = [_program(tree, python), "-I", "-m", "compileall", "-q", "-j", "0", "-s", tree.root, "-p", tree.final]
    # Its exit code is 1 when any file does not compile, as templates and tests of other Pythons do not.
    subprocess.run([*command, f"{tree.root}/{tree.layout.site_packages}"], check=False, capture_output=True)


def _program(tree: Tree, python: Interpreter | None) -> str:
    """The Python to run while the tree is not yet where it belongs."""
    return str(python.path) if python is not None else f"{tree.root}/bin/python"


def _write_activation(tree: Tree, lock: Lockfile) -> None:
    versions = {package.name: package.version for package in lock.packages}
    folders = library_folders(tree.root, tree.owners, versions)
    content = {"version": 1, "library_path": folders, **({"variables": lock.variables} if lock.variables else {})}
    if folders or lock.variables:
        tree.write(ACTIVATION, (json.dumps(content, indent=1) + "\n").encode())
    _write_activators(tree)


def _claim_conda_files(tree: Tree) -> None:
    for path in sorted(Path(tree.root, "conda-meta").glob("*.json")):
        record = json.loads(path.read_bytes())
        for file in record.get("files", ()):
            tree.owners[file] = record["name"]
        # rattler writes its records for the owner's eyes only; other users of the environment read them too.
        path.chmod(0o666 & ~_umask())
        tree.owners["CACHEDIR.TAG"] = tree.owners[_HISTORY] = ENVIRONMENT


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _write_activators(tree: Tree) -> None:
    """Leave ``bin/activate`` of each shell, and have git pass the environment over; what a package brings stays."""
    root, final = Path(tree.root), Path(tree.final)
    is_conda = (root / "conda-meta").is_dir()
    files = {".gitignore": b"*\n"}
    if os.pathsep not in tree.final and (is_conda or tree.layout is not None):
        scripts = conda_scripts(root, final, "activate.d", *ENDS)
        leaving = conda_scripts(root, final, "deactivate.d", *ENDS)[::-1]
        files |= activators(activation_of(root, final, is_conda=is_conda), scripts, leaving)
    for path, content in files.items():
        if not os.path.lexists(root / path):
            tree.owners[path] = ENVIRONMENT
            tree.write(path, content)
