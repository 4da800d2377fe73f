"""Downloads under the faults that networks and disks have: each survived when anyone is good, else a clear error."""

from __future__ import annotations

import asyncio
import errno
import os
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from dataloader.base.errors import DataloaderError, DiskFull, ExitCode, IndexUnavailable, IntegrityError, UsageError
from dataloader.base.reporter import Reporter
from dataloader.index.client import IndexClient
from dataloader.index.settings import IndexSettings
from dataloader.index.web import download as download_module
from dataloader.index.web import part as part_module
from tests.helpers.server import Fault, IndexServer
from tests.helpers.wheels import make_wheel, sha256_of

SETTINGS = IndexSettings(index_url=None, timeout=0.35, retries=2, backoff=0.01)


class Progress(Reporter):
    def __init__(self) -> None:
        self.done: Counter[str] = Counter()
        self.totals: dict[str, int | None] = {}
        self.finished: list[str] = []

    def start(self, task: str, label: str, total: int | None, unit: str = "bytes") -> None:
        self.totals[task] = total

    def advance(self, task: str, amount: int) -> None:
        self.done[task] += amount

    def finish(self, task: str) -> None:
        self.finished.append(task)


class Collected:
    """A sink that keeps what came."""

    def __init__(self) -> None:
        self.content = b""
        self.restarts = 0

    def feed(self, data: bytes | memoryview) -> None:
        self.content += data

    def restart(self) -> None:
        self.content = b""
        self.restarts += 1


@dataclass
class Case:
    """One wheel of 2.5 MiB on a server, and where it should go."""

    server: IndexServer
    wheel: Path
    cache: Path
    destination: Path

    def get(
        self,
        settings: IndexSettings = SETTINGS,
        reporter: Reporter | None = None,
        *,
        sha256: str | None = None,
        size: int | None = None,
        destination: Path | None = None,
        sink: Collected | None = None,
    ) -> None:
        async def work() -> None:
            async with IndexClient(settings, reporter, cache_dir=self.cache) as client:
                url = self.server.file_url(self.wheel)
                await client.download(url, sha256 or self.sha256, size, destination or self.destination, sink=sink)

        asyncio.run(work())

    @property
    def sha256(self) -> str:
        return sha256_of(self.wheel)

    @property
    def size(self) -> int:
        return self.wheel.stat().st_size

    def assert_there(self) -> None:
        assert self.destination.read_bytes() == self.wheel.read_bytes()
        assert [path.name for path in self.destination.parent.iterdir()] == [self.destination.name]

    def assert_not_there(self) -> None:
        assert not self.destination.exists()


@pytest.fixture(scope="module")
def content() -> dict[str, bytes]:
    return {"big/x.bin": os.urandom(5 << 19)}


@pytest.fixture
def case(tmp_path: Path, content: dict[str, bytes]) -> Iterator[Case]:
    folder = tmp_path / "files"
    wheel = make_wheel(folder, "big", "1.0", files=content, compression=zipfile.ZIP_STORED)
    with IndexServer(folder) as server:
        yield Case(server, wheel, tmp_path / "cache", tmp_path / "out" / wheel.name)


@pytest.mark.parametrize("sized", [True, False])
def test_a_download_arrives_whole_with_its_progress(case: Case, sized: bool) -> None:
    progress = Progress()

    case.get(reporter=progress, size=case.size if sized else None)

    case.assert_there()
    assert progress.done == {case.wheel.name: case.size}
    assert progress.totals == {case.wheel.name: case.size if sized else None}
    assert progress.finished == [case.wheel.name]


HALF = 1 << 21
FAULTS = {
    "500": Fault("status", status=500),
    "404": Fault("status", status=404),
    "429": Fault("status", status=429, retry_after="0"),
    "reset": Fault("reset"),
    "reset in the middle": Fault("reset", after=HALF),
    "stall": Fault("stall"),
    "stall in the middle": Fault("stall", after=HALF),
    "truncated": Fault("truncate", after=HALF),
    "wrong bytes": Fault("corrupt"),
    "redirect loop": Fault("redirect-loop"),
}
PASSING = [name for name in FAULTS if name not in {"404", "wrong bytes", "redirect loop"}]


@pytest.mark.parametrize("name", PASSING)
def test_a_fault_that_passes_is_survived(case: Case, name: str) -> None:
    progress = Progress()
    case.server.fault("/files/*", replace(FAULTS[name], times=2))

    case.get(reporter=progress, size=case.size)

    case.assert_there()
    assert progress.done[case.wheel.name] == case.size


