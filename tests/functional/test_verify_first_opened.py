"""What Python code opens before an extension module is imported: the import itself says what is right, then verify."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from dataloader.machine.detect import detect_target
from dataloader.verify import VerifyReport, verify_prefix
from tests.helpers.elf import make_library, needs_gcc, run_gcc
from tests.helpers.prefixes import EXTENSION, SITE, make_prefix, module_source, register

pytestmark = needs_gcc

_LIBRARY = "int answer(void) { return 42; }"


def install(prefix: Path, files: Mapping[str, str], *, linked: bool = True) -> None:
    """``pkg``, whose module needs a library that no search path finds; ``other`` has one of its own."""
    site = prefix / SITE
    helper = make_library(site / "pkg.libs/libhelper-1a2b.so.1", _LIBRARY, soname="libhelper-1a2b.so.1")
    paths = ["pkg.libs/libhelper-1a2b.so.1", f"pkg/_ext{EXTENSION}"]
    make_library(
        site / paths[1],
        "extern int answer(void);" + module_source("_ext", "answer();"),
        needs=[helper] if linked else [],
    )
    mine = {path: text for path, text in files.items() if not path.startswith("other")}
    register(prefix, "pkg", "1.0", files={"pkg/__init__.py": "", **mine}, paths=paths, requires=["other"])
    theirs = {path: text for path, text in files.items() if path.startswith("other")}
    register(prefix, "other", "1.0", files={"other/__init__.py": "", **theirs})


def really_import(prefix: Path, module: str) -> str:
    """``ok``, or the last line of what Python says."""
    command = [str(prefix / "bin/python"), "-I", "-c", f"import {module}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=prefix, timeout=60)
    return "ok" if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def verify(prefix: Path) -> VerifyReport:
    return verify_prefix(prefix, target=detect_target())


_HERE = "import ctypes, os, sys, glob, pathlib\nhere = os.path.dirname(os.path.abspath(__file__))\n"
_LIBS = _HERE + "libs = os.path.join(os.path.dirname(here), 'pkg.libs')\n"
_THEN = "\nfrom . import _ext\n"
_NAME = "libhelper-1a2b.so.1"

WORKS = {
    "glob": _LIBS + "for each in glob.glob(os.path.join(libs, '*.so*')):\n    ctypes.CDLL(each)",
    "glob in a list": _LIBS + "_keep = [ctypes.CDLL(each) for each in sorted(glob.glob(libs + '/lib*'))]",
    "recursive glob": _LIBS + "ctypes.CDLL(glob.glob(os.path.dirname(here) + '/**/libhelper*', recursive=True)[0])",
    "listdir": _LIBS
    + "for name in os.listdir(libs):\n    if '.so' in name:\n        ctypes.CDLL(os.path.join(libs, name))",
    "scandir": _LIBS + "for entry in os.scandir(libs):\n    ctypes.CDLL(entry.path)",
    "walk": _LIBS + "for top, _, names in os.walk(libs):\n    for name in names:\n        ctypes.CDLL(f'{top}/{name}')",
    "Path.glob": _HERE
    + "for p in (pathlib.Path(__file__).parent.parent / 'pkg.libs').glob('*.so.*'):\n    ctypes.CDLL(str(p))",
    "Path.iterdir": _HERE
    + "for p in sorted(pathlib.Path(__file__).resolve().parents[1].joinpath('pkg.libs').iterdir()):\n"
    + "    if p.suffix == '.1':\n        ctypes.CDLL(p)".replace("(p)", "(os.fspath(p))"),
    "f-string": _HERE + "v = 1\nctypes.CDLL(f'{here}/../pkg.libs/libhelper-{0x1a}2b.so.{v}'.replace('26', '1a'))",
    "path with a slash": _HERE + "ctypes.CDLL(os.path.join(here, '../pkg.libs/libhelper-1a2b.so.1'))",
    "expanduser": _HERE
    + "there = os.path.dirname(os.path.abspath(os.path.expanduser(__file__)))\n"
    + "ctypes.CDLL(os.path.join(there, '..', 'pkg.libs', 'libhelper-1a2b.so.1'))",
    "percent": _LIBS + "ctypes.CDLL('%s/%s' % (libs, 'libhelper-1a2b.so.1'))",
    "format": _LIBS + "ctypes.CDLL('{}/libhelper-1a2b.so.{n}'.format(libs, n=1))",
    "metadata.files": _HERE
    + "from importlib import metadata\n"
    + "for f in metadata.files('pkg'):\n    if f.name.startswith('libhelper'):\n        ctypes.CDLL(str(f.locate()))",
    "metadata.files in a dictionary": _HERE
    + "import importlib.metadata as metadata\npaths = {}\n"
    + "for f in metadata.files('pkg'):\n    if f.match('*libhelper*'):\n"
    + "        paths[f.locate().name.split('-')[0].lower()] = str(f.locate())\n"
    + "try:\n    ctypes.CDLL(paths['libhelper'], mode=ctypes.RTLD_GLOBAL)\n"
    + "except metadata.PackageNotFoundError:\n    pass",
    "metadata.distribution": _HERE
    + "import importlib.metadata as m\nd = m.distribution('pkg')\n"
    + "[ctypes.CDLL(str(d.locate_file(f))) for f in d.files if 'pkg.libs' in str(f)]",
    "names in a JSON file": _LIBS
    + "import json\nwith open(os.path.join(here, 'libs.json')) as file:\n    names = json.load(file)['load']\n"
    + "for name in names:\n    ctypes.CDLL(os.path.join(libs, name))",
    "a function": _LIBS
    + "def load(name, *, mode=ctypes.RTLD_GLOBAL):\n    return ctypes.CDLL(libs + '/' + name, mode)\n"
    + "load('libhelper-1a2b.so.1')",
    "a class": _LIBS
    + "class Loader:\n    def __init__(self, folder):\n        self.folder = folder\n"
    + "    def load(self):\n        self.handle = ctypes.CDLL(os.path.join(self.folder, 'libhelper-1a2b.so.1'))\n"
    + "Loader(libs).load()",
    "map": _LIBS + "list(map(ctypes.CDLL, glob.glob(libs + '/*')))",
    "on this platform": _LIBS
    + "if sys.platform == 'win32':\n    os.add_dll_directory(libs)\nelif sys.platform.startswith('linux'):\n"
    + "    ctypes.CDLL(libs + '/libhelper-1a2b.so.1')",
    "after what fails": _LIBS
    + "for name in ('libgone.so', 'libhelper-1a2b.so.1'):\n    try:\n        ctypes.CDLL(os.path.join(libs, name))\n"
    + "        break\n    except OSError:\n        continue",
    "LoadLibrary": _LIBS + "ctypes.cdll.LoadLibrary(os.path.join(libs, 'libhelper-1a2b.so.1'))",
    "another module": "from ._preload import preload\npreload()",
    "a required package's file": "import other, ctypes, pathlib\n"
    "ctypes.CDLL(str(pathlib.Path(other.__file__).parents[1] / 'pkg.libs' / 'libhelper-1a2b.so.1'))",
    "a required package's function": "import other.load\nother.load.load()",
    "a required package's import": "import other.opens",
    "importlib.resources": _HERE
    + "from importlib import resources\n"
    + "ctypes.CDLL(str(resources.files('pkg').parent / 'pkg.libs' / 'libhelper-1a2b.so.1'))",
    "a lambda": _LIBS + "load = lambda n: ctypes.CDLL(libs + '/' + n)\nload('libhelper-1a2b.so.1')",
    "suppress": _LIBS
    + "import contextlib\nwith contextlib.suppress(OSError):\n    ctypes.CDLL(libs + '/libhelper-1a2b.so.1')",
}
FAILS = {
    "another platform": _LIBS + "if sys.platform == 'win32':\n    ctypes.CDLL(libs + '/libhelper-1a2b.so.1')",
    "platform.system": _LIBS
    + "import platform\nif platform.system() == 'Darwin':\n    ctypes.CDLL(libs + '/"
    + _NAME
    + "')",
    "not called": _LIBS + "def load():\n    ctypes.CDLL(libs + '/libhelper-1a2b.so.1')",
    "a bare name in try": _HERE + "try:\n    ctypes.CDLL('libhelper-1a2b.so.1')\nexcept OSError:\n    pass",
    "only named": "NAME = 'libhelper-1a2b.so.1'",
    "another folder": _HERE + "try:\n    ctypes.CDLL(here + '/libhelper-1a2b.so.1')\nexcept OSError:\n    pass",
    "another pattern": _LIBS + "for each in glob.glob(libs + '/*.dylib'):\n    ctypes.CDLL(each)",
    "left before": _LIBS
    + "def load():\n    if os.name == 'posix':\n        return\n    ctypes.CDLL(libs + '/libhelper-1a2b.so.1')\nload()",
    "a module that is not imported": "",
    "only when typing": _LIBS
    + "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    ctypes.CDLL(libs + '/"
    + _NAME
    + "')",
}
_MODULES = {
    "pkg/_preload.py": _LIBS
    + "def preload():\n    for name in sorted(os.listdir(libs)):\n        ctypes.CDLL(libs + '/' + name)",
    "pkg/libs.json": '{"load": ["libhelper-1a2b.so.1"]}',
    "other/load.py": _LIBS + "def load():\n    ctypes.CDLL(libs + '/libhelper-1a2b.so.1')",
    "other/opens.py": _LIBS + "ctypes.CDLL(libs + '/libhelper-1a2b.so.1')",
}


@pytest.mark.parametrize("way", WORKS)
def test_way_that_works_is_no_error(tmp_path: Path, way: str) -> None:
    prefix = make_prefix(tmp_path / "env")
    install(prefix, {"pkg/__init__.py": WORKS[way] + _THEN, **_MODULES})
    assert really_import(prefix, "pkg") == "ok"

    assert verify(prefix).findings == ()


@pytest.mark.parametrize("way", FAILS)
def test_way_that_fails_is_an_error(tmp_path: Path, way: str) -> None:
    prefix = make_prefix(tmp_path / "env")
    install(prefix, {"pkg/__init__.py": FAILS[way] + _THEN, **_MODULES})
    assert "libhelper-1a2b.so.1: cannot open shared object file" in really_import(prefix, "pkg")

    (finding,) = verify(prefix).findings

    assert (finding.severity, finding.kind) == ("error", "missing-library")


def test_what_is_opened_after_the_module_comes_too_late(tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path / "env")
    install(prefix, {"pkg/__init__.py": "from . import _ext\n" + WORKS["glob"], **_MODULES})
    assert really_import(prefix, "pkg").startswith("ImportError")

    assert [each.severity for each in verify(prefix).findings] == ["error"]


@pytest.mark.parametrize(
    ("code", "works"),
    [
        ("ctypes.CDLL(libs + '/libhelper-1a2b.so.1', mode=ctypes.RTLD_GLOBAL)", True),
        ("ctypes.CDLL(libs + '/libhelper-1a2b.so.1', os.RTLD_NOW | os.RTLD_GLOBAL)", True),
        ("ctypes.CDLL(libs + '/libhelper-1a2b.so.1')", False),
        ("sys.setdlopenflags(sys.getdlopenflags() | os.RTLD_GLOBAL)\nfrom . import _first", True),
        ("from . import _first", False),
        (
            "from . import _first\nctypes.CDLL(_first.__file__, ctypes.RTLD_GLOBAL)",
            True,
        ),
        (
            "old = sys.getdlopenflags()\nsys.setdlopenflags(258)\nsys.setdlopenflags(old)\nfrom . import _first",
            False,
        ),
    ],
    ids=["global", "global by os", "local", "setdlopenflags", "a module", "a module again, globally", "flags put back"],
)
def test_symbols_are_found_only_where_they_are_global(tmp_path: Path, code: str, works: bool) -> None:
    prefix = make_prefix(tmp_path / "env")
    first = f"pkg/_first{EXTENSION}"
    make_library(prefix / SITE / first, _LIBRARY + module_source("_first"))
    install(prefix, {"pkg/__init__.py": _LIBS + code + _THEN}, linked=False)
    assert ("undefined symbol: answer" in really_import(prefix, "pkg")) is not works

    assert [each.severity for each in verify(prefix).findings] == ([] if works else ["error"])


@pytest.mark.parametrize(
    "code",
    [
        "import sqlite3\nctypes.CDLL(sqlite3.connect(':memory:').execute(\"select '{}'\").fetchone()[0])",
        "import re\nctypes.CDLL(re.sub('X', '1a2b', '{}'.replace('1a2b', 'X')))",
        "exec('ctypes.CDLL(\"{}\")')\nctypes.CDLL(eval('\"{}\"'))",
        "if len(os.getcwd()) > 0:\n    ctypes.CDLL('{}')",
    ],
    ids=["a database", "a regular expression", "eval", "an unknown condition"],
)
def test_what_cannot_be_followed_is_said_and_is_no_error(tmp_path: Path, code: str) -> None:
    prefix = make_prefix(tmp_path / "env")
    library = prefix / SITE / "pkg.libs" / _NAME
    install(prefix, {"pkg/__init__.py": _HERE + code.replace("{}", str(library)) + _THEN})
    assert really_import(prefix, "pkg") == "ok"

    (finding,) = verify(prefix).findings

    assert (finding.severity, finding.kind) == ("note", "import-not-followed")
    assert "pkg/__init__.py" in " ".join(finding.evidence) or "libhelper" in " ".join(finding.evidence)


def test_a_chain_of_libraries_that_code_nobody_can_follow_opens_by_its_first(tmp_path: Path) -> None:
    """As decord's: one has a search path, and what it brings needs each other."""
    prefix = make_prefix(tmp_path / "env")
    site = prefix / SITE
    chain: list[Path] = []
    for name in ("liblast.so", "libmiddle.so", "libnext.so"):
        chain.append(make_library(site / f"pkg.libs/{name}", soname=name, needs=chain[-1:]))
    root = make_library(site / "pkg/libroot.so", soname="libroot.so", needs=chain[-1:], rpath="$ORIGIN/../pkg.libs")
    code = _HERE + f"import re\nctypes.CDLL(re.sub('X', 'root', {str(root).replace('root', 'X')!r}))"
    paths = [str(path.relative_to(site)) for path in (*chain, root)]
    register(prefix, "pkg", "1.0", paths=paths, files={"pkg/__init__.py": code})
    assert really_import(prefix, "pkg") == "ok"

    assert {(each.severity, each.kind) for each in verify(prefix).findings} == {("note", "import-not-followed")}


