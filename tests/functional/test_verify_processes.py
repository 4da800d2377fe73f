"""More processes than one: what they see and read is what this one would, also when one of them is lost."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from dataloader.machine.host import has_nvidia
from dataloader.prefix.records import read_installed
from dataloader.prefix.walk import walk
from tests.bench.verify import forget
from tests.helpers.elf import make_library, needs_gcc
from tests.helpers.prefixes import SITE, make_prefix, register

pytestmark = needs_gcc

_BESIDE = """
import os, signal, sys, threading, time
from dataloader.process.beside import Beside
from dataloader.prefix.walk import walk

parent = os.getpid()
if "threads" in sys.argv:
    threading.Thread(target=threading.Event().wait, daemon=True).start()

def job():
    if os.getpid() != parent and "killed" in sys.argv:
        time.sleep(60)
    if os.getpid() != parent and "failing" in sys.argv:
        raise OSError("not here")
    return os.getpid(), walk(sys.argv[1])

with Beside(job) as beside:
    children = open(f"/proc/self/task/{os.getpid()}/children").read().split()
    if "killed" in sys.argv:
        os.kill(int(children[0]), signal.SIGKILL)
    here = walk(sys.argv[1])
    who, tree = beside.result()
print(len(children), who != parent, tree.digest == here.digest, tree.states == here.states, tree.links == here.links)
print(*tree.elf)
sys.stdout.flush()
os._exit(0)
"""

_CHECK = """
import os, signal, sys, threading, time
from pathlib import Path
from dataloader.verify.memory import changed as module
from dataloader.verify.memory.changed import CheckAhead
from dataloader.prefix.walk import walk

if "killed" in sys.argv:
    module.is_same = lambda *_: time.sleep(60)
prefix = Path(sys.argv[1])
if "threads" in sys.argv:
    threading.Thread(target=threading.Event().wait, daemon=True).start()
known = [(part.folders, part.pack()) for part in walk(prefix).parts]
match sys.argv[2]:
    case "other content":
        (prefix / "lib" / "script.so").write_text("INPUT(-lb)")
    case "new file":
        (prefix / "share" / "doc" / "file").touch()
    case "new folder":
        (prefix / "lib" / "new").mkdir()
    case "folder gone":
        (prefix / "share" / "doc").rmdir()
    case "link for a folder":
        (prefix / "share").rename(prefix.with_name("elsewhere"))
        (prefix / "share").symlink_to(prefix.with_name("elsewhere"))
    case "link elsewhere":
        (prefix / "lib" / "link.so").unlink()
        (prefix / "lib" / "link.so").symlink_to("libb.so")
check = CheckAhead(sys.argv[1], known)
children = open(f"/proc/self/task/{os.getpid()}/children").read().split()
if "killed" in sys.argv:
    for child in children:
        os.kill(int(child), signal.SIGKILL)
print(len(children), check.is_same())
check.close()
sys.stdout.flush()
os._exit(0)
"""

_READ = """
import os, sys, threading
from pathlib import Path
import dataloader.elf.scan as scan
from dataloader.elf.cache import FactsCache
from dataloader.prefix.walk import walk

scan._POOL_BYTES = 0
if "threads" in sys.argv:
    threading.Thread(target=threading.Event().wait, daemon=True).start()
prefix, cache = Path(sys.argv[1]), FactsCache(Path(sys.argv[2]))
tree = walk(prefix)
with scan.Reading(prefix, cache, jobs=int(sys.argv[3])) as reading:
    found = reading.finish({path: path for path in tree.elf}, tree.states)
for each in found:
    kept = cache.load_facts(each.path)
    undefined = cache.load_undefined(each.path)
    print(each.path, each.facts and each.facts.soname, each.problem, kept == each.facts, undefined)