# All hundred pairs pass; ten, with each fault in each place, are enough every day.
@pytest.mark.parametrize(("first", "second"), list(zip(FAULTS, [*list(FAULTS)[3:], *list(FAULTS)[:3]], strict=True)))
def test_any_two_bad_mirrors_are_survived_when_a_third_is_good(case: Case, first: str, second: str) -> None:
    with IndexServer(case.server.folder) as one, IndexServer(case.server.folder) as two:
        one.fault("*", replace(FAULTS[first]))
        two.fault("*", replace(FAULTS[second]))

        case.get(replace(SETTINGS, mirrors={case.server.url: (one.url, two.url)}))

    case.assert_there()


@pytest.mark.parametrize(
    ("name", "code", "exit_code"),
    [
        ("500", "index-unreachable", ExitCode.RETRY),
        ("404", "index-unreachable", ExitCode.RETRY),
        ("429", "index-unreachable", ExitCode.RETRY),
        ("reset", "index-unreachable", ExitCode.RETRY),
        ("reset in the middle", "download-truncated", ExitCode.RETRY),
        ("stall", "index-unreachable", ExitCode.RETRY),
        ("stall in the middle", "index-unreachable", ExitCode.RETRY),
        ("truncated", "download-truncated", ExitCode.RETRY),
        ("wrong bytes", "hash-mismatch", ExitCode.INTEGRITY),
        ("redirect loop", "redirect-loop", ExitCode.RETRY),
    ],
)
def test_without_any_good_mirror_the_error_says_why(case: Case, name: str, code: str, exit_code: ExitCode) -> None:
    with IndexServer(case.server.folder) as mirror:
        for server in (mirror, case.server):
            server.fault("*", replace(FAULTS[name], after=min(FAULTS[name].after, 1000)))

        with pytest.raises(DataloaderError) as caught:
            case.get(replace(SETTINGS, mirrors={case.server.url: (mirror.url,)}), size=case.size)

    assert (caught.value.code, caught.value.exit_code) == (code, exit_code)
    assert case.wheel.name in caught.value.message
    case.assert_not_there()


def test_when_one_mirror_lies_and_the_other_is_away_trying_again_may_help(case: Case) -> None:
    with IndexServer(case.server.folder) as mirror:
        mirror.fault("*", Fault("corrupt"))
        case.server.fault("*", Fault("status", status=503))

        with pytest.raises(IndexUnavailable) as caught:
            case.get(replace(SETTINGS, mirrors={case.server.url: (mirror.url,)}))

    assert any("not the file that was promised" in cause for cause in caught.value.causes)


def test_a_download_goes_on_where_it_broke_off(case: Case) -> None:
    case.server.fault("/files/*", Fault("reset", after=HALF, times=1))

    case.get()

    case.assert_there()
    assert [seen.headers.get("range", "").split("=")[0] for seen in case.server.requests] == ["", "bytes"]


def test_a_download_goes_on_where_an_earlier_run_left_it(case: Case) -> None:
    case.server.fault("/files/*", Fault("truncate", after=HALF))
    with pytest.raises(IndexUnavailable):
        case.get(replace(SETTINGS, retries=0), size=case.size)
    case.server.heal()
    (part,) = case.destination.parent.iterdir()
    got = part.stat().st_size
    progress = Progress()

    case.get(reporter=progress)

    case.assert_there()
    assert got > 0
    assert case.server.requests[-1].headers["range"] == f"bytes={got}-"
    assert progress.done[case.wheel.name] == case.size


def test_a_whole_part_of_an_earlier_run_needs_no_request(case: Case) -> None:
    case.destination.parent.mkdir()
    case.destination.with_name(case.destination.name + ".part").write_bytes(case.wheel.read_bytes())

    case.get()

    case.assert_there()
    assert case.server.requests == []


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("size", [1000, 5 << 20])
def test_a_damaged_part_of_an_earlier_run_is_thrown_away(case: Case, ranges: bool, size: int) -> None:
    case.server.ranges = ranges
    case.destination.parent.mkdir()
    case.destination.with_name(case.destination.name + ".part").write_bytes(os.urandom(size))
    progress = Progress()

    case.get(reporter=progress)

    case.assert_there()
    assert progress.done[case.wheel.name] == case.size


