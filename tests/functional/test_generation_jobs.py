"""A job stays in the generation that it began in, however it was started, and nothing removes that under it."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dataloader.base.errors import PrefixError
from dataloader.base.reporter import Reporter
from dataloader.install.switch import jobs
from dataloader.install.switch.generations import current, generations, prune, sync_generation
from dataloader.install.switch.owner import is_dead, signed
from dataloader.install.sync import sync_prefix
from dataloader.lockfile.model import LockedPython, Lockfile
from dataloader.prefix import pin
from dataloader.prefix.pin import generation_of
from tests.helpers.conda import index_channel, make_python_package, read_record
from tests.helpers.locks import FolderDownloads, Heard, lock_of, options_for
from tests.helpers.wheels import make_wheel

pytestmark = pytest.mark.slow

NAME = f"train-{os.getpid()}"  # who uses a generation is told by its path's end: other tests run beside this one
DATALOADER = (sys.executable, "-m", "dataloader")
VERSION = "{}.{}.{}".format(*sys.version_info[:3])

# All that a job does with its environment after others have switched it: each line of the answer is a release.
JOB = """
import json, multiprocessing, os, subprocess, sys
import part

CHILD = "import part, part.late, sys; print(part.late.release, sys.prefix)"

def work(number):
    import part.late
    return f"{part.late.release} {sys.prefix}"

def main():
    print("ready", flush=True)
    sys.stdin.readline()
    import part.late
    import encodings.idna
    said = {"here": f"{part.late.release} {sys.prefix}"}
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        said["spawned"] = pool.map(work, [1])[0]
    with multiprocessing.get_context("forkserver").Pool(1) as pool:
        said["fork server"] = pool.map(work, [1])[0]
    for name, command in {
        "executable": [sys.executable, "-c", CHILD],
        "name": ["python", "-c", CHILD],
        "script": ["part-late"],
        "again": [sys.executable, sys.argv[0], "--late"] if sys.argv[0].startswith("/") else ["part-late"],
    }.items():
        said[name] = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    said["library"] = encodings.idna.__file__
    json.dump({**said, "argv": sys.argv, "path": sys.path}, sys.stdout)

def late():
    import part.late
    print(part.late.release, sys.prefix)

if __name__ == "__main__":
    late() if "--late" in sys.argv else main()
