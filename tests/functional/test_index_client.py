"""The index client against a real server on this machine: what it asks, and what it says."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from dataloader.base.errors import DataloaderError, ExitCode, IndexUnavailable, IntegrityError, UsageError
from dataloader.base.reporter import Reporter
from dataloader.index.client import IndexClient
from dataloader.index.model import IndexFile, WheelMetadata
from dataloader.index.settings import IndexSettings
from tests.helpers.server import Fault, IndexServer
from tests.helpers.wheels import make_sdist, make_wheel, sha256_of

T = TypeVar("T")


class Listening(Reporter):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, message: str) -> None:
        self.lines.append(message)

    warn = debug = info


@pytest.fixture
def server(tmp_path: Path) -> Iterator[IndexServer]:
    folder = tmp_path / "files"
    make_wheel(folder, "foo", "1.0", requires=["bar>=1"], requires_python=">=3.8", extras=["x"])
    make_wheel(folder, "foo", "1.1", requires=["bar>=2"])
    make_sdist(folder, "foo", "1.2")
    make_wheel(folder, "bar", "2.0")
    with IndexServer(folder) as server:
        yield server


@pytest.fixture
def settings(server: IndexServer) -> IndexSettings:
    return IndexSettings(index_url=server.index_url, timeout=2, retries=1, backoff=0.01)


def ask(
    settings: IndexSettings,
    cache: Path,
    question: Callable[[IndexClient], Awaitable[T]],
    reporter: Reporter | None = None,
) -> T:
    async def work() -> T:
        async with IndexClient(settings, reporter, cache_dir=cache) as client:
            return await question(client)

    return asyncio.run(work())


def files_of(settings: IndexSettings, cache: Path, project: str = "foo") -> tuple[IndexFile, ...]:
    return ask(settings, cache, lambda client: client.project(project))


def metadata_of(settings: IndexSettings, cache: Path, project: str = "foo") -> WheelMetadata:
    async def question(client: IndexClient) -> WheelMetadata:
        return await client.metadata((await client.project(project))[0])

    return ask(settings, cache, question)


@pytest.mark.parametrize("json", [False, True])
def test_a_project_is_all_its_files(server: IndexServer, settings: IndexSettings, tmp_path: Path, json: bool) -> None:
    server.json = json
    server.yanked["foo-1.1-py3-none-any.whl"] = "oops"

    files = files_of(settings, tmp_path / "cache", "Foo")

    wheel = server.folder / "foo-1.0-py3-none-any.whl"
    assert [(file.version, file.kind, file.yanked) for file in files] == [
        ("1.0", "wheel", False),
        ("1.1", "wheel", True),
        ("1.2", "sdist", False),
    ]
    assert files[0].url == server.file_url(wheel)
    assert files[0].sha256 == sha256_of(wheel)
    assert files[0].size == (wheel.stat().st_size if json else None)
    assert files[0].requires_python == ">=3.8"
    assert files[1].yanked_reason == "oops"


def test_a_project_that_no_index_knows_has_no_files(settings: IndexSettings, tmp_path: Path) -> None:
    assert files_of(settings, tmp_path / "cache", "nothing") == ()


def test_a_page_is_asked_for_once_and_then_again_only_when_old(
    server: IndexServer, settings: IndexSettings, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"

    async def thrice(client: IndexClient) -> list[tuple[IndexFile, ...]]:
        return list(await asyncio.gather(*(client.project("foo") for _ in range(3))))

    first = ask(settings, cache, thrice)
    again = files_of(settings, cache)
    assert first == [again] * 3
    assert server.count("/simple/foo/") == 1

    assert files_of(replace(settings, refresh=True), cache) == again
    assert server.count("/simple/foo/") == 2
    assert server.requests[-1].headers["if-none-match"]

    make_wheel(server.folder, "foo", "3.0")
    assert files_of(settings, cache) == again
    assert len(files_of(replace(settings, freshness=0), cache)) == len(again) + 1


def test_a_server_decides_how_long_its_page_stays_fresh(
    server: IndexServer, settings: IndexSettings, tmp_path: Path
) -> None:
    for control, expected in (("max-age=3600", 1), ("max-age=0", 2), ("no-cache", 2), ("no-store", 2)):
        server.cache_control = control
        server.requests.clear()
        for _ in range(2):
            files_of(replace(settings, freshness=0), tmp_path / control)
        assert server.count("/simple/foo/") == expected, control


@pytest.mark.parametrize(
    ("metadata", "ranges", "requests"),
    [
        ("hashed", True, {"/files/foo-1.0-py3-none-any.whl.metadata": 1}),
        ("unhashed", True, {"/files/foo-1.0-py3-none-any.whl.metadata": 1}),
        ("no", True, {"/files/foo-1.0-py3-none-any.whl": 1}),
        ("no", False, {"/files/foo-1.0-py3-none-any.whl": 1}),
    ],
)
def test_metadata_takes_one_request_and_is_remembered(
    server: IndexServer,
    settings: IndexSettings,
    tmp_path: Path,
    metadata: str,
    ranges: bool,
    requests: dict[str, int],
) -> None:
    server.metadata = metadata  # type: ignore[assignment]
    server.ranges = ranges

    found = metadata_of(settings, tmp_path / "cache")
    again = metadata_of(settings, tmp_path / "cache")

    assert found == again
    assert found == WheelMetadata(
        name="foo", version="1.0", requires_dist=("bar>=1",), requires_python=">=3.8", extras=("x",)
    )
    assert {path: n for path, n in server.counts().items() if path.startswith("/files/")} == requests


def test_metadata_of_a_large_wheel_is_read_without_the_wheel(
    server: IndexServer, settings: IndexSettings, tmp_path: Path
) -> None:
    files = {f"big/m{number:04}.bin": os.urandom(2000) for number in range(1500)}
    wheel = make_wheel(server.folder, "big", "1.0", requires=["bar"], files=files)

    assert metadata_of(settings, tmp_path / "cache", "big").requires_dist == ("bar",)
    assert server.count(f"/files/{wheel.name}") == 2
    assert all("range" in seen.headers for seen in server.requests if seen.path.endswith(wheel.name))


def test_metadata_of_a_large_wheel_without_ranges_keeps_the_wheel_for_the_install(
    server: IndexServer, settings: IndexSettings, tmp_path: Path
) -> None:
    server.ranges = False
    wheel = make_wheel(server.folder, "big", "1.0", requires=["bar"], files={"big/x.bin": os.urandom(3 << 20)})

    async def question(client: IndexClient) -> WheelMetadata:
        file = (await client.project("big"))[0]
        metadata = await client.metadata(file)
        server.requests.clear()
        await client.download(file.url, file.sha256, None, tmp_path / "out" / file.filename)
        return metadata

    assert ask(settings, tmp_path / "cache", question).requires_dist == ("bar",)
    assert (tmp_path / "out" / wheel.name).read_bytes() == wheel.read_bytes()
    assert server.requests == []


@pytest.mark.parametrize("hashes", [True, False])
def test_a_kept_wheel_that_was_damaged_is_fetched_again(
    server: IndexServer, settings: IndexSettings, tmp_path: Path, hashes: bool
) -> None:
    server.ranges, server.hashes = False, hashes
    make_wheel(server.folder, "big", "1.0", requires=["bar"], files={"big/x.bin": os.urandom(3 << 20)})
    metadata_of(settings, tmp_path / "cache", "big")
    (kept,) = (tmp_path / "cache" / "index" / "files").iterdir()
    kept.write_bytes(kept.read_bytes()[:-1] + b"?")
    shutil.rmtree(tmp_path / "cache" / "index" / "metadata")

    assert metadata_of(settings, tmp_path / "cache", "big").requires_dist == ("bar",)


def test_announced_metadata_that_is_not_there_is_read_from_the_wheel(
    server: IndexServer, settings: IndexSettings, tmp_path: Path
) -> None:
    server.metadata = "hashed"
    server.fault("*.metadata", Fault("status", status=404))

    assert metadata_of(settings, tmp_path / "cache").requires_dist == ("bar>=1",)


def test_metadata_with_another_hash_than_announced_is_refused(
    server: IndexServer, settings: IndexSettings, tmp_path: Path
) -> None:
    server.metadata = "hashed"
    server.fault("*.metadata", Fault("corrupt"))

    with pytest.raises(IntegrityError) as caught:
        metadata_of(settings, tmp_path / "cache")

    assert caught.value.code == "hash-mismatch"


def test_a_wheel_that_is_no_zip_file_is_named(server: IndexServer, settings: IndexSettings, tmp_path: Path) -> None:
    (server.folder / "bad-1.0-py3-none-any.whl").write_bytes(b"x" * 100)

    with pytest.raises(IntegrityError) as caught:
        metadata_of(settings, tmp_path / "cache", "bad")

    assert caught.value.code == "wheel-malformed"
    assert any("bad-1.0-py3-none-any.whl" in cause for cause in caught.value.causes)


def test_files_of_all_indexes_and_find_links_are_joined_and_the_first_of_a_name_wins(
    server: IndexServer, settings: IndexSettings, tmp_path: Path
) -> None:
    local = make_wheel(tmp_path / "local", "foo", "9.0")
    make_wheel(tmp_path / "other", "foo", "1.0", requires=["different"])
    make_wheel(tmp_path / "other", "foo", "1.5")
    with IndexServer(tmp_path / "other") as other:
        files = files_of(
            replace(settings, extra_index_urls=(other.index_url,), find_links=(str(tmp_path / "local"),)),
            tmp_path / "cache",
        )

    by_version = {file.version: file for file in files}
    assert sorted(by_version) == ["1.0", "1.1", "1.2", "1.5", "9.0"]
    assert by_version["1.0"].url.startswith(server.url)
    assert by_version["1.5"].url.startswith(other.url)
    assert by_version["9.0"].url == local.as_uri()


def test_a_project_may_be_bound_to_an_index(server: IndexServer, settings: IndexSettings, tmp_path: Path) -> None:
    make_wheel(tmp_path / "other", "foo", "1.5")
    with IndexServer(tmp_path / "other") as other:
        bound = replace(settings, index_for={"Foo": (other.index_url,)}, find_links=(str(server.folder),))
        assert [file.version for file in files_of(bound, tmp_path / "cache")] == ["1.5"]
        assert [file.version for file in files_of(bound, tmp_path / "cache", "bar")] == ["2.0"]


def test_other_indexes_can_be_asked_while_running(server: IndexServer, settings: IndexSettings, tmp_path: Path) -> None:
    make_wheel(tmp_path / "other", "foo", "1.5+cu118")
    with IndexServer(tmp_path / "other") as other:

        async def question(client: IndexClient) -> list[list[str]]:
            before = await client.project("foo")
            after = await client.project("foo", only=(other.index_url,))
            return [[file.version for file in files] for files in (before, after, await client.project("bar"))]

        before, after, rest = ask(settings, tmp_path / "cache", question)

    assert (before, after, rest) == (["1.0", "1.1", "1.2"], ["1.5+cu118"], ["2.0"])


def test_local_indexes_and_pages_are_read_without_a_network(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "files", "foo", "1.0", requires=["bar"])
    page = tmp_path / "simple" / "foo" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text(f'<a href="../../files/{wheel.name}#sha256={sha256_of(wheel)}">x</a>')
    links = tmp_path / "links.html"
    links.write_text('<a href="files/bar-1.0.tar.gz">x</a>')
    settings = IndexSettings(
        index_url=(tmp_path / "simple").as_uri(),
        find_links=(str(links), str(wheel), str(tmp_path / "not-there")),
        offline=True,
    )
    reporter = Listening()

    async def question(client: IndexClient) -> tuple[WheelMetadata, str, tuple[IndexFile, ...]]:
        (file,) = await client.project("foo")
        unhashed = file._replace(sha256=None)
        return await client.metadata(file), await client.digest(unhashed), await client.project("bar")

    metadata, digest, bar = ask(settings, tmp_path / "cache", question, reporter)

    assert metadata.requires_dist == ("bar",)
    assert digest == sha256_of(wheel)
    assert [file.filename for file in bar] == ["bar-1.0.tar.gz"]
    assert any("not-there" in line for line in reporter.lines)


def test_a_hash_that_no_index_gives_is_found_by_download_and_remembered(
    server: IndexServer, settings: IndexSettings, tmp_path: Path
) -> None:
    server.hashes = False

    async def question(client: IndexClient) -> str:
        return await client.digest((await client.project("foo"))[0])

    digests = {ask(settings, tmp_path / "cache", question) for _ in range(2)}

    assert digests == {sha256_of(server.folder / "foo-1.0-py3-none-any.whl")}
    assert server.count("/files/foo-1.0-py3-none-any.whl") == 1


def test_offline_uses_the_cache_and_names_what_is_missing(
    server: IndexServer, settings: IndexSettings, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    online = metadata_of(settings, cache)
    server.requests.clear()
    offline = replace(settings, offline=True, freshness=0)

    assert metadata_of(offline, cache) == online
    for question in (
        lambda client: client.project("bar"),
        lambda client: client.download(f"{server.url}/files/x.whl", "a" * 64, None, tmp_path / "x.whl"),
    ):
        with pytest.raises(IndexUnavailable) as caught:
            ask(offline, cache, question)
        assert caught.value.code == "offline-missing"
        assert caught.value.exit_code == ExitCode.RETRY
    assert server.requests == []


def test_who_stops_waiting_stops_nobody_else_and_failures_without_listeners_are_quiet(
    server: IndexServer, settings: IndexSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.fault("/simple/bar/", Fault("stall"))
    server.fault("/simple/foo/", Fault("status", status=503, retry_after="1", times=1))

    async def question(client: IndexClient) -> tuple[IndexFile, ...]:
        first = asyncio.create_task(client.project("foo"))
        second = asyncio.create_task(client.project("foo"))
        lost = asyncio.create_task(client.project("bar"))
        await asyncio.sleep(0.1)
        first.cancel()
        lost.cancel()
        return await second

    files = ask(replace(settings, timeout=0.3, retries=1), tmp_path / "cache", question)
    gc.collect()

    assert len(files) == 3
    assert caplog.records == []


# credentials


def test_credentials_of_the_url_are_sent_and_never_shown(
    server: IndexServer, settings: IndexSettings, tmp_path: Path
) -> None:
    server.auth = ("me", "s3cret")
    url = server.index_url.replace("http://", "http://me:s3cret@")
    reporter = Listening()

    async def question(client: IndexClient) -> tuple[IndexFile, ...]:
        files = await client.project("foo")
        await client.metadata(files[0])
        return files

    files = ask(replace(settings, index_url=url), tmp_path / "cache", question, reporter)

    assert len(files) == 3
    assert "s3cret" not in repr(files) + repr(reporter.lines)
    cached = [path.read_bytes() for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert cached
    assert not any(b"s3cret" in content for content in cached)


def test_credentials_of_netrc_are_sent(server: IndexServer, settings: IndexSettings, tmp_path: Path) -> None:
    server.auth = ("me", "s3cret")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password s3cret\n")
    netrc.chmod(0o600)

    assert len(files_of(replace(settings, environ={"NETRC": str(netrc)}), tmp_path / "cache")) == 3


@pytest.mark.parametrize("user_info", ["", "me:wr0ng@"])
def test_missing_or_wrong_credentials_say_the_host_and_where_they_are_looked_for(
    server: IndexServer, settings: IndexSettings, tmp_path: Path, user_info: str
) -> None:
    server.auth = ("me", "s3cret")
    url = server.index_url.replace("http://", f"http://{user_info}")

    with pytest.raises(UsageError) as caught:
        files_of(replace(settings, index_url=url), tmp_path / "cache")

    error = caught.value
    assert (error.code, error.exit_code) == ("index-auth", ExitCode.USAGE)
    assert "127.0.0.1" in error.message
    assert "netrc" in error.causes[0]
    assert "wr0ng" not in repr((error.message, error.causes, error.suggestions))
    assert len(server.requests) == 1


def test_an_index_that_forbids_what_it_does_not_have_does_not_know_the_project(
    server: IndexServer, settings: IndexSettings, tmp_path: Path
) -> None:
    # Object stores without leave to list answer 403 where others say 404.
    server.fault("/simple/nothing/", Fault("status", status=403))

    assert files_of(settings, tmp_path / "cache", "nothing") == ()


def test_an_index_that_forbids_everything_wants_credentials(
    server: IndexServer, settings: IndexSettings, tmp_path: Path
) -> None:
    server.fault("/simple/*", Fault("status", status=403))

    with pytest.raises(UsageError) as caught:
        files_of(settings, tmp_path / "cache")

    assert caught.value.code == "index-auth"


def test_the_keyring_is_asked_after_the_server_asked(
    server: IndexServer, settings: IndexSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.auth = ("me", "s3cret")
    package = tmp_path / "modules" / "keyring"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "from collections import namedtuple\n"
        "Found = namedtuple('Found', 'username password')\n"
        f"def get_credential(service, user): return Found('me', 's3cret') if service == {server.url!r} else None\n"
    )
    (package / "errors.py").write_text("class KeyringError(Exception): pass\n")
    monkeypatch.syspath_prepend(package.parent)

    assert len(files_of(settings, tmp_path / "cache")) == 3
    assert [("authorization" in seen.headers) for seen in server.requests] == [False, True]


# proxies and certificates


def test_requests_go_through_the_proxy(server: IndexServer, settings: IndexSettings, tmp_path: Path) -> None:
    proxied = replace(settings, index_url="http://index.invalid/simple", proxy=server.url)

    assert len(files_of(proxied, tmp_path / "cache")) == 3
    assert server.requests[0].headers["host"] == "index.invalid"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    pem, key = tmp_path / "server.pem", tmp_path / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=tests"
    subprocess.run(
        [*command.split(), "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", pem],
        check=True,
        capture_output=True,
    )
    pem.write_text(pem.read_text() + key.read_text())
    return pem


def test_a_certificate_is_trusted_only_when_it_was_named(
    server: IndexServer, settings: IndexSettings, tmp_path: Path, certificate: Path
) -> None:
    with IndexServer(server.folder, tls=certificate) as secure:
        plain = replace(settings, index_url=secure.index_url)
        with pytest.raises(IndexUnavailable, match="not trusted") as caught:
            files_of(plain, tmp_path / "cache")
        assert any("SSL_CERT_FILE" in suggestion for suggestion in caught.value.suggestions)

        for trusting in (
            replace(plain, cert=str(certificate)),
            replace(plain, environ={"SSL_CERT_FILE": str(certificate)}),
            replace(plain, environ={"REQUESTS_CA_BUNDLE": str(certificate)}),
            replace(plain, trusted_hosts=("127.0.0.1",)),
        ):
            assert len(files_of(replace(trusting, refresh=True), tmp_path / "cache")) == 3


def test_of_a_certificate_that_reqwest_refuses_openssl_has_the_last_word(
    server: IndexServer, settings: IndexSettings, tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    with IndexServer(server.folder, tls=certificate) as secure:
        asked = replace(settings, index_url=secure.index_url)
        with pytest.raises(IndexUnavailable, match="not trusted"):
            files_of(replace(asked, environ={}), tmp_path / "cache")

        # the server's certificate is an authority's own, which rustls takes for none of a server
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        trusting = replace(asked, environ={"SSL_CERT_FILE": str(certificate)})
        assert len(files_of(trusting, tmp_path / "cache")) == 3


@pytest.mark.parametrize("holds", ["nothing", "no certificate"])
def test_variables_that_name_no_certificates_are_told_as_openssl_tells_them(
    server: IndexServer, settings: IndexSettings, tmp_path: Path, holds: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "none.pem"
    if holds == "no certificate":
        file.write_text("")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)

    with pytest.raises(UsageError, match=r"none\.pem"):
        files_of(replace(settings, environ={"SSL_CERT_FILE": str(file)}), tmp_path / "cache")


def test_a_system_without_certificates_has_certifis(
    server: IndexServer, settings: IndexSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "certs").mkdir()
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "certs"))
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)

    asked = replace(settings, environ={"SSL_CERT_DIR": str(tmp_path / "certs")})
    assert len(files_of(asked, tmp_path / "cache")) == 3


def test_certificates_that_cannot_be_read_are_named(
    server: IndexServer, settings: IndexSettings, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"missing\.pem"):
        files_of(replace(settings, cert=str(tmp_path / "missing.pem")), tmp_path / "cache")


# faults of an index


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault("status", status=500), "index-unreachable"),
        (Fault("status", status=429), "index-unreachable"),
        (Fault("reset"), "index-unreachable"),
        (Fault("stall"), "index-unreachable"),
        (Fault("truncate", after=20), "index-unreachable"),
        (Fault("redirect-loop"), "redirect-loop"),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
def test_an_index_that_keeps_failing_is_an_error_to_try_again(
    server: IndexServer, settings: IndexSettings, tmp_path: Path, fault: Fault, code: str
) -> None:
    server.fault("/simple/foo/", fault)

    with pytest.raises(IndexUnavailable) as caught:
        files_of(replace(settings, timeout=0.3), tmp_path / "cache")

    assert (caught.value.code, caught.value.exit_code) == (code, ExitCode.RETRY)
    assert server.index_url.split("/")[2].split(":")[0] in caught.value.message


@pytest.mark.parametrize("kind", ["status", "reset", "stall", "truncate"])
def test_an_index_that_fails_once_is_asked_again(
    server: IndexServer, settings: IndexSettings, tmp_path: Path, kind: str
) -> None:
    server.fault("/simple/foo/", Fault(kind, times=1, after=20 if kind == "truncate" else 0))  # type: ignore[arg-type]

    assert len(files_of(replace(settings, timeout=0.3), tmp_path / "cache")) == 3


def test_the_wait_that_a_server_asks_for_is_kept(server: IndexServer, settings: IndexSettings, tmp_path: Path) -> None:
    server.fault("/simple/foo/", Fault("status", status=429, retry_after="1", times=1))
    start = time.monotonic()

    assert len(files_of(settings, tmp_path / "cache")) == 3
    assert time.monotonic() - start >= 1


def test_a_server_that_asks_for_an_hour_is_given_up_at_once(
    server: IndexServer, settings: IndexSettings, tmp_path: Path
) -> None:
    server.fault("/simple/foo/", Fault("status", status=503, retry_after="3600"))

    with pytest.raises(IndexUnavailable, match="503") as caught:
        files_of(settings, tmp_path / "cache")

    assert caught.value.causes == ("it asks to wait 3600 s",)
    assert len(server.requests) == 1


def test_nobody_listening_is_said_with_the_address(tmp_path: Path) -> None:
    with pytest.raises(IndexUnavailable, match=r"127\.0\.0\.1 could not be reached") as caught:
        files_of(IndexSettings(index_url="http://127.0.0.1:9/simple", retries=0), tmp_path / "cache")

    assert caught.value.code == "index-unreachable"


@pytest.mark.parametrize("url", ["ftp://h.org/simple", "http://[::1/simple", "http:///simple"])
def test_an_address_that_is_none_is_a_mistake_of_the_user(tmp_path: Path, url: str) -> None:
    with pytest.raises(DataloaderError) as caught:
        files_of(IndexSettings(index_url=url, retries=0), tmp_path / "cache")

    assert (caught.value.code, caught.value.exit_code) == ("index-bad-url", ExitCode.USAGE)


def test_a_page_of_nonsense_is_named(server: IndexServer, settings: IndexSettings, tmp_path: Path) -> None:
    server.raw_pages["/simple/foo/"] = b"welcome to the hotel network"

    with pytest.raises(IndexUnavailable, match="/simple/foo/") as caught:
        files_of(settings, tmp_path / "cache")

    assert caught.value.code == "index-bad-page"


def test_a_mirror_of_the_index_takes_over_and_files_keep_their_own_address(
    server: IndexServer, settings: IndexSettings, tmp_path: Path
) -> None:
    with IndexServer(server.folder) as mirror:
        mirrored = replace(settings, mirrors={server.url: (mirror.url,)})
        files = files_of(mirrored, tmp_path / "cache")

        assert files[0].url.startswith(server.url)
        assert (server.requests, len(mirror.requests)) == ([], 1)

        mirror.fault("*", Fault("status", status=500))
        assert len(files_of(replace(mirrored, refresh=True), tmp_path / "cache")) == 3
        assert len(server.requests) == 1


@pytest.mark.parametrize("location", ["http://127.0.0.1:99999/x", "http://127.0.0.1:65536/x", "http://127.0.0.1:-1/x"])
def test_a_redirect_to_an_address_that_there_cannot_be_is_told(
    server: IndexServer, settings: IndexSettings, tmp_path: Path, location: str
) -> None:
    server.fault("*/foo/*", Fault("redirect", location=location))
    with pytest.raises(UsageError) as caught:
        files_of(settings, tmp_path / "cache")
    assert caught.value.code == "index-bad-url"
    assert location in caught.value.message
