"""Generations on a shared volume: built once, switched by a link, used while the next one comes, mounted elsewhere."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from dataloader.base.errors import ChangesNeeded, PrefixError
from dataloader.base.reporter import Reporter
from dataloader.install.model import SyncResult
from dataloader.install.switch.generations import current, generations, prune, rollback, sync_generation
from dataloader.lockfile.model import LockedPython, Lockfile
from dataloader.prefix.unchanged import fast_status, lock_digest
from tests.helpers.conda import index_channel, make_python_package, read_record
from tests.helpers.locks import FolderDownloads, lock_of, options_for
from tests.helpers.sync_process import Request, start, wait_for_go
from tests.helpers.wheels import make_wheel

pytestmark = pytest.mark.slow

NAME = f"train-{os.getpid()}"  # who uses a generation is told by its path's end: other tests run beside this one
SIZE = 16_000_000

COMMAND = {"console_scripts": {"part": "part.cli:main"}}
SAY = "import part, sys\ndef main():\n    print(part.release, sys.prefix)\n"


def lock_at(folder: Path, release: str) -> Lockfile:
    files = {"part/__init__.py": f"release = {release!r}\n", "part/late.py": f"release = {release!r}\n"}
    files["part/cli.py"] = SAY
    files |= {f"part/m{number}.py": f"x = {number}\n" for number in range(80)}
    return lock_of(make_wheel(folder / "wheels", "part", release, files=files, entry_points=COMMAND))


def sync(lock: Lockfile, tmp_path: Path, **options: object) -> SyncResult:
    root = tmp_path / "root"
    return asyncio.run(
        sync_generation(lock, root, NAME, options_for(tmp_path, **options), Reporter(), FolderDownloads())
    )


def release_of(prefix: Path) -> str:
    code = "import part, part.late; assert part.late.release == part.release; print(part.release)"
    command = [str(prefix / "bin/python"), "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, env={}).stdout.strip()


def numbers(tmp_path: Path) -> list[int]:
    return [generation.number for generation in generations(tmp_path / "root", NAME)]


def test_running_process_keeps_its_generation(tmp_path: Path) -> None:
    link = tmp_path / "root" / NAME
    sync(lock_at(tmp_path, "1"), tmp_path)
    code = (
        "import part, sys; print('ready', flush=True); sys.stdin.readline(); import part.late; print(part.late.release)"
    )
    command = [str(current(tmp_path / "root", NAME) / "bin/python"), "-c", code]
    running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    running.stdout.readline()

    sync(lock_at(tmp_path, "2"), tmp_path)

    assert release_of(link) == "2"
    output, _ = running.communicate("go\n")
    assert output.split() == ["1"]


def test_scripts_run_in_their_own_generation(tmp_path: Path) -> None:
    sync(lock_at(tmp_path, "1"), tmp_path)

    done = subprocess.run([tmp_path / "root" / NAME / "bin/part"], capture_output=True, text=True, check=True, env={})

    assert done.stdout.split() == ["1", str(current(tmp_path / "root", NAME))]


def test_nothing_to_do_is_seen_at_once(tmp_path: Path) -> None:
    lock = lock_at(tmp_path, "1")
    sync(lock, tmp_path, lock_digest=lock_digest(b"1"))

    assert not sync(lock, tmp_path, lock_digest=lock_digest(b"1")).changed
    assert fast_status(os.path.realpath(tmp_path / "root" / NAME), b"1")
    with pytest.raises(ChangesNeeded):
        sync(lock_at(tmp_path, "2"), tmp_path, check=True)
    assert numbers(tmp_path) == [1]


def test_rollback_and_forward_again_build_nothing(tmp_path: Path) -> None:
    locks = {release: lock_at(tmp_path, release) for release in "123"}
    for release in "123":
        sync(locks[release], tmp_path)
    link = tmp_path / "root" / NAME

    asyncio.run(rollback(tmp_path / "root", NAME, Reporter()))
    assert release_of(link) == "2"
    asyncio.run(rollback(tmp_path / "root", NAME, Reporter()))
    assert release_of(link) == "1"
    with pytest.raises(PrefixError, match="no earlier generation"):
        asyncio.run(rollback(tmp_path / "root", NAME, Reporter()))
    asyncio.run(rollback(tmp_path / "root", NAME, Reporter(), number=3))
    assert release_of(link) == "3"
    sync(locks["2"], tmp_path)

    assert release_of(link) == "2"
    assert numbers(tmp_path) == [1, 2, 3]


def test_a_rollback_holds_until_it_is_undone(tmp_path: Path) -> None:
    locks = {release: lock_at(tmp_path, release) for release in "1234"}
    for release in "123":
        sync(locks[release], tmp_path)
    root, link = tmp_path / "root", tmp_path / "root" / NAME

    asyncio.run(rollback(root, NAME, Reporter()))
    held = sync(locks["3"], tmp_path)
    again = sync(locks["4"], tmp_path)

    assert "generation 2" in str(held.held)
    assert (held.changed, again.changed, release_of(link), numbers(tmp_path)) == (False, False, "2", [1, 2, 3])
    assert [generation.is_held for generation in generations(root, NAME)] == [False, True, False]
    assert sync(locks["2"], tmp_path).held is None  # which is what is there
    with pytest.raises(ChangesNeeded):
        sync(locks["4"], tmp_path, check=True)

    asyncio.run(rollback(root, NAME, Reporter()))
    undone = asyncio.run(rollback(root, NAME, Reporter(), undo=True))

    assert (undone.number, undone.is_held, release_of(link)) == (3, False, "3")
    with pytest.raises(PrefixError, match="not held"):
        asyncio.run(rollback(root, NAME, Reporter(), undo=True))
    assert sync(locks["4"], tmp_path).changed
    assert release_of(link) == "4"


def test_generation_that_somebody_changed_is_not_used_again(tmp_path: Path) -> None:
    lock = lock_at(tmp_path, "1")
    sync(lock, tmp_path)
    (info,) = (tmp_path / "root" / NAME / "lib").rglob("*.dist-info/INSTALLER")
    info.unlink()
    info.write_text("pip\n")

    sync(lock, tmp_path)

    assert numbers(tmp_path) == [1, 2]
    assert current(tmp_path / "root", NAME).name.startswith("2-")


def test_prune_keeps_what_is_in_use_and_what_was_current_last(tmp_path: Path) -> None:
    for release in "12345":
        sync(lock_at(tmp_path, release), tmp_path)
        if release == "1":
            python = current(tmp_path / "root", NAME) / "bin/python"
            sleeper = subprocess.Popen([python, "-c", "import time; time.sleep(60)"])
    try:
        removed = asyncio.run(prune(tmp_path / "root", NAME, Reporter(), keep=1))
    finally:
        sleeper.kill()
        sleeper.wait()

    assert [path.name.split("-")[0] for path in removed] == ["2", "3"]
    assert numbers(tmp_path) == [1, 4, 5]
    assert [generation.is_current for generation in generations(tmp_path / "root", NAME)] == [False, False, True]


def test_prune_keeps_what_was_current_within_a_time(tmp_path: Path) -> None:
    """As jobs of other machines may run in it; also what was rolled back from."""
    root = tmp_path / "root"
    for release in "1234":
        sync(lock_at(tmp_path, release), tmp_path)
    asyncio.run(rollback(root, NAME, Reporter()))
    noted = root / ".generations" / NAME / "history"
    content = json.loads(noted.read_bytes())
    entry = {number: next(name for name in content["left"] if name.startswith(f"{number}-")) for number in "124"}
    content["left"][entry["1"]] -= 3 * 86400
    content["left"][entry["2"]] -= 86400
    noted.write_text(json.dumps(content))

    assert asyncio.run(prune(root, NAME, Reporter(), keep=0, keep_seconds=4 * 86400)) == ()
    removed = asyncio.run(prune(root, NAME, Reporter(), keep=0, keep_seconds=2 * 86400))

    assert [path.name for path in removed] == [entry["1"]]
    assert numbers(tmp_path) == [2, 3, 4]
    noted.unlink()  # nothing is known: all may have been current until the last switch
    assert asyncio.run(prune(root, NAME, Reporter(), keep=0, keep_seconds=60)) == ()
    asyncio.run(prune(root, NAME, Reporter(), keep=0))
    assert numbers(tmp_path) == [3]


def test_generations_share_their_files(tmp_path: Path) -> None:
    """Together with the cache, as ``nox -s bench -- disk`` measures it on the torch stack."""
    big = make_wheel(tmp_path / "wheels", "big", "1", files={"big/data.bin": os.urandom(SIZE)})
    taken = {}
    for number in range(1, 21):
        sync(lock_of(big, make_wheel(tmp_path / "wheels", "small", f"{number}")), tmp_path)
        command = ["du", "-sc", "--block-size=1", str(tmp_path / "root"), str(tmp_path / "cache")]
        taken[number] = int(subprocess.run(command, capture_output=True, text=True).stdout.split()[-2])

    assert numbers(tmp_path) == list(range(1, 21))
    assert taken[10] <= 1.15 * taken[1]
    assert taken[20] <= 1.25 * taken[1]


def test_link_that_is_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "root" / NAME).mkdir(parents=True)

    with pytest.raises(PrefixError) as refusal:
        sync(lock_at(tmp_path, "1"), tmp_path)

    assert refusal.value.code == "prefix-foreign"


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden"])
def test_name_that_is_a_path_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PrefixError):
        generations(tmp_path, name)


def test_many_syncs_of_one_root(tmp_path: Path) -> None:
    request = Request(lock_at(tmp_path, "1"), tmp_path / "root", options_for(tmp_path), tmp_path / "log", NAME)

    processes = [start(request, tmp_path) for _ in range(8)]

    ended = [process.communicate()[0].split()[-1] for process in processes]
    assert sorted(ended) == ["changed"] + ["unchanged"] * 7
    assert len((tmp_path / "log").read_text().split()) == 1
    assert numbers(tmp_path) == [1]


def test_killed_syncs_leave_a_whole_generation(tmp_path: Path) -> None:
    chance = random.Random(3)
    locks = {release: lock_at(tmp_path, release) for release in ("1", "2", "3")}
    sync(locks["1"], tmp_path)
    for number in range(5):
        request = Request(locks["23"[number % 2]], tmp_path / "root", options_for(tmp_path), None, NAME)
        process = start(request, tmp_path)
        wait_for_go(process)
        try:
            process.wait(chance.uniform(0, 0.3))
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
        assert release_of(tmp_path / "root" / NAME) in "123"

    sync(locks["1"], tmp_path)
    asyncio.run(prune(tmp_path / "root", NAME, Reporter(), keep=0))

    assert release_of(tmp_path / "root" / NAME) == "1"
    folder = tmp_path / "root/.generations" / NAME
    assert sorted(path.name.split("-")[0] for path in folder.iterdir()) == ["1", "history"]


PRUNE = (
    "import asyncio, sys; from pathlib import Path; from dataloader.install.switch.generations import prune;"
    "from dataloader.base.reporter import Reporter; print('go', flush=True);"
    "asyncio.run(prune(Path(sys.argv[1]), sys.argv[2], Reporter(), keep=0))"
)


def test_killed_prunes_leave_whole_generations(tmp_path: Path) -> None:
    chance = random.Random(5)
    for number in range(6):
        for release in "123":
            sync(lock_at(tmp_path, f"{release}.{number}"), tmp_path)
        command = [sys.executable, "-c", PRUNE, str(tmp_path / "root"), NAME]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        wait_for_go(process)
        try:
            process.wait(chance.uniform(0, 0.04))
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
        for generation in generations(tmp_path / "root", NAME):
            assert release_of(generation.path)

    asyncio.run(prune(tmp_path / "root", NAME, Reporter(), keep=0))

    folder = tmp_path / "root/.generations" / NAME
    assert len(numbers(tmp_path)) == 1
    assert sorted(path.name.split("-")[0] for path in folder.iterdir())[1:] == ["history"]


def test_pod_reads_it_elsewhere_as_another_user(tmp_path: Path) -> None:
    """Built in one mount namespace, mounted read-only at another path in a second one, used by another uid."""
    channel = tmp_path / "channel"
    make_python_package(channel)
    index_channel(channel)
    files = {"part/__init__.py": "release = '1'\n", "part/cli.py": SAY}
    wheel = make_wheel(tmp_path / "wheels", "part", "1", files=files, entry_points=COMMAND)
    version = "{}.{}.{}".format(*sys.version_info[:3])
    lock = lock_of(wheel, read_record(channel, "python"), python=LockedPython(source="conda", version=version))
    target = Path("/mnt/pod-env") / NAME
    old_mask = os.umask(0o022)
    try:
        sync(lock, tmp_path, target_prefix=target)
    finally:
        os.umask(old_mask)
    inside = (
        f"mount -t tmpfs tmpfs /mnt && mkdir /mnt/pod-env && mount --bind {tmp_path / 'root'} /mnt/pod-env"
        " && mount -o remount,ro,bind /mnt/pod-env"
        f" && cd / && exec setpriv --reuid 4242 --regid 4242 --clear-groups env -i {target}/bin/part"
    )
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
        pytest.skip("namespaces are not allowed here")

    done = subprocess.run(["unshare", "-m", "sh", "-c", inside], capture_output=True, text=True)

    generation = target.parent / current(tmp_path / "root", NAME).relative_to(tmp_path / "root")
    assert done.stdout.split() == ["1", str(generation)], done.stderr