"""


def lock_at(folder: Path, release: str) -> Lockfile:
    name = f"release = {release!r}\n"
    files = {"part/__init__.py": name, "part/late.py": name, "part/cli.py": JOB}
    entry_points = {"console_scripts": {"part": "part.cli:start", "part-late": "part.cli:late"}}
    files["part/cli.py"] += "\ndef start():\n    late() if '--late' in sys.argv else main()\n"
    return lock_of(make_wheel(folder / "wheels", "part", release, files=files, entry_points=entry_points))


def with_python(folder: Path, lock: Lockfile) -> Lockfile:
    """The same with a Python of its own, which is a conda package."""
    channel = folder / "channel"
    if not channel.exists():
        make_python_package(channel)
        index_channel(channel)
    python = LockedPython(source="conda", version=VERSION)
    return lock_of(*lock.packages, read_record(channel, "python"), python=python)


def sync(lock: Lockfile, tmp_path: Path, **options: object) -> None:
    root, settings = tmp_path / "root", options_for(tmp_path, **options)
    asyncio.run(sync_generation(lock, root, NAME, settings, Reporter(), FolderDownloads()))


def prune_all(tmp_path: Path, keep: int = 0) -> list[int]:
    """Remove what may go; the numbers of the generations that stay."""
    asyncio.run(prune(tmp_path / "root", NAME, Reporter(), keep=keep))
    return [generation.number for generation in generations(tmp_path / "root", NAME)]


def by_link(link: Path) -> list[str]:
    return [str(link / "bin/python"), "-m", "part.cli"]


WAYS: Mapping[str, Callable[[Path], list[str]]] = {
    "module": by_link,
    "module, isolated": lambda link: [str(link / "bin/python"), "-I", "-m", "part.cli"],
    "program": lambda link: [str(link / "bin/part")],
    "script": lambda link: [str(link / "bin/python"), str(link / "bin/part")],
    "script, isolated": lambda link: [str(link / "bin/python"), "-I", str(link / "bin/part")],
    "PATH": lambda link: ["env", "part"],
    "shell": lambda link: ["sh", "-c", f"cd {link}/bin && ./part"],
    "run": lambda link: [*DATALOADER, "run", "-p", str(link), "--", "part"],
    "hook": lambda link: [
        "sh", "-c", f'eval "$({sys.executable} -m dataloader shell-hook --shell posix -p {link})" && part',
    ],
}  # fmt: skip


@contextmanager
def job(command: list[str], path: str) -> Iterator[subprocess.Popen[str]]:
    """A job that has begun; it goes on by :func:`answer_of`."""
    environ = {"PATH": path, "PYTHONPATH": str(Path(__file__).parents[2]), "HOME": os.environ.get("HOME", "/")}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def answer_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    output, _ = process.communicate("go\n", timeout=60)
    assert process.returncode == 0
    return json.loads(output)  # type: ignore[no-any-return]


def all_of(answer: dict[str, Any], generation: Path) -> None:
    """All that the job met is of one generation, and nothing that it holds leads to another."""
    expected = f"{generation.name.split('-')[0]} {generation}"
    assert {key: value for key, value in answer.items() if key not in {"argv", "path", "library"}} == dict.fromkeys(
        ("here", "spawned", "fork server", "executable", "name", "script", "again"), expected
    )
    link = str(generation.parents[2] / NAME)
    assert [path for path in (*answer["argv"], *answer["path"]) if path.startswith(link)] == []


@pytest.mark.parametrize("way", WAYS)
def test_job_is_of_one_generation_to_its_end(way: str, tmp_path: Path) -> None:
    """Three syncs and two prunes meanwhile; when it has ended its generation can go."""
    sync(lock_at(tmp_path, "1"), tmp_path)
    link, first = tmp_path / "root" / NAME, current(tmp_path / "root", NAME)
    path = "/usr/bin:/bin" if way in {"run", "hook"} else f"{link}/bin:/usr/bin:/bin"

    with job(WAYS[way](link), path) as process:
        sync(lock_at(tmp_path, "2"), tmp_path)
        assert prune_all(tmp_path) == [1, 2]
        sync(lock_at(tmp_path, "3"), tmp_path)
        sync(lock_at(tmp_path, "4"), tmp_path)
        assert prune_all(tmp_path) == [1, 4]
        answer = answer_of(process)

    all_of(answer, first)
    # multiprocessing's own helpers end a moment after the job.
    until = time.monotonic() + 30
    while prune_all(tmp_path) != [4] and time.monotonic() < until:
        time.sleep(0.1)
    assert prune_all(tmp_path) == [4]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["module", "program", "script, isolated", "run"])
def test_job_on_a_python_of_its_own(way: str, tmp_path: Path) -> None:
    """A conda Python finds its standard library by the link too."""
    sync(with_python(tmp_path, lock_at(tmp_path, "1")), tmp_path)
    link, first = tmp_path / "root" / NAME, current(tmp_path / "root", NAME)
    path = "/usr/bin:/bin" if way == "run" else f"{link}/bin:/usr/bin:/bin"

    with job(WAYS[way](link), path) as process:
        sync(with_python(tmp_path, lock_at(tmp_path, "2")), tmp_path)
        assert prune_all(tmp_path) == [1, 2]
        answer = answer_of(process)

    all_of(answer, first)
    assert answer["library"].startswith(f"{first}/lib/")
    assert prune_all(tmp_path) == [2]


def test_job_by_a_link_of_another_name(tmp_path: Path) -> None:
    """People put links of their own before ours, also where the volume is mounted by another name."""
    sync(lock_at(tmp_path, "1"), tmp_path)
    first = current(tmp_path / "root", NAME)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "env").symlink_to(Path("../root") / NAME)
    (tmp_path / "env").symlink_to(tmp_path / "deep" / "env")
    alias = tmp_path / "env"

    for way in ("module", "program", "script"):
        with job(WAYS[way](alias), f"{alias}/bin:/usr/bin:/bin") as process:
            sync(lock_at(tmp_path, "2"), tmp_path)
            assert 1 in prune_all(tmp_path)
            answer = answer_of(process)
        sync(lock_at(tmp_path, "1"), tmp_path)

        assert answer["here"] == answer["spawned"] == answer["executable"] == answer["again"] == f"1 {first}"


def test_python_without_site_is_seen_by_when_it_began(tmp_path: Path) -> None:
    """It reads none of our files and shows nothing; so what was current since it began stays, and no more."""
    for release in "12":
        sync(lock_at(tmp_path, release), tmp_path)
    folder = tmp_path / "root" / ".generations" / NAME
    noted = json.loads((folder / "history").read_bytes())
    noted["left"] = {entry: moment - 3600 for entry, moment in noted["left"].items()}
    (folder / "history").write_text(json.dumps(noted))
    command = [str(tmp_path / "root" / NAME / "bin/python"), "-S", "-c", "print('ready', flush=True); input()"]

    with job(command, "/usr/bin:/bin"):
        sync(lock_at(tmp_path, "3"), tmp_path)

        assert prune_all(tmp_path) == [2, 3]
    assert prune_all(tmp_path) == [3]


def test_nothing_more_is_imported_at_the_start(tmp_path: Path) -> None:
    """It is there at each start of each Python: all that it may cost is itself."""
    sync(lock_at(tmp_path, "1"), tmp_path)
    python = current(tmp_path / "root", NAME) / "bin/python"
    code = "import sys; print(*sorted(sys.modules))"
    run = {"capture_output": True, "text": True, "check": True, "env": {}}
    loaded = subprocess.run([python, "-I", "-c", code], **run).stdout.split()  # type: ignore[call-overload]

    (line,) = (tmp_path / "root" / NAME / "lib").rglob("00-dataloader-generation.pth")
    line.unlink()
    before = subprocess.run([python, "-I", "-c", code], **run).stdout.split()  # type: ignore[call-overload]

    assert set(loaded) - set(before) == {"_dataloader_generation"}


def test_bytecode_comes_along(tmp_path: Path) -> None:
    """Where Python may not write any (a read-only volume, PYTHONDONTWRITEBYTECODE) a start takes no longer."""
    sync(lock_at(tmp_path, "1"), tmp_path)
    command = [str(current(tmp_path / "root", NAME) / "bin/python"), "-v", "-I", "-c", "pass"]

    said = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONDONTWRITEBYTECODE": "1"})

    (line,) = [line for line in said.stderr.splitlines() if "code object from" in line and "_generation" in line]
    assert line.endswith(".pyc'")


def test_verify_has_nothing_to_say_of_it(tmp_path: Path) -> None:
    sync(lock_at(tmp_path, "1"), tmp_path)
    command = [*DATALOADER, "verify", str(tmp_path / "root" / NAME), "--json", "--fail-on", "note"]
    environ = {**os.environ, "DATALOADER_CACHE_DIR": str(tmp_path / "cache")}

    done = subprocess.run(command, capture_output=True, text=True, env=environ, cwd=tmp_path)

    assert done.returncode == 0, done.stdout
    assert "_dataloader_generation" not in done.stdout


def test_package_may_not_take_its_place(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "wheels", "evil", "1", files={"_dataloader_generation.py": "print('evil')\n"})

    with pytest.raises(PrefixError) as refusal:
        sync(lock_of(wheel), tmp_path)

    assert refusal.value.code == "path-clash"
    assert not (tmp_path / "root" / NAME).exists()


def leases(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "root" / ".generations" / NAME).glob("run-*"))


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


PRUNE = (
    "import asyncio, sys; from pathlib import Path; from dataloader.install.switch.generations import prune;"
    "from dataloader.base.reporter import Reporter;"
    "print(*[p.name[0] for p in asyncio.run(prune(Path(sys.argv[1]), sys.argv[2], Reporter(), keep=0))])"
)


def prune_from_elsewhere(tmp_path: Path) -> str:
    """Remove what may go, as a container does that sees no process of ours; what it removed."""
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", PRUNE, str(tmp_path / "root"), NAME]
    if subprocess.run([*command[:4], "true"], capture_output=True).returncode != 0:
        pytest.skip("namespaces are not allowed here")
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_lease_tells_other_machines(tmp_path: Path) -> None:
    sync(lock_at(tmp_path, "1"), tmp_path)
    link = tmp_path / "root" / NAME
    with job(WAYS["run"](link), "/usr/bin:/bin") as process:
        for release in "23":
            sync(lock_at(tmp_path, release), tmp_path)

        (lease,) = leases(tmp_path)
        assert f".{process.pid}-" in lease.name
        assert prune_from_elsewhere(tmp_path) == "2"
        assert answer_of(process)["here"].startswith("1 ")

    wait_until(lambda: leases(tmp_path) == [])
    assert prune_from_elsewhere(tmp_path) == "1"


def test_lease_of_a_job_that_was_killed_goes(tmp_path: Path) -> None:
    sync(lock_at(tmp_path, "1"), tmp_path)
    with job(WAYS["run"](tmp_path / "root" / NAME), "/usr/bin:/bin") as process:
        assert len(leases(tmp_path)) == 1
        process.send_signal(signal.SIGKILL)
        wait_until(lambda: leases(tmp_path) == [])


def test_job_has_no_child_that_it_does_not_know(tmp_path: Path) -> None:
    """Else a job that waits for all its children would wait for itself, and a reader of its output for nobody."""
    sync(lock_at(tmp_path, "1"), tmp_path)
    code = "import os\ntry: os.wait()\nexcept ChildProcessError: print('none', os.listdir('/proc/self/task') != [])"
    command = [*DATALOADER, "run", "-p", str(tmp_path / "root" / NAME), "--", "python", "-c", code]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert done.stdout == "none True\n"
    wait_until(lambda: leases(tmp_path) == [])


def test_lease_that_nobody_touches_expires(tmp_path: Path) -> None:
    """Its machine has died, or lost the volume for long."""
    for release in "123":
        sync(lock_at(tmp_path, release), tmp_path)
    first, second, _ = generations(tmp_path / "root", NAME)
    token = signed("").rsplit("-", 1)[0] + "-00000000"
    assert is_dead(token) is None
    fresh, stale = (each.path.parent / f"run-{each.path.name}@{token}" for each in (first, second))
    fresh.write_text("node-7")
    stale.write_text("node-8")
    past = time.time() - jobs.STALE_SECONDS - 1
    os.utime(stale, (past, past))

    assert [str(user).rpartition(" on ")[2] for user in generations(tmp_path / "root", NAME)[0].users] == ["node-7"]
    reporter = Heard()
    asyncio.run(prune(tmp_path / "root", NAME, reporter, keep=0))

    assert [generation.number for generation in generations(tmp_path / "root", NAME)] == [1, 3]
    assert leases(tmp_path) == [fresh]
    assert any("node-7" in said and str(first.path) in said for said in reporter.infos)


def test_run_works_where_no_lease_can_be_written(tmp_path: Path) -> None:
    sync(lock_at(tmp_path, "1"), tmp_path)
    inside = (
        f"mount --bind {tmp_path / 'root'} {tmp_path / 'root'} && mount -o remount,ro,bind {tmp_path / 'root'} &&"
        f" exec {sys.executable} -m dataloader run -p {tmp_path / 'root' / NAME} -- part-late"
    )
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
        pytest.skip("namespaces are not allowed here")

    done = subprocess.run(["unshare", "-m", "sh", "-c", inside], capture_output=True, text=True)

    assert done.stdout == f"1 {current(tmp_path / 'root', NAME)}\n", done.stderr


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("root/.generations/train/4-0123456789ab", True),
        ("root/.generations/train/.new-0123456789ab", False),
        ("root/.generations/train/4-0123456789ab/lib", False),
        ("root/train/4-0123456789ab", False),
        ("root/.generations/4-0123456789ab", False),
    ],
)
def test_what_a_generation_is(place: str, expected: bool, tmp_path: Path) -> None:
    assert (generation_of(str(tmp_path / place)) is not None) == expected


def test_links_that_lead_in_a_circle_are_none(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")

    assert generation_of(str(tmp_path / "a")) is None


def test_generation_is_not_changed_in_place(tmp_path: Path) -> None:
    """What runs in it would lose its files."""
    sync(lock_at(tmp_path, "1"), tmp_path)
    link = tmp_path / "root" / NAME

    for prefix in (link, current(tmp_path / "root", NAME)):
        with pytest.raises(PrefixError, match="is a generation"):
            asyncio.run(
                sync_prefix(lock_at(tmp_path, "2"), prefix, options_for(tmp_path), Reporter(), FolderDownloads())
            )
    first = current(tmp_path / "root", NAME)
    same = asyncio.run(sync_prefix(lock_at(tmp_path, "1"), first, options_for(tmp_path), Reporter(), FolderDownloads()))

    assert not same.changed


def test_old_pythons_can_read_it() -> None:
    """Environments are made for Pythons from 3.8 on."""
    ast.parse(Path(pin.__file__).read_text(), feature_version=(3, 8))
