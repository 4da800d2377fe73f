"""Locks over real (sampled) channel metadata: CUDA builds from conda, and PyPI beside them."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dataloader.base.errors import IndexUnavailable
from dataloader.index.settings import IndexSettings
from dataloader.machine.target import Target
from dataloader.resolve.channels.rattler import Channels
from tests.bench.cases import SAMPLE
from tests.bench.samples import unpack_sample
from tests.helpers.channel_server import Channel, serve
from tests.helpers.command import run_command
from tests.helpers.conda import index_channel, make_conda_package
from tests.helpers.locks import Heard
from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_wheel


@pytest.fixture(scope="module")
def channels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack_sample(SAMPLE, tmp_path_factory.mktemp("channels"))


@pytest.fixture
def index(tmp_path: Path) -> Iterator[IndexServer]:
    shelf = tmp_path / "shelf"
    make_wheel(shelf, "peft", "0.7.0", requires=["torch>=1.13", "numpy>=1.17", "helper"])
    make_wheel(shelf, "peft", "0.99.0", requires=["torch>=2.5", "numpy>=1.17", "helper"])
    make_wheel(shelf, "helper", "1.0")
    make_wheel(shelf, "torch", "2.9.0", tag="cp311-cp311-manylinux_2_28_x86_64")
    make_wheel(shelf, "numpy", "2.9.0", tag="cp311-cp311-manylinux_2_28_x86_64")
    with IndexServer(shelf) as server:
        yield server


def lock(
    channels: Path, here: Path, index: IndexServer, names: tuple[str, ...], *arguments: str, fresh: bool = False
) -> dict[str, Any]:
    named = [word for name in names for word in ("-c", (channels / name).as_uri())]
    env = {**os.environ, "DATALOADER_INDEX_URL": index.index_url, "CONDA_OVERRIDE_GLIBC": "2.36"}
    done = run_command("lock", "--json", *arguments, *named, cwd=here, env=env, fresh=fresh)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def of(document: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [p for p in document["packages"] if p["name"] == name]
    return found  # type: ignore[no-any-return]


ALL = ("pytorch", "nvidia", "conda-forge")


def test_the_pytorch_channel_gives_its_cuda_build(channels: Path, tmp_path: Path, index: IndexServer) -> None:
    document = lock(channels, tmp_path, index, ALL, "--cuda=11.8", "--torch=2.1.0")

    torch = of(document, "pytorch")
    assert torch["build"].startswith("py3.")
    assert torch["build"].endswith("_cuda11.8_cudnn8.7.0_0")
    assert of(document, "pytorch-cuda")["version"] == "11.8"
    assert document["stack"]["cuda"] == "11.8"


def test_conda_forge_alone_gives_a_cuda118_build_and_never_a_cpu_one(
    channels: Path, tmp_path: Path, index: IndexServer
) -> None:
    document = lock(channels, tmp_path, index, ("conda-forge",), "--cuda=11.8", "--torch=2.1")

    assert of(document, "pytorch")["build"].startswith("cuda118")
    assert of(document, "libtorch")["build"].startswith("cuda118")
    assert of(document, "cuda-version")["version"] == "11.8"


def test_no_cuda_gives_a_cpu_build(channels: Path, tmp_path: Path, index: IndexServer) -> None:
    document = lock(channels, tmp_path, index, ("conda-forge",), "--cuda=none", "--torch=2.1")

    assert "cpu" in of(document, "pytorch")["build"]


def test_wheels_beside_condas_torch_and_numpy_fit_them(channels: Path, tmp_path: Path, index: IndexServer) -> None:
    document = lock(channels, tmp_path, index, ("conda-forge",), "--cuda=11.8", "--torch=2.1", "peft")

    assert of(document, "peft")["version"] == "0.7.0"
    assert of(document, "helper")["kind"] == "pypi"
    assert of(document, "pytorch")["build"].startswith("cuda118")
    assert of(document, "numpy")["kind"] == "conda"
    assert "torch" not in [p["name"] for p in document["packages"]]


def test_rattler_reads_the_lock_with_every_hash(channels: Path, tmp_path: Path, index: IndexServer) -> None:
    import rattler

    document = lock(channels, tmp_path, index, ("conda-forge",), "--cuda=11.8", "--torch=2.1", "peft")

    read = rattler.LockFile.from_path(tmp_path / "dataloader.lock")
    environment = read.default_environment()
    assert environment is not None
    packages = environment.packages(read.platforms()[0]) or []
    # rattler shows file:// URLs as paths, so packages are told apart by their file names
    digests = {Path(p.location).name: p.hashes.sha256.hex() for p in packages if p.hashes and p.hashes.sha256}
    assert digests == {p["url"].rsplit("/", 1)[-1]: p["sha256"] for p in document["packages"]}


def test_locking_again_changes_not_a_byte(channels: Path, tmp_path: Path, index: IndexServer) -> None:
    arguments = (channels, tmp_path, index, ("conda-forge",), "--cuda=11.8", "--torch=2.1", "peft")
    lock(*arguments, fresh=True)  # in an interpreter of its own, whose sets have an order of their own
    first = (tmp_path / "dataloader.lock").read_bytes()

    lock(*arguments, fresh=True)

    assert (tmp_path / "dataloader.lock").read_bytes() == first


def test_a_channel_that_does_not_answer_is_said_when_conda_is_required(tmp_path: Path, index: IndexServer) -> None:
    env = {**os.environ, "DATALOADER_INDEX_URL": index.index_url}
    done = run_command("lock", "--json", "conda:zlib", "-c", "http://127.0.0.1:9/channel", cwd=tmp_path, env=env)

    assert done.returncode == 3, done.stdout
    assert json.loads(done.stdout)["error"]["code"] == "channel-unreachable"


@pytest.mark.parametrize("fault", ["500", "404", "truncated", "corrupt", "stall"])
def test_channel_data_comes_from_the_first_mirror_that_works(tmp_path: Path, fault: str) -> None:
    Channel.folder = tmp_path / "channel"
    Channel.fault = "500"
    make_conda_package(Channel.folder, "part", "1", files={"share/part": "x" * 5000})
    index_channel(Channel.folder)
    heard = Heard()
    with serve() as url:
        mirrors = {url: (f"{url}mirror-{fault}/", f"{url}mirror-none/")}
        settings = IndexSettings(timeout=0.2, mirrors=mirrors)

        async def ask() -> list[str]:
            channels = Channels(
                (url,),
                Target(glibc="2.36"),
                priority="strict",
                cache=tmp_path / "cache",
                settings=settings,
                reporter=heard,
            )
            records = await channels.records("part")
            chosen = await channels.solve(["part"], {})
            return [record.url for record in (*records, *chosen)]

        found = asyncio.run(ask())

    # What the lock will hold is the channel's own address.
    assert found == [f"{url}linux-64/part-1-0.conda"] * 2
    assert {facts["address"] for event, facts in heard.events if event == "address-failed"} == {f"{url}mirror-{fault}"}
    assert any(path.startswith("/mirror-none/") for path in Channel.asked)


def test_offline_asks_no_channel(tmp_path: Path) -> None:
    Channel.folder = tmp_path / "channel"
    Channel.fault = "none"
    make_conda_package(Channel.folder, "part", "1", files={"share/part": "x"})
    index_channel(Channel.folder)
    with serve() as url:

        async def ask(*, offline: bool) -> int:
            settings = IndexSettings(offline=offline)
            one = Channels((url,), Target(glibc="2.36"), priority="strict", cache=tmp_path / "cache", settings=settings)
            return len(await one.records("part"))

        with pytest.raises(IndexUnavailable):
            asyncio.run(ask(offline=True))
        assert Channel.asked == []
        assert asyncio.run(ask(offline=False)) == 1
        Channel.asked.clear()
        assert asyncio.run(ask(offline=True)) == 1
        assert Channel.asked == []


def _records(url: str, tmp_path: Path, **settings: Any) -> list[str]:
    async def ask() -> list[str]:
        given = IndexSettings(timeout=2, **settings)
        target = Target(glibc="2.36")
        channels = Channels((url,), target, priority="strict", cache=tmp_path / "cache", settings=given)
        return [str(record.version) for record in await channels.records("demo")]

    return asyncio.run(ask())


def test_a_channel_that_forbids_what_it_lacks_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Object stores do: of shards and compressed forms of repodata.json that are not there."""
    make_conda_package(tmp_path / "channel", "demo", "1.0")
    index_channel(tmp_path / "channel")
    for compressed in (tmp_path / "channel").rglob("repodata.json.*"):
        compressed.unlink()
    Channel.folder, Channel.fault = tmp_path / "channel", "none"
    monkeypatch.setattr(Channel, "missing", 403)
    with serve() as url:
        assert _records(url, tmp_path) == ["1.0"]


def test_a_directory_may_be_the_mirror_of_a_channel(tmp_path: Path) -> None:
    make_conda_package(tmp_path / "a mirror", "demo", "1.0")
    index_channel(tmp_path / "a mirror")
    url = "https://channel.invalid/here/"

    assert _records(url, tmp_path, mirrors={url: ((tmp_path / "a mirror").as_uri(),)}) == ["1.0"]
