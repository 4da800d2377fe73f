"""Small real ELF files, compiled by gcc, and the real loader's word on them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")

OPENER = r"""
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
/* Opens each argument in turn; "-g" before one opens it with RTLD_GLOBAL. Prints "ok" or the error of the last. */
int main(int argc, char **argv) {
  int global = 0;
  void *handle = 0;
  for (int i = 1; i < argc; i++) {
    if (!strcmp(argv[i], "-g")) { global = RTLD_GLOBAL; continue; }
    handle = dlopen(argv[i], RTLD_NOW | global);
    global = 0;
  }
  puts(handle ? "ok" : dlerror());
  return 0;
}
"""


def run_gcc(arguments: Sequence[str | Path], cwd: Path, compiler: str = "gcc") -> None:
    """Run gcc; its words are the test's failure."""
    done = subprocess.run([compiler, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def make_library(
    path: Path,
    source: str = "",
    *,
    soname: str | None = None,
    needs: Sequence[Path] = (),
    rpath: str | None = None,
    runpath: str | None = None,
    versions: str | None = None,
    flags: Sequence[str] = (),
    compiler: str = "gcc",
) -> Path:
    """Compile a shared object. ``versions`` is a linker version script; ``needs`` are linked as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    code = path.with_name(path.name + ".c")
    code.write_text(source or f"int {_identifier(path)}_present;\n")
    options: list[str | Path] = ["-shared", "-fPIC", "-O0", "-o", path, code, "-Wl,--no-as-needed"]
    if soname:
        options.append(f"-Wl,-soname,{soname}")
    for kind, value in (("--disable-new-dtags", rpath), ("--enable-new-dtags", runpath)):
        if value is not None:
            options += [f"-Wl,{kind}", f"-Wl,-rpath,{value}"]
    if versions is not None:
        script = path.with_name(path.name + ".map")
        script.write_text(versions)
        options.append(f"-Wl,--version-script={script}")
    options += [*needs, "-Wl,--allow-shlib-undefined", *flags]
    run_gcc(options, path.parent, compiler)
    code.unlink()
    return path


def _identifier(path: Path) -> str:
    return "".join(char if char.isalnum() else "_" for char in path.name)


def make_program(path: Path, source: str, *, flags: Sequence[str] = (), compiler: str = "gcc") -> Path:
    """Compile an executable at ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    code = path.with_name(path.name + ".c")
    code.write_text(source)
    run_gcc(["-O0", "-o", path, code, *flags], path.parent, compiler)
    return path


def make_opener(folder: Path, name: str = "opener", *, flags: Sequence[str] = ()) -> Path:
    """A program that opens the libraries it is given."""
    return make_program(folder / name, OPENER, flags=["-rdynamic", *flags])


def really_open(opener: Path, *arguments: str | Path, library_path: str | None = None) -> str:
    """What the real loader says: ``"ok"``, its error, or the signal that killed it."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("LD_")}
    if library_path is not None:
        environ["LD_LIBRARY_PATH"] = library_path
    done = subprocess.run(
        [opener, *arguments], capture_output=True, text=True, env=environ, check=False, timeout=60, cwd=opener.parent
    )
    return done.stdout.strip() if done.returncode == 0 else f"exit {done.returncode}: {done.stderr.strip()}"