def test_a_server_without_ranges_starts_again(case: Case) -> None:
    case.server.ranges = False
    case.server.fault("/files/*", Fault("reset", after=HALF, times=1))

    case.get()

    case.assert_there()


def test_a_file_that_changes_while_it_is_read_without_a_hash_is_not_mixed(case: Case) -> None:
    async def work() -> str:
        async with IndexClient(SETTINGS, cache_dir=case.cache) as client:
            case.server.hashes = False
            settings_index = f"{case.server.url}/simple/"
            (file,) = await client.project("big", only=(settings_index,))
            case.server.fault("/files/*", Fault("truncate", after=HALF, times=1))
            original = client._web.first_good

            async def changing(url: str, attempt: Callable[[str, int], object]) -> object:
                async def once(address: str, turn: int) -> object:
                    try:
                        return await attempt(address, turn)  # type: ignore[misc]
                    finally:
                        make_wheel(case.server.folder, "big", "1.0", files={"big/x.bin": b"new" * (1 << 20)})

                return await original(url, once)

            client._web.first_good = changing  # type: ignore[method-assign, assignment]
            return await client.digest(file)

    assert asyncio.run(work()) == case.sha256


def test_mirrors_that_failed_are_not_asked_first_again(case: Case) -> None:
    with IndexServer(case.server.folder) as mirror:
        mirror.fault("*", Fault("status", status=404))
        bad = IndexServer(case.server.folder)
        with bad:
            bad.fault("*", Fault("status", status=500))

            async def work() -> None:
                settings = replace(SETTINGS, mirrors={case.server.url: (bad.url, mirror.url)})
                async with IndexClient(settings, cache_dir=case.cache) as client:
                    for number in range(5):
                        url = case.server.file_url(case.wheel)
                        await client.download(url, case.sha256, None, case.destination.with_name(str(number)))

            asyncio.run(work())

        assert bad.count() == 1
        assert mirror.count() == 5


def test_many_downloads_of_one_file_at_once_do_not_mix_their_bytes(case: Case) -> None:
    async def work() -> None:
        async with IndexClient(SETTINGS, cache_dir=case.cache) as client:
            url = case.server.file_url(case.wheel)
            await asyncio.gather(*(client.download(url, case.sha256, None, case.destination) for _ in range(6)))

    asyncio.run(work())

    case.assert_there()


def test_a_rate_limit_is_kept_by_all_downloads_together(case: Case) -> None:
    settings = replace(SETTINGS, limit_rate=4 << 20)
    start = time.monotonic()

    async def work() -> None:
        async with IndexClient(settings, cache_dir=case.cache) as client:
            url = case.server.file_url(case.wheel)
            await asyncio.gather(
                *(client.download(url, case.sha256, None, case.destination.with_name(str(n))) for n in range(2))
            )

    asyncio.run(work())

    assert time.monotonic() - start > 2 * case.size / (4 << 20) * 0.9


