"""More processes than one: what they see and read is what this one would, also when one of them is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dataloader.verify.files import walk
from tests.helpers.elf import make_library, needs_gcc

pytestmark = needs_gcc

_WALK = """
import os, signal, sys, threading
from dataloader.verify.files import WalkAhead, walk

if "threads" in sys.argv:
    threading.Thread(target=threading.Event().wait, daemon=True).start()
ahead = WalkAhead(sys.argv[1])
children = open(f"/proc/self/task/{os.getpid()}/children").read().split()
if "killed" in sys.argv:
    os.kill(int(children[0]), signal.SIGKILL)
here = walk(sys.argv[1])
asked_first = "digest" in sys.argv and ahead.digest()
if "alone" in sys.argv:
    ahead.close()
    ahead.close()
tree = ahead.tree()
print(len(children), ahead.digest() == here.digest and asked_first in (False, here.digest), tree.digest == here.digest)
print(tree.states == here.states, tree.links == here.links, tree.elf == here.elf)
ahead.close()
sys.stdout.flush()
os._exit(0)
"""

_READ = """
import os, sys, threading
from pathlib import Path
import dataloader.verify.scan as scan
from dataloader.verify.cache import FactsCache
from dataloader.verify.files import walk

scan._POOL_BYTES = 0
if "threads" in sys.argv:
    threading.Thread(target=threading.Event().wait, daemon=True).start()
prefix, cache = Path(sys.argv[1]), FactsCache(Path(sys.argv[2]))
tree = walk(prefix)
with scan.Reading(prefix, cache, jobs=int(sys.argv[3])) as reading:
    found = reading.finish({path: path for path in tree.elf}, tree)
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
    return prefix


@pytest.mark.parametrize(("how", "processes"), [("", 1), ("digest", 1), ("alone", 1), ("killed", 1), ("threads", 0)])
def test_a_walk_ahead_sees_what_a_walk_sees(prefix: Path, how: str, processes: int) -> None:
    assert run(_WALK, str(prefix), how) == f"{processes} True True\nTrue True True\n"


def test_a_walk_ahead_that_nobody_hears_ends(prefix: Path) -> None:
    for number in range(3_000):  # more than a pipe holds
        (prefix / f"file-with-a-long-name-{number}").touch()
    program = "from dataloader.verify.files import WalkAhead; import sys; w = WalkAhead(sys.argv[1]); {}w.close()"

    assert run(program.format(""), str(prefix)) == ""
    assert run(program.format("print(len(w.digest())); "), str(prefix)) == "64\n"


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