sys.stdout.flush()
os._exit(0)
"""


def run(program: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    prefix = tmp_path / "env"
    for name in ("a", "b", "c", "d"):
        source = f'extern int puts(const char *); int {name}(void) {{ return puts(""); }}'
        make_library(prefix / "lib" / f"lib{name}.so", source, soname=f"lib{name}.so")
    (prefix / "lib" / "broken.so").write_bytes(b"\x7fELF" + bytes(100))
    (prefix / "lib" / "script.so").write_text("INPUT(-la)\n")
    (prefix / "lib" / "link.so").symlink_to("liba.so")
    (prefix / "share" / "doc").mkdir(parents=True)
    return prefix


@pytest.mark.parametrize(
    ("how", "processes"), [("", "1 True"), ("killed", "1 False"), ("failing", "1 False"), ("threads", "0 False")]
)
def test_another_process_sees_what_this_one_sees(prefix: Path, how: str, processes: str) -> None:
    libraries = "lib/broken.so lib/liba.so lib/libb.so lib/libc.so lib/libd.so lib/script.so"

    assert run(_BESIDE, str(prefix), how) == f"{processes} True True True\n{libraries}\n"


@pytest.mark.parametrize(("how", "said"), [("", "2 True"), ("threads", "0 True"), ("killed", "2 False")])
def test_a_tree_that_has_not_changed_is_the_same(prefix: Path, how: str, said: str) -> None:
    assert run(_CHECK, str(prefix), "nothing", how) == f"{said}\n"


@pytest.mark.parametrize("how", ["", "threads"])
@pytest.mark.parametrize(
    "change",
    ["other content", "new file", "new folder", "folder gone", "link for a folder", "link elsewhere"],
)
def test_a_change_is_seen_whichever_process_looks(prefix: Path, change: str, how: str) -> None:
    assert run(_CHECK, str(prefix), change, how) == f"{0 if how else 2} False\n"


def test_a_folder_that_could_not_be_read_is_a_change_when_it_can(prefix: Path) -> None:
    (prefix / "shut").mkdir(mode=0)
    program = (
        "import os, sys; from dataloader.verify.memory.changed import CheckAhead;"
        "from dataloader.prefix.walk import walk;"
        "os.chdir(sys.argv[1]);"  # nobody else may come there by its path
        "uid = os.geteuid(); os.seteuid(uid or 65534);"  # root may read everything
        "known = [(part.folders, part.pack()) for part in walk('.').parts];"
        "shut = CheckAhead('.', known).is_same();"
        "os.seteuid(uid); os.chmod('shut', 0o755); open('shut/file', 'w').close();"
        "print(shut, CheckAhead('.', known).is_same())"
    )

    assert run(program, str(prefix)) == "True False\n"


def test_a_process_that_nobody_hears_ends() -> None:
    more_than_a_pipe_holds = "from dataloader.process.beside import Beside\nwith Beside(lambda: bytes(1 << 20)): pass"

    assert run(more_than_a_pipe_holds) == ""


def test_a_fork_may_ask_for_what_its_parent_began(prefix: Path) -> None:
    program = (
        "import os, sys; from dataloader.process.beside import Beside; from dataloader.prefix.walk import walk;"
        "tree = Beside(lambda: (os.getpid(), walk(sys.argv[1])));"
        "inner = Beside(lambda: (os.getpid(), tree.result()));"
        "who, (first, seen) = inner.result(); tree.__exit__();"
        "print(len({os.getpid(), who, first}), seen.digest == walk(sys.argv[1]).digest)"
    )

    assert run(program, str(prefix)) == "3 True\n"


def test_what_is_asked_for_last_stands_back() -> None:
    program = (
        "import os; from dataloader.process.beside import BEHIND, Beside;"
        "base = os.nice(0); behind = Beside(lambda: os.nice(0), niceness=BEHIND); even = Beside(lambda: os.nice(0));"
        "print(behind.result() - base == BEHIND, even.result() - base)"
    )

    assert run(program) == "True 0\n"


def test_packages_reach_another_process_as_they_are(prefix: Path) -> None:
    (prefix / SITE).mkdir(parents=True)
    odd = 'odd, "name".py'
    register(prefix, "one", "1.0", files={"one/__init__.py": "", odd: ""}, requires=["two>=1"])
    register(prefix, "none", "2.0")
    installed = read_installed(prefix)

    assert pickle.loads(pickle.dumps(installed)) == installed
    assert [len(package.files) for package in installed.packages] == [2, 4]


def test_helpers_read_what_one_process_reads(prefix: Path, tmp_path: Path) -> None:
    alone = run(_READ, str(prefix), str(tmp_path / "1"), "1")
    forked = run(_READ, str(prefix), str(tmp_path / "2"), "3")
    started = run(_READ, str(prefix), str(tmp_path / "3"), "3", "threads")

    assert [line.split(" ")[0] for line in alone.splitlines()] == [
        "lib/broken.so",
        *(path for path in walk(prefix).elf if path.startswith("lib/lib")),
    ]
    assert alone.count("True frozenset({b'puts@GLIBC_2.2.5'})") == 4
    assert forked == alone
    assert started == alone


_IMPORTED = """
import os, sys
own, end = os.getpid(), os._exit

def leave(code):
    if os.getpid() == own:
        print(*sorted(sys.modules), file=sys.stderr)
        sys.stderr.flush()
    end(code)

os._exit = leave
from dataloader.__main__ import main
main()
"""
_OF_OTHERS = {"yaml", "packaging", "csv", "dataloader.prefix.state", "dataloader.lockfile.yaml"}
"""What the process needs that reads records and the lock: the one that judges libraries does not wait for it."""
_OF_NOBODY = {"html", "platform", "shutil", "tempfile", "logging", "concurrent.futures", "httpx", "rattler"}
_OF_A_GPU = set() if has_nvidia(os.environ) else {"subprocess"}


@pytest.mark.parametrize("facts", ["kept", "cold"])
def test_verify_imports_what_it_needs(prefix: Path, tmp_path: Path, facts: str) -> None:
    make_prefix(prefix)
    register(prefix, "one", "1.0", files={"one/__init__.py": ""}, requires=["two>=1"])
    for name in ("broken.so", "script.so"):  # nothing is kept of what is no library
        (prefix / "lib" / name).unlink()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DATALOADER_")}
    environ = {**kept, "DATALOADER_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-X", "importtime", "-c", _IMPORTED, "verify", "-p", str(prefix)]
    subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, check=False)
    forget(tmp_path / "cache" / "facts", everything=facts == "cold")

    done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False)

    lines = done.stderr.splitlines()
    times = [line.rsplit("|", 1)[1].strip() for line in lines if line.startswith("import time:")]
    modules = set(lines[-1].split())
    assert "dataloader.verify.judgement" in modules, done.stderr[-2000:]
    assert modules & (_OF_OTHERS | _OF_NOBODY | _OF_A_GPU) == set()
    # In one process, before it is forked: each would take 10 ms for it.
    assert times.count("elftools.elf.structs") == (1 if facts == "cold" else 0)