def test_a_full_disk_is_said_and_leaves_nothing(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(part: object, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(part_module.Part, "append", full)

    with pytest.raises(DiskFull) as caught:
        case.get()

    assert caught.value.exit_code == ExitCode.RETRY
    assert str(case.destination.parent) in caught.value.message
    assert list(case.destination.parent.iterdir()) == []


def test_a_destination_that_cannot_be_written_is_said(case: Case, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(UsageError) as caught:
        case.get(destination=tmp_path / "file" / "x.whl")

    assert caught.value.code == "directory-unwritable"


def test_an_interrupted_download_leaves_a_part_to_go_on_with(case: Case) -> None:
    case.server.fault("/files/*", Fault("stall", after=HALF, times=1))

    async def work() -> None:
        async with IndexClient(replace(SETTINGS, timeout=60), cache_dir=case.cache) as client:
            url = case.server.file_url(case.wheel)
            await asyncio.wait_for(client.download(url, case.sha256, None, case.destination), 0.5)

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(work())
    (part,) = case.destination.parent.iterdir()
    assert part.stat().st_size > 0

    case.get()

    case.assert_there()
    assert case.server.requests[-1].headers["range"].startswith("bytes=")


def test_local_files_are_copied_and_judged_by_their_hash_too(case: Case) -> None:
    async def work(sha256: str) -> None:
        async with IndexClient(replace(SETTINGS, offline=True), cache_dir=case.cache) as client:
            await client.download(case.wheel.as_uri(), sha256, None, case.destination)

    with pytest.raises(IntegrityError):
        asyncio.run(work("0" * 64))
    case.assert_not_there()

    asyncio.run(work(case.sha256))
    case.assert_there()


def test_servers_that_go_away_in_turn_are_all_tried(case: Case) -> None:
    with ExitStack() as stack:
        mirrors = [stack.enter_context(IndexServer(case.server.folder)) for _ in range(3)]
        for mirror in mirrors[:2]:
            mirror.__exit__(None, None, None)
        stack.pop_all()
        case.get(replace(SETTINGS, mirrors={case.server.url: tuple(mirror.url for mirror in mirrors)}))
        mirrors[2].__exit__(None, None, None)

    case.assert_there()
    assert case.server.requests == []


@pytest.fixture(params=["kept", "let go", "over before"])
def telling(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is made of the rate of a connection, if it is told before the wheel is over."""
    if request.param != "over before":
        monkeypatch.setattr(download_module, "_TELLING", 1 << 19)
    if request.param == "kept":
        monkeypatch.setattr(download_module, "_SOON", 0.0)
    return str(request.param)


@pytest.mark.parametrize("name", ["none", *PASSING])
def test_a_sink_gets_the_bytes_whatever_happens_on_the_way(case: Case, telling: str, name: str) -> None:
    sink, progress = Collected(), Progress()
    if name != "none":
        case.server.fault("/files/*", replace(FAULTS[name], times=2))

    case.get(reporter=progress, sink=sink)

    assert sink.content == case.wheel.read_bytes()
    assert progress.done[case.wheel.name] == case.size
    kept = [case.destination.name] if telling == "kept" else []
    assert [path.name for path in case.destination.parent.iterdir()] == kept


def test_a_sink_starts_again_after_wrong_bytes(case: Case, telling: str) -> None:
    sink = Collected()
    with IndexServer(case.server.folder) as mirror:
        mirror.fault("*", Fault("corrupt"))
        case.get(replace(SETTINGS, mirrors={case.server.url: (mirror.url, case.server.url)}), sink=sink)

    assert sink.content == case.wheel.read_bytes()
    assert sink.restarts > 0
    assert telling


def test_a_sink_gets_what_an_earlier_run_left(case: Case) -> None:
    case.destination.parent.mkdir()
    case.destination.with_name(case.destination.name + ".part").write_bytes(case.wheel.read_bytes()[:HALF])
    sink = Collected()

    case.get(sink=sink)

    assert sink.content == case.wheel.read_bytes()
    assert case.server.requests[-1].headers["range"] == f"bytes={HALF}-"


def test_bytes_that_come_slowly_are_kept_for_a_later_run(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_module, "_TELLING", 1 << 18)
    monkeypatch.setattr(download_module, "_SOON", 1.0)
    case.server.fault("/files/*", Fault("stall", after=HALF, times=1))
    slow = replace(SETTINGS, timeout=60, limit_rate=1 << 19)

    async def work() -> None:
        async with IndexClient(slow, cache_dir=case.cache) as client:
            url = case.server.file_url(case.wheel)
            download = client.download(url, case.sha256, None, case.destination, sink=Collected())
            await asyncio.wait_for(download, 2)

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(work())
    (part,) = case.destination.parent.iterdir()
    assert part.stat().st_size > 1 << 18

    sink = Collected()
    case.get(sink=sink)
    assert sink.content == case.wheel.read_bytes()
    assert case.server.requests[-1].headers["range"].startswith("bytes=")


def test_what_came_too_early_to_be_judged_is_kept_when_it_breaks_off(case: Case) -> None:
    case.server.fault("/files/*", Fault("truncate", after=HALF))
    with pytest.raises(IndexUnavailable):
        case.get(replace(SETTINGS, retries=0), sink=Collected())
    (part,) = case.destination.parent.iterdir()
    assert part.read_bytes() == case.wheel.read_bytes()[:HALF]


def test_a_local_file_goes_to_a_sink_alone(case: Case) -> None:
    async def work() -> bytes:
        sink = Collected()
        async with IndexClient(replace(SETTINGS, offline=True), cache_dir=case.cache) as client:
            await client.download(case.wheel.as_uri(), case.sha256, None, case.destination, sink=sink)
        return sink.content

    assert asyncio.run(work()) == case.wheel.read_bytes()
    assert list(case.destination.parent.iterdir()) == []
