"""Parts of images: names, logins, layers that are packed and unpacked, archives that no one should unpack."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from dataloader.base.errors import IntegrityError, UsageError
from dataloader.base.reporter import Reporter
from dataloader.index.settings import IndexSettings
from dataloader.oci.archive import packed
from dataloader.oci.auth import RegistryCredentials
from dataloader.oci.content import ContentEntry, Group
from dataloader.oci.docker_config import Login, find_login
from dataloader.oci.model import LAYER, Compression
from dataloader.oci.reference import parse_reference
from dataloader.oci.unpack import ArrivingLayer


@pytest.mark.parametrize(
    ("text", "host", "repository", "named", "plain"),
    [
        ("localhost:5000/a/b", "localhost:5000", "a/b", "latest", True),
        ("127.0.0.2/a:1", "127.0.0.2", "a", "1", True),
        ("[::1]:5000/a:1", "[::1]:5000", "a", "1", True),
        ("ghcr.io/team/x:v1.2-3", "ghcr.io", "team/x", "v1.2-3", False),
        ("team/x", "docker.io", "team/x", "latest", False),
        ("debian:12-slim", "docker.io", "library/debian", "12-slim", False),
        ("oci://r.test/x@sha256:" + "a" * 64, "r.test", "x", "sha256:" + "a" * 64, False),
        ("r.test/x:t@sha256:" + "a" * 64, "r.test", "x", "sha256:" + "a" * 64, False),
    ],
)
def test_names_are_read_as_docker_reads_them(text: str, host: str, repository: str, named: str, plain: bool) -> None:
    found = parse_reference(text)

    assert (found.host, found.repository, found.named, found.plain_http) == (host, repository, named, plain)
    assert parse_reference(str(found)) == found


@pytest.mark.parametrize(
    "text",
    ["", "r.test/", "r.test/UP", "r.test/a:b c", "r.test/a@sha256:1", "http://r.test/a", "r.test/a:", "r.test/a@"],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no name of an image"):
        parse_reference(text)


def test_the_closest_login_is_taken(tmp_path: Path) -> None:
    def auth(user: str) -> dict[str, str]:
        return {"auth": base64.b64encode(f"{user}:pw".encode()).decode()}

    config = {
        "auths": {
            "r.test": auth("host"),
            "r.test/team": auth("team"),
            "https://index.docker.io/v1/": auth("hub"),
            "t.test": {"identitytoken": "tok"},
            "u.test": {"username": "plain", "password": "p"},
            "bad.test": {"auth": "###"},
        }
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    environ = {"DOCKER_CONFIG": str(tmp_path)}

    def login(host: str, repository: str = "x") -> Login | None:
        return find_login(host, repository, environ, Reporter())

    assert login("r.test") == Login("host", "pw")
    assert login("r.test", "team/x") == Login("team", "pw")
    assert login("docker.io") == Login("hub", "pw")
    assert login("t.test") == Login("<token>", "tok", is_token=True)
    assert login("u.test") == Login("plain", "p")
    assert login("bad.test") is None
    assert login("other.test") is None


names = st.text("aé\u200bZ.-_ ", min_size=1, max_size=70).filter(lambda name: name.strip(". ") == name)
paths = st.lists(names, min_size=1, max_size=4).map("/".join)


@given(
    files=st.dictionaries(paths, st.binary(max_size=3000), max_size=8),
    compression=st.sampled_from(["zstd", "gzip"]),
    piece=st.integers(1, 5000),
)
@settings(max_examples=40, deadline=None)
def test_a_layer_unpacks_to_what_was_packed_in_whatever_pieces_it_comes(
    files: dict[str, bytes], compression: Compression, piece: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    files = {path: data for path, data in files.items() if not any(other.startswith(f"{path}/") for other in files)}
    entries = [
        ContentEntry(
            path, len(data), hashlib.sha256(data).hexdigest(), bool(len(data) % 2), 1_000_000_000, content=data
        )
        for path, data in sorted(files.items())
    ]
    entries.append(ContentEntry("zz-link", 0, target="x" * 150))
    group = Group(name="g", packages=(), entries=tuple(entries))
    out, again = io.BytesIO(), io.BytesIO()
    blob, _ = packed(group, Path("/nowhere"), "/opt/my env", compression, out)
    assert packed(group, Path("/nowhere"), "/opt/my env", compression, again)[0] == blob
    assert blob.digest == f"sha256:{hashlib.sha256(out.getvalue()).hexdigest()}"

    folder = tmp_path_factory.mktemp("layer") / "files"
    folder.mkdir()
    arriving = ArrivingLayer(folder, "/opt/my env", blob.media_type, "the image")
    for turn in range(2):
        for start in range(0, blob.size, piece):
            arriving.feed(memoryview(out.getvalue())[start : start + piece])
            if turn == 0 and start > piece:
                break
        if turn == 0:
            arriving.restart()

    found = {entry.path: entry for entry in arriving.finished()}
    assert found.keys() == {*files, "zz-link"}
    assert found["zz-link"].target == "x" * 150
    for path, data in files.items():
        assert (folder / path).read_bytes() == data
        assert found[path].sha256 == hashlib.sha256(data).hexdigest()
        assert (folder / path).stat().st_mtime == 1_000_000_000
        assert bool((folder / path).stat().st_mode & 0o100) == bool(len(data) % 2)


def member(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", data: bytes = b"x"
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.size = len(data) if kind == tarfile.REGTYPE else 0
    return info, data


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ([member("etc/passwd")], "archive-escapes"),
        ([member("opt/env/../../etc/x")], "archive-escapes"),
        ([member("/opt/env/x")], "archive-escapes"),
        ([member("opt/environment")], "archive-escapes"),
        ([member("opt/env/a", tarfile.SYMTYPE, "/etc"), member("opt/env/a/passwd")], "archive-escapes"),
        ([member("opt/env/a"), member("opt/env/a/b")], "archive-escapes"),
        ([member("opt/env/a"), member("opt/env/a")], "image-malformed"),
        ([member("opt/env/dev", tarfile.CHRTYPE)], "image-malformed"),
        ([member("opt/env/pipe", tarfile.FIFOTYPE)], "image-malformed"),
        ([member("opt/env/hard", tarfile.LNKTYPE, "opt/env/other")], "image-malformed"),
        ([member("opt/env/" + "a/" * 200 + "x")], "image-malformed"),
    ],
)
def test_archives_that_lead_astray_leave_nothing_outside(
    members: list[tuple[tarfile.TarInfo, bytes]], code: str, tmp_path: Path
) -> None:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    folder = tmp_path / "files"
    folder.mkdir()
    arriving = ArrivingLayer(folder, "/opt/env", f"{LAYER}+zstd", "the image")

    arriving.feed(zstandard.compress(whole.getvalue()))

    with pytest.raises(IntegrityError) as refusal:
        arriving.finished()
    assert refusal.value.code == code
    assert [path.name for path in tmp_path.iterdir()] == ["files"]


@pytest.mark.parametrize("data", [b"", b"not zstd", zstandard.compress(b"x" * 700), zstandard.compress(b"\0" * 100)])
def test_what_is_no_layer_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    arriving = ArrivingLayer(tmp_path / "files", "/opt/env", f"{LAYER}+zstd", "the image")
    arriving.feed(data)
    with pytest.raises(IntegrityError, match="the image"):
        arriving.finished()


@pytest.mark.parametrize(("host", "realm", "goes"), [
    ("registry.test", "http://token.test/t", False), ("registry.test", "https://token.test/t", True),
    ("localhost:5000", "http://localhost:5001/t", True), ("registry.test", "HTTP://token.test/t", False),
])  # fmt: skip
def test_a_login_travels_as_its_registry_does(
    host: str, realm: str, goes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"auths": {host: {"username": "u", "password": "p"}}}))
    reference = parse_reference(f"{host}/r/n:1")
    told: list[object] = []
    heard = Reporter()
    credentials = RegistryCredentials(
        IndexSettings(environ={"DOCKER_CONFIG": str(tmp_path)}), heard, [(reference, "pull")]
    )
    monkeypatch.setattr(credentials, "_challenge", lambda _: ("bearer", {"realm": realm}))
    monkeypatch.setattr(credentials, "_token", lambda _facts, _scope, login: told.append(login))

    credentials.ask_keyring(f"{reference.base}/manifests/1")

    assert told == [Login("u", "p") if goes else None]