def test_module_that_others_import_works_after_what_they_open(tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path / "env")
    api = WORKS["glob"] + _THEN
    install(prefix, {"pkg/__init__.py": "", "pkg/api.py": api})
    assert really_import(prefix, "pkg._ext").startswith("ImportError")
    assert really_import(prefix, "pkg.api") == "ok"

    assert verify(prefix).findings == ()


@pytest.mark.parametrize(
    "source",
    [
        "x = 'a'\nwhile True:\n    x = x * 2",
        "def f():\n    return f()\nf()",
        "l = []\nl.append(l)\nprint(l)\nfor a in l: l.append(a)",
        "x = ('%0999999999d' % 1) + '{:>999999999}'.format(1)",
        "x = 'a'\nfor i in range(10**9):\n    x = x.replace('a', 'aa')",
        "x = 10 ** 10 ** 10 + (1 << 10 ** 10)",
        "import pkg.__init__\n" * 2000,
        "(" * 500 + ")" * 500,
        "class A:\n    def __iter__(self):\n        return self\nfor x in A(): pass",
        "import pkg.a",
    ],
    ids=["loop", "recursion", "itself", "width", "growth", "power", "many", "nested", "iterates itself", "missing"],
)
def test_hostile_code_neither_hangs_nor_breaks_verify(tmp_path: Path, source: str) -> None:
    prefix = make_prefix(tmp_path / "env")
    install(prefix, {"pkg/__init__.py": source + _THEN})

    kinds = {each.kind for each in verify(prefix).findings}

    assert kinds & {"missing-library", "import-not-followed"}


@pytest.mark.parametrize(
    ("what", "kind"), [("text", "malformed-elf"), ("object", "not-a-library"), ("program", "not-a-library")]
)
def test_what_is_no_library_under_a_module_s_name_cannot_be_imported(tmp_path: Path, what: str, kind: str) -> None:
    prefix = make_prefix(tmp_path / "env")
    path = prefix / SITE / f"pkg/_odd{EXTENSION}"
    path.parent.mkdir(parents=True)
    (tmp_path / "a.c").write_text("int main(void) { return 0; }")
    match what:
        case "text":
            path.write_text("INPUT(-lodd)\n")
        case "object":
            run_gcc(["-c", tmp_path / "a.c", "-o", path], tmp_path)
        case _:
            run_gcc([tmp_path / "a.c", "-static", "-o", path], tmp_path)
    path.chmod(0o755)
    files = {"pkg/__init__.py": "from . import _odd"}
    register(prefix, "pkg", "1.0", files=files, paths=[f"pkg/_odd{EXTENSION}"])
    assert really_import(prefix, "pkg").startswith("ImportError")

    assert [(each.severity, each.kind) for each in verify(prefix).findings] == [("error", kind)]
