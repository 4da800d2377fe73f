"""Sources become wheels: allowed by name, asked only where they do not say what they need, built once under a key."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomli
import yaml

from tests.functional.test_flow import Desk
from tests.helpers.builds import make_source
from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_wheel

pytestmark = pytest.mark.slow

needs_compiler = pytest.mark.skipif(
    shutil.which("cc") is None or not Path(sysconfig.get_path("include"), "Python.h").exists(),
    reason="no C compiler, or no headers of Python",
)

MODULE = """
#include <Python.h>
#include <pthread.h>
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "native", 0, -1, 0};
static void *nothing(void *none) { return none; }
PyMODINIT_FUNC PyInit_native(void) {
    pthread_t thread;  /* of libc itself since glibc 2.34 */
    if (pthread_create(&thread, 0, nothing, 0) == 0) pthread_join(thread, 0);
    return PyModule_Create(&module);
}
"""


class Bench(Desk):
    """A desk that notes which backends ran."""

    @property
    def log(self) -> Path:
        return self.here.parent / "builds"

    def run(
        self, *arguments: str, index: bool = True, fresh: bool = False, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        own = {"TEST_BUILDS": str(self.log), "DATALOADER_CACHE_DIR": str(self.cache)}
        return super().run(*arguments, index=index, fresh=fresh, **{**own, **environ})

    @property
    def cache(self) -> Path:
        return self.here.parent / "cache"

    def ran(self) -> list[str]:
        """What backends did since this was asked last."""
        found = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return found

    def locked(self, name: str) -> dict[str, object]:
        packages = yaml.safe_load(self.lock.read_text())["packages"]
        return next(entry for entry in packages if entry["name"] == name)

    def python(self, code: str, env: str = "env") -> str:
        command = [str(self.here / env / "bin" / "python"), "-c", code]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    return tmp_path / "shelf"


@pytest.fixture
def desk(tmp_path: Path, shelf: Path) -> Iterator[Bench]:
    here = tmp_path / "here"
    here.mkdir()
    make_wheel(shelf, "lib", "1.0", files={"lib.py": "V = 1\n"})
    with IndexServer(shelf) as index:
        yield Bench(here, index)


def test_what_is_not_allowed_is_refused_with_the_line_that_allows_it(desk: Bench, shelf: Path) -> None:
    make_source(shelf, "demo", requires=["lib"])

    error = desk.fails(1, "no-wheel", "install", "demo", "-p", "env")

    assert desk.ran() == []
    assert any(text.startswith("--build demo ") for text in error["suggestions"]), error
    desk.ok("install", "demo", "--build", "demo", "-p", "env")
    assert desk.ran() == ["built demo 1.0"]  # what it says of itself is not asked again
    assert desk.python("import demo, lib; print(demo.VERSION)") == "1.0\n"


def test_it_is_built_once_under_its_key(desk: Bench, shelf: Path, tmp_path: Path) -> None:
    source = make_source(shelf, "demo")
    desk.ok("install", "demo", "--build", "demo", "-p", "env")
    entry = desk.locked("demo")
    build = entry["build"]
    assert str(entry["pypi"]).endswith(source.name)
    assert isinstance(build, dict)
    assert build["python"] == f"{sys.version_info[0]}.{sys.version_info[1]}"
    desk.ran()

    desk.ok("sync", "-p", "env")
    desk.ok("sync", "-p", "other", "--lockfile", "dataloader.lock")
    assert desk.ran() == []
    assert desk.python("import demo", "other") == ""

    layered = desk.run(
        "sync", "-p", "third", "--lockfile", "dataloader.lock", "--cache-layer", str(desk.cache),
        DATALOADER_CACHE_DIR=str(tmp_path / "second"),
    )  # fmt: skip
    assert layered.returncode == 0, layered.stderr
    assert desk.ran() == []  # another machine, which has the first one's cache as a layer

    alone = desk.run("sync", "-p", "fourth", "--lockfile", "dataloader.lock", DATALOADER_CACHE_DIR=str(tmp_path / "3"))
    assert alone.returncode == 0, alone.stderr
    assert desk.ran() == ["built demo 1.0"]

    make_source(shelf, "demo", files={"demo.py": "VERSION = 'other bytes'\n"})
    desk.ok("install", "demo", "--build", "demo", "-p", "env", "--refresh")
    assert desk.ran() == ["built demo 1.0"]
    assert desk.locked("demo")["build"] != build


def test_what_a_source_does_not_say_its_build_is_asked_once(desk: Bench, shelf: Path) -> None:
    make_source(shelf, "demo", requires=["lib"], static=False)

    desk.ok("lock", "demo", "--build", "demo")
    assert desk.ran() == ["asked demo 1.0"]
    desk.lock.unlink()
    desk.ok("lock", "demo", "--build", "demo")
    assert desk.ran() == []


def test_what_had_to_be_built_to_be_asked_is_not_built_again(desk: Bench, shelf: Path) -> None:
    make_source(shelf, "demo", requires=["lib"], static=False, prepares=False)
    desk.ok("install", "demo", "--build", "demo", "-p", "env")
    assert desk.ran() == ["built demo 1.0"]
    assert list((desk.cache / "asked").iterdir()) == []

    for version in ("1.0", "2.0"):
        make_wheel(shelf, "numpy", version, files={"numpy.py": "\n"})
    make_source(shelf, "close", build_requires=["numpy"], static=False, prepares=False)
    desk.ok("install", "close", "numpy<2", "--build", "close", "-p", "env2", "--lockfile", "2.lock", "--refresh")
    assert desk.ran() == ["built close 1.0"] * 2  # it was asked beside another NumPy than the environment's
    desk.ok("install", "close", "numpy", "--build", "close", "-p", "env3", "--lockfile", "3.lock")
    assert desk.ran() == []  # what was built first is right for this one


def test_a_wheel_is_taken_where_there_is_one(desk: Bench, shelf: Path) -> None:
    make_source(shelf, "lib", "1.0")
    make_source(shelf, "lib", "2.0")

    desk.ok("install", "lib<2", "--build", "lib", "-p", "env")
    assert desk.ran() == []
    desk.ok("install", "lib<2", "--build", "lib", "--no-binary", "lib", "-p", "env")
    assert desk.ran() == ["built lib 1.0"]
    desk.ok("install", "lib>0", "--build", "lib", "-p", "env")
    assert desk.locked("lib")["version"] == "1.0"  # what is locked stays
    desk.ok("upgrade", "lib", "--build", "lib", "-p", "env")
    assert desk.locked("lib")["version"] == "2.0"


def test_the_manifest_says_what_may_be_built(desk: Bench, shelf: Path) -> None:
    make_source(shelf, "demo")
    (desk.here / "dataloader.toml").write_text("[workspace]\nchannels = []\n")

    desk.ok("install", "demo", "--build", "demo")

    path = desk.here / "dataloader.toml"
    assert tomli.loads(path.read_text())["build"] == {"allow": ["demo"]}
    desk.ok("sync", "--locked")
    path.write_text(path.read_text().replace('allow = ["demo"]', "allow = []"))
    desk.fails(1, "lock-outdated", "sync", "--locked")
    desk.fails(1, "no-wheel", "sync")


@pytest.mark.parametrize("verb", ["sync", "run -- true"])
@pytest.mark.parametrize("what", ["an archive", "a tree"])
def test_what_is_advised_to_who_may_not_build_can_be_typed(desk: Bench, shelf: Path, verb: str, what: str) -> None:
    make_source(shelf if what == "an archive" else desk.here / "demo", "demo", as_tree=what == "a tree")
    asked = '"*"' if what == "an archive" else '{path = "demo"}'
    (desk.here / "dataloader.toml").write_text(
        f"[workspace]\nchannels = []\n[pypi-dependencies]\nlib = '*'\ndemo = {asked}\n"
    )

    done = desk.run(*verb.split())

    assert done.returncode in {1, 2}
    commands = re.findall(r"`dataloader ([^`]+)`", done.stderr)
    assert [command for command in commands if "--build demo" in command], done.stderr
    for command in reversed(commands):
        before = (desk.here / "dataloader.toml").read_text()
        desk.ok(*command.split())
        desk.ok(*verb.split())
        (desk.here / "dataloader.toml").write_text(before)
        desk.lock.unlink()


def test_a_build_takes_what_it_needs_from_layers_too(desk: Bench, shelf: Path, tmp_path: Path) -> None:
    make_wheel(shelf, "tool", "1.0", files={"tool.py": "\n"})
    desk.ok("install", "tool", "-p", "first")
    make_source(shelf, "demo", build_requires=["tool"])
    desk.ok("lock", "demo", "--build", "demo", "--lockfile", "demo.lock")

    words = ("sync", "-p", "env", "--lockfile", "demo.lock", "--cache-layer", str(desk.cache))
    done = desk.run(*words, DATALOADER_CACHE_DIR=str(tmp_path / "second"))

    assert done.returncode == 0, done.stderr
    assert desk.ran() == ["built demo 1.0"]
    assert not list((tmp_path / "second" / "wheels").rglob("tool.py"))


@pytest.mark.parametrize("name", [":all:", "*", "demo>=1", "--", "demo=x"])
def test_a_build_is_allowed_by_name_alone(desk: Bench, name: str) -> None:
    desk.fails(2, "build-by-name", "lock", "demo", f"--build={name}")


def test_a_failed_build_says_why(desk: Bench, shelf: Path) -> None:
    make_source(shelf, "demo", run="import no_such_module")

    error = desk.fails(1, "build-failed", "install", "demo", "--build", "demo", "-p", "env")

    assert "no_such_module" in error["causes"][0]
    assert any('[build.requires] demo = ["PROJECT"]' in text for text in error["suggestions"])
    log = next(text for text in error["causes"] if text.startswith("the whole log: ")).partition(": ")[2]
    assert "ModuleNotFoundError" in Path(log).read_text()
    assert not (desk.here / "env").exists()


def test_build_requirements_come_from_the_same_indexes_and_may_be_added(desk: Bench, shelf: Path) -> None:
    make_wheel(shelf, "tool", "1.0", files={"tool.py": "\n"})
    make_wheel(shelf, "other", "1.0", files={"other.py": "\n"})
    make_source(shelf, "demo", build_requires=["tool"], more=["other"], run="import tool, other, lib")
    manifest = desk.here / "dataloader.toml"
    manifest.write_text(
        '[workspace]\nchannels = []\n[pypi-dependencies]\ndemo = "*"\n[build]\nallow = ["demo"]\n[build.requires]\n'
    )

    desk.fails(1, "build-failed", "sync")  # lib is asked for by nobody
    first = desk.locked("demo")["build"] if desk.lock.exists() else None
    manifest.write_text(manifest.read_text() + 'demo = ["lib<2"]\n')
    desk.ok("sync")

    build = desk.locked("demo")["build"]
    assert isinstance(build, dict)
    assert build["requires"] == ["lib<2"]
    assert build != first


def test_a_build_requirement_that_is_not_there_is_named(desk: Bench, shelf: Path) -> None:
    make_source(shelf, "demo", build_requires=["nowhere"])

    error = desk.fails(1, "build-requirements", "install", "demo", "--build", "demo", "-p", "env")

    assert "nowhere" in " ".join(error["causes"])


def test_a_build_that_needs_itself_is_refused(desk: Bench, shelf: Path) -> None:
    make_source(shelf, "demo", build_requires=["other"])
    make_source(shelf, "other", build_requires=["demo"])

    names = ("--build", "demo", "--build", "other")
    error = desk.fails(1, "build-requirements", "install", "demo", *names, "-p", "env")

    assert "demo needs other needs demo" in error["causes"]


@pytest.mark.parametrize(
    ("exit_code", "code", "source"),
    [
        (1, "built-wheel-unfit", {"tag": "cp33-cp33m-linux_x86_64"}),
        (4, "built-wheel-differs", {"wheel_requires": ["lib", "more"]}),
        (4, "built-wheel-differs", {"requires": ["lib"], "wheel_requires": []}),
    ],
)
def test_what_was_built_is_judged_before_it_is_kept(
    desk: Bench, shelf: Path, exit_code: int, code: str, source: dict[str, str]
) -> None:
    make_source(shelf, "demo", **source)  # type: ignore[arg-type]

    desk.fails(exit_code, code, "install", "demo", "--build", "demo", "-p", "env")

    desk.ran()
    desk.fails(exit_code, code, "install", "demo", "--build", "demo", "-p", "env")
    assert desk.ran() == ["built demo 1.0"]  # nothing was kept


def test_a_lock_that_was_changed_by_hand_builds_nothing(desk: Bench, shelf: Path) -> None:
    make_source(shelf, "demo")
    desk.ok("lock", "demo", "--build", "demo")
    text = desk.lock.read_text()
    entry = desk.locked("demo")

    desk.lock.write_text(text.replace('python: "3.', 'python: "2.', 1))
    desk.fails(4, "build-key", "sync", "-p", "env")
    build, sha256 = entry["build"], str(entry["sha256"])
    assert isinstance(build, dict)
    desk.lock.write_text(text.replace(sha256, "0" * 64))
    desk.fails(4, "build-key", "sync", "-p", "env")
    assert desk.ran() == []


def test_who_interrupts_a_build_ends_all_that_it_started(desk: Bench, shelf: Path) -> None:
    """Also compilers that ninja puts into process groups of their own."""
    note = desk.here / "pid"
    started = (
        "import os\n"
        "child = subprocess.Popen(['sleep', '120'], preexec_fn=os.setpgrp)\n"
        f"open({str(note)!r} + '.new', 'w').write(str(child.pid)); os.rename({str(note)!r} + '.new', {str(note)!r})\n"
        "child.wait()"
    )
    make_source(shelf, "demo", run=started)
    command = [sys.executable, "-m", "dataloader", "install", "demo", "--build", "demo", "-p", "env"]
    own = {"DATALOADER_CACHE_DIR": str(desk.cache), "DATALOADER_INDEX_URL": desk.index.index_url}
    environ = {**os.environ, "DATALOADER_CONDA": "never", **own}
    with subprocess.Popen(command, cwd=desk.here, env=environ, stderr=subprocess.PIPE, text=True) as process:
        while not note.exists():
            assert process.poll() is None, process.stderr
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
    child = Path("/proc", note.read_text(), "stat")
    while child.exists() and child.read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.05)  # who kills does not wait until it is gone
    assert not list(desk.cache.glob("building-*"))


@needs_compiler
def test_c_is_compiled_and_its_floor_is_judged(desk: Bench, shelf: Path) -> None:
    make_source(shelf, "native", c=MODULE, tag=f"cp3{sys.version_info[1]}-abi3-linux_x86_64")

    desk.ok("install", "native", "--build", "native", "-p", "env")

    assert desk.python("import native; print(native.__name__)") == "native\n"
    (desk.here / "old.toml").write_text('platform = "linux-64"\nglibc = "2.17"\n')
    error = desk.fails(
        1, "built-wheel-unfit", "install", "native", "--build", "native", "-p", "old", "--lockfile", "old.lock",
        "--target", "old.toml",
    )  # fmt: skip
    assert "2.17" in error["causes"][0]


@needs_compiler
def test_a_key_has_of_compilers_what_machines_must_have(desk: Bench, shelf: Path) -> None:
    """Which compiler a machine has is no part of it, for others are to take what it makes."""
    make_source(shelf, "native", c=MODULE, tag=f"cp3{sys.version_info[1]}-abi3-linux_x86_64")
    make_source(shelf, "plain")
    (desk.here / "t.toml").write_text('platform = "linux-64"\nglibc = "2.36"\nlibstdcxx = "3.4.28"\n')

    desk.ok("lock", "native", "plain", "--build", "native", "--build", "plain", "--target", "t.toml")

    native, plain = (desk.locked(name)["build"] for name in ("native", "plain"))
    assert isinstance(native, dict)
    assert isinstance(plain, dict)
    assert native["abi"] == {"libstdcxx": "3.4.28"}
    assert "abi" not in plain
    desk.ok("lock", "native", "plain", "--gcc=99", "--build", "native", "--build", "plain", "--target", "t.toml")
    again = desk.locked("native")["build"]
    assert isinstance(again, dict)
    assert again["abi"] == {"gcc": "99", "libstdcxx": "3.4.28"}
    assert desk.locked("plain")["build"] == plain
    error = desk.fails(1, "compiler-unfit", "sync", "-p", "env")
    assert "is locked for GCC 99" in error["message"]
    assert desk.ran() == []


@needs_compiler
@pytest.mark.skipif(shutil.which("g++") is None, reason="no compiler of C++")
def test_a_wheel_that_needs_a_newer_cxx_library_than_the_lock_is_for_is_refused(desk: Bench, shelf: Path) -> None:
    (desk.here / "t.toml").write_text('platform = "linux-64"\nglibc = "2.36"\nlibstdcxx = "3.4.10"\n')
    code = "#include <condition_variable>\nstd::condition_variable all; void tell() { all.notify_all(); }\n"
    compiled = (
        f"open('a.cc', 'w').write({code!r}); subprocess.run('g++ -shared -fPIC a.cc -o a.so'.split(), check=True)"
    )
    tag = f"cp3{sys.version_info[1]}-abi3-linux_x86_64"
    make_source(shelf, "native", c=MODULE, tag=tag, run=compiled, taken=["a.so"])

    words = ("install", "native", "--build", "native", "-p", "env", "--target", "t.toml")
    error = desk.fails(1, "built-wheel-unfit", *words)

    assert "GLIBCXX_3.4.10" in error["causes"][0]


@needs_compiler
@pytest.mark.skipif(shutil.which("ccache") is None, reason="no ccache")
def test_what_did_not_change_is_not_compiled_again(desk: Bench, shelf: Path, tmp_path: Path) -> None:
    """Whatever the folders are called that two builds run in."""
    tree = tmp_path / "tree"
    compiled = "[subprocess.run(['gcc', '-g', '-c', os.path.abspath(f)], check=True) for f in ('a.c', 'b.c')]"
    make_source(tree, "demo", run=compiled, as_tree=True)
    for name in ("a.c", "b.c"):
        (tree / name).write_text(f"int {name[0]}(void) {{ return 1; }}\n")
    own = {"CCACHE_DIR": str(tmp_path / "ccache")}

    def hits_and_misses() -> tuple[int, int]:
        said = subprocess.check_output(["ccache", "--print-stats"], env={**os.environ, **own}, text=True)
        stats = {name: int(count) for name, count in (line.split("\t") for line in said.splitlines())}
        return stats["direct_cache_hit"] + stats["preprocessed_cache_hit"], stats["cache_miss"]

    desk.ok("install", f"demo @ {tree.as_uri()}", "--build", "demo", "-p", "env", **own)
    before = hits_and_misses()
    (tree / "b.c").write_text("int b(void) { return 2; }\n")
    desk.ok("sync", "-p", "env", **own)

    assert "built demo 1.0" in desk.ran()
    hits, misses = (now - then for now, then in zip(hits_and_misses(), before, strict=True))
    assert (hits, misses) == (1, 1)


def test_the_files_are_those_that_pip_builds(desk: Bench, shelf: Path, tmp_path: Path) -> None:
    source = make_source(shelf, "demo", files={"demo/__init__.py": "", "demo/data.txt": "x\n"})
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-index",
        "-w",
        str(tmp_path / "pip"),
        str(source),
    ]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = (tmp_path / "pip").iterdir()

    desk.ok("install", "demo", "--build", "demo", "-p", "env")

    (site,) = (desk.here / "env" / "lib").glob("python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if not name.endswith("/RECORD"):
                assert (site / name).read_bytes() == archive.read(name)


def test_a_bundle_cannot_hold_what_is_yet_to_be_built(desk: Bench, shelf: Path) -> None:
    make_source(shelf, "demo")
    desk.ok("lock", "demo", "--build", "demo")

    error = desk.fails(2, "not-bundled", "bundle", "-o", "env.tar")

    assert "demo" in error["message"]


def test_exports_name_the_source(desk: Bench, shelf: Path) -> None:
    source = make_source(shelf, "demo")
    desk.ok("lock", "demo", "--build", "demo")

    found = tomli.loads(desk.ok("export", "pylock.toml"))["packages"][0]
    assert found["sdist"]["name"] == source.name
    assert "wheels" not in found


@pytest.mark.pypi
@pytest.mark.slow
@pytest.mark.parametrize(
    ("project", "version"),
    [("docopt", "0.6.2"), ("tomli-w", "1.2.0")],  # a setup.py without pyproject.toml; one of flit's
)
def test_of_pypi_as_uv_builds_it(desk: Bench, tmp_path: Path, project: str, version: str) -> None:
    wanted = f"{project}=={version}"
    done = desk.run("install", wanted, "--build", project, "--no-binary", project, "-p", "env", index=False)
    assert done.returncode == 0, done.stderr
    target = tmp_path / "uv"
    uv = [shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv", "pip", "install", "--quiet"]
    options = ["--no-deps", "--no-binary", project, "--target", str(target), "--python", sys.executable]
    subprocess.run([*uv, *options, wanted], check=True, capture_output=True)
    (site,) = (desk.here / "env" / "lib").glob("python*/site-packages")
    theirs = [path.relative_to(target) for path in target.rglob("*.py") if path.is_file()]
    assert theirs
    for path in theirs:
        assert (site / path).read_bytes() == (target / path).read_bytes()
