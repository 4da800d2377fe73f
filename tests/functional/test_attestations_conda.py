"""Publishers of conda packages that must be proven: rattler judges, a channel that it indexed, by a sigstore of ours.

One test has a true package's true attestation, which py-rattler carries in its source archive on PyPI.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from dataloader.base.errors import DataloaderError, IndexUnavailable, IntegrityError, UsageError
from dataloader.index.client import IndexClient
from dataloader.index.settings import IndexSettings
from dataloader.install.attest.wheels import require_attestations
from dataloader.lockfile.model import CondaPackage
from dataloader.lockfile.yaml import dump_lock, read_lock
from tests.helpers.channel_server import Channel, serve
from tests.helpers.command import run_command
from tests.helpers.conda import index_channel, make_conda_package, read_record
from tests.helpers.locks import Heard, lock_of
from tests.helpers.server import Fault, IndexServer
from tests.helpers.sigstore import Signer, Sigstore, conda_statement
from tests.helpers.sources import fetch_source

pytestmark = pytest.mark.slow

OURS = Signer(repository="https://github.com/our/repo", workflow=".github/workflows/build.yml")
THEIRS = Signer(repository="https://github.com/their/repo")
MAIL = Signer(identity="me@example.org", issuer="https://accounts.google.com")
LAB = Signer(repository="https://gitlab.com/group/ours", workflow="/.gitlab-ci.yml", issuer="https://gitlab.com")
USER, PASSWORD, TOKEN = "someone", "s3cret-password", "s3cret-token"


@dataclass
class Desk:
    """A channel with one package, and a trusted root."""

    here: Path
    server: IndexServer
    version: str = "1.0"
    sigstore: Sigstore = field(default_factory=Sigstore)

    def __post_init__(self) -> None:
        self.folder = self.server.folder / "channel"
        self.url = f"{self.server.url}/files/channel/"
        self.archive = make_conda_package(self.folder, "part", self.version, files={"share/part": "x"})
        self.root = self.here / "root.json"
        self.root.write_text(self.sigstore.trusted_root())
        index_channel(self.folder)

    @property
    def statement(self) -> dict[str, object]:
        return conda_statement(self.archive, self.url)

    def publish(self, *bundles: object, text: str | None = None) -> None:
        """Put a sidecar beside the package, and index the channel again."""
        body = (json.dumps(bundles) if text is None else text).encode()
        for suffix in ("", f".{sha256(body).hexdigest()}"):
            self.archive.with_name(f"{self.archive.name}.sigs{suffix}").write_bytes(body)
        index_channel(self.folder)

    def publish_by(self, *signers: Signer) -> None:
        self.publish(*(self.sigstore.attest(self.statement, signer) for signer in signers))

    @property
    def package(self) -> CondaPackage:
        return read_record(self.folder, "part", url=self.url)

    def prove(
        self, *policy: str, package: CondaPackage | None = None, cache: Path | None = None, **changes: Any
    ) -> list[str]:
        """Who published it, by the policy; without a command around it."""
        required = dict(item.split("=", 1) for item in policy)
        settings = replace(IndexSettings(attestations=required, trusted_root=str(self.root), retries=0), **changes)
        return prove(package or self.package, settings, cache or self.here / "cache")

    def refuses(self, *policy: str, **changes: Any) -> str:
        """Why it is refused as unproven."""
        with pytest.raises(IntegrityError) as refusal:
            self.prove(*policy, **changes)
        assert refusal.value.code == "attestation-invalid"
        assert policy[0].partition("=")[2] in refusal.value.message
        return "\n".join(refusal.value.causes)

    def write_manifest(self, channel: str, more: str = "") -> None:
        text = f'[workspace]\nchannels = ["{channel}"]\n[dependencies]\npart = "*"\n{more}'
        (self.here / "dataloader.toml").write_text(text)

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "DATALOADER_INDEX_URL": self.server.index_url, "DATALOADER_RETRIES": "0", **environ}
        env |= {"DATALOADER_CACHE_DIR": str(self.here / "cache"), "HOME": "/proc/nowhere"}
        return run_command(*arguments, cwd=self.here, env=env)

    def lock(self, channel: str | None = None, **environ: str) -> None:
        done = self.run("lock", "conda:part", "-c", channel or self.url, "--conda=always", **environ)
        assert done.returncode == 0, done.stdout + done.stderr

    def sync(self, *policy: str, prefix: str = "env", **environ: str) -> tuple[int, dict[str, Any]]:
        required = [f"--require-attestation={item}" for item in policy]
        arguments = ("-p", prefix, "--json", "-vv", "--events=events", "--trusted-root=root.json", *required)
        done = self.run("sync", *arguments, **environ)
        assert PASSWORD not in done.stdout + done.stderr
        assert TOKEN not in done.stdout + done.stderr
        return done.returncode, json.loads(done.stdout)

    def attested(self) -> list[str]:
        events = [json.loads(line) for line in (self.here / "events").read_text().splitlines()]
        return [event["publisher"] for event in events if event["event"] == "attested"]


def prove(package: CondaPackage, settings: IndexSettings, cache: Path) -> list[str]:
    heard = Heard()

    async def ask() -> None:
        async with IndexClient(settings, heard, cache_dir=cache) as client:
            await require_attestations(lock_of(package), settings, client.evidence, heard)

    asyncio.run(ask())
    return [str(facts["publisher"]) for event, facts in heard.events if event == "attested"]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    (tmp_path / "shelf").mkdir()
    (tmp_path / "here").mkdir()
    with IndexServer(tmp_path / "shelf") as server:
        yield Desk(tmp_path / "here", server)


# by commands


def test_a_signature_is_proven_before_the_sync(desk: Desk) -> None:
    desk.publish_by(OURS)
    desk.lock()
    desk.server.requests.clear()

    code, document = desk.sync("part=github:our/repo:build.yml")

    assert code == 0, document
    assert desk.attested() == ["github:our/repo:build.yml"]
    asked = [seen.path for seen in desk.server.requests]
    assert [path.partition(".conda")[2][:6] for path in asked] == [".sigs.", ""]
    assert (desk.here / "env" / "share" / "part").read_text() == "x"


def test_nothing_is_fetched_or_changed_that_is_not_proven(desk: Desk) -> None:
    desk.publish_by(THEIRS)
    desk.lock()

    code, document = desk.sync("conda:*=github:our/repo")

    assert (code, document["error"]["code"]) == (4, "attestation-invalid")
    assert "github:our/repo" in document["error"]["message"]
    assert "their/repo" in document["error"]["causes"][0]
    assert document["error"]["suggestions"]
    assert desk.server.count("*.conda") == 0
    assert not (desk.here / "env").exists()


def test_the_star_is_for_wheels_and_none_excepts(desk: Desk) -> None:
    desk.lock()

    code, document = desk.sync("conda:*=any")
    assert (code, document["error"]["code"]) == (4, "attestation-missing")
    assert "part=none" in document["error"]["suggestions"][0]
    assert "`dataloader lock`" in document["error"]["causes"][1]

    assert desk.sync("*=any", prefix="star")[0] == 0
    assert desk.sync("conda:*=any", "part=none", prefix="excepted")[0] == 0
    assert desk.attested() == []


def test_the_manifest_may_require_it(desk: Desk) -> None:
    desk.publish_by(OURS)
    policy = '[attestations]\ntrusted-root = "root.json"\n[attestations.require]\n"conda:*" = "github:their/repo"\n'
    desk.write_manifest(desk.url, policy)
    assert desk.run("lock").returncode == 0

    done = desk.run("sync", "-p", "env", "--json")
    assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (4, "attestation-invalid")
    assert desk.run("sync", "-p", "env", "--require-attestation=conda:part=github:our/repo").returncode == 0


def test_what_was_fetched_serves_offline(desk: Desk) -> None:
    desk.publish_by(OURS)
    desk.lock()
    code, document = desk.sync("part=any", DATALOADER_OFFLINE="1")
    assert (code, document["error"]["code"]) == (3, "offline-missing")
    assert desk.sync("part=any")[0] == 0
    desk.server.requests.clear()

    assert desk.sync("part=any", prefix="second", DATALOADER_OFFLINE="1")[0] == 0
    assert desk.server.requests == []
    assert desk.attested()[-1] == OURS.pipeline


def test_the_lock_knows_where_attestations_are_and_rattler_reads_it(desk: Desk) -> None:
    import rattler

    desk.lock()
    path = desk.here / "dataloader.lock"
    before = path.read_text()
    assert "attestations_sha256" not in before
    desk.publish_by(OURS)
    desk.lock(DATALOADER_REFRESH="1")
    after = path.read_bytes()
    desk.lock()

    assert path.read_bytes() == after == dump_lock(read_lock(path)).encode()
    (package,) = read_lock(path).conda()
    assert package.attestations_sha256 == desk.package.attestations_sha256 is not None
    lines = [line for line in after.decode().splitlines() if "attestations_sha256" not in line]
    assert lines == before.splitlines()
    environment = rattler.LockFile.from_path(path).default_environment()
    assert environment is not None
    (record,) = (record for _, records in environment.conda_repodata_records().items() for record in records)
    assert (record.name.normalized, (record.sha256 or b"").hex()) == ("part", package.sha256)


def test_a_user_and_a_password_of_a_channel_are_used_and_not_said(desk: Desk) -> None:
    desk.publish_by(OURS)
    desk.server.auth = (USER, PASSWORD)
    desk.write_manifest(desk.url.replace("//", f"//{USER}:{PASSWORD}@", 1))
    assert desk.run("lock").returncode == 0

    assert desk.sync("part=github:our/repo")[0] == 0
    desk.publish_by(THEIRS)
    assert desk.run("lock", "--refresh").returncode == 0
    code, document = desk.sync("part=github:our/repo", prefix="other")
    assert (code, document["error"]["code"]) == (4, "attestation-invalid")
    assert PASSWORD not in (desk.here / "dataloader.lock").read_text()


def test_the_token_of_a_channel_is_used_and_not_said(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    place = desk.server.folder / "t" / TOKEN
    place.mkdir(parents=True)
    monkeypatch.setattr(Channel, "folder", desk.server.folder, raising=False)
    monkeypatch.setattr(Channel, "fault", "none", raising=False)
    with serve() as url:
        desk.publish(desk.sigstore.attest(conda_statement(desk.archive, f"{url}channel"), OURS))
        desk.folder.rename(place / "channel")
        desk.write_manifest(f"{url}t/{TOKEN}/channel")
        assert desk.run("lock").returncode == 0

        assert desk.sync("part=github:our/repo")[0] == 0
        assert desk.sync("part=github:their/repo", prefix="other")[1]["error"]["code"] == "attestation-invalid"
    assert TOKEN not in (desk.here / "dataloader.lock").read_text()


def test_credentials_that_rattler_has_serve_too(desk: Desk) -> None:
    desk.publish_by(OURS)
    login = {"127.0.0.1": {"BasicHTTP": {"username": USER, "password": PASSWORD}}}
    (desk.here / "auth.json").write_text(json.dumps(login))
    store = {"RATTLER_AUTH_FILE": str(desk.here / "auth.json")}
    desk.server.auth = (USER, PASSWORD)
    desk.lock(**store)

    code, document = desk.sync("part=github:our/repo", **store)
    assert code == 0, document
    assert desk.attested() == ["github:our/repo"]
    code, document = desk.sync("part=github:their/repo", prefix="other", **store)
    assert (code, document["error"]["code"]) == (4, "attestation-invalid")
    code, document = desk.sync("part=github:our/repo", prefix="other")
    assert (code, document["error"]["code"]) == (2, "index-auth")


# judgements


@pytest.mark.parametrize(
    ("signer", "publisher"),
    [
        (OURS, "github:our/repo"),
        (OURS, "github:our/repo:build.yml"),
        (LAB, "gitlab:group/ours"),
        (LAB, "gitlab:group/ours:.gitlab-ci.yml"),
        (MAIL, "google:me@example.org"),
    ],
)
def test_publishers(desk: Desk, signer: Signer, publisher: str) -> None:
    desk.publish_by(signer)

    assert desk.prove(f"part={publisher}") == [publisher]
    assert desk.prove("part=any") == [signer.identity or signer.pipeline]


@pytest.mark.parametrize(
    ("signer", "publisher"),
    [
        (OURS, "github:our/repository"),
        (OURS, "github:our/rep"),
        (OURS, "github:our/repo:other.yml"),
        (OURS, "gitlab:our/repo"),
        (OURS, "google:me@example.org"),
        (OURS, "circleci:fdd9283f-e619-46af-8f9c-851f7d3e8b2b"),
        (MAIL, "google:you@example.org"),
        (replace(MAIL, issuer="https://github.com/login/oauth"), "google:me@example.org"),
        (replace(OURS, issuer="https://gitlab.com"), "github:our/repo"),
        # a workflow of another repository, run for one's own
        (replace(THEIRS, identity=OURS.pipeline), "github:our/repo"),
    ],
)
def test_another_publisher_is_refused(desk: Desk, signer: Signer, publisher: str) -> None:
    desk.publish_by(signer)

    assert desk.refuses(f"part={publisher}")


def test_one_bundle_that_holds_is_enough(desk: Desk) -> None:
    desk.publish_by(MAIL, THEIRS, OURS)

    assert desk.prove("part=github:our/repo") == ["github:our/repo"]
    causes = desk.refuses("part=github:our/other")
    assert "me@example.org" in causes
    assert "their/repo" in causes


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("another file", "does not match any subject"),
        ("another name", "subject is"),
        ("another channel", "targets channel"),
        ("another statement", "predicate type"),
        ("signature", "signature invalid"),
        ("payload", "signature invalid"),
        ("certificate", "signature invalid"),
        ("log entry", "log entry does not match"),
        ("no log entry", "must have an inclusion proof"),
        ("no proof", "must have an inclusion proof"),
        ("checkpoint", "checkpoint"),
        ("too late", "CertExpired"),
        ("no timestamp", "Timestamp"),
        ("another authority", "certificate chain is invalid"),
        ("another ct", "SCT"),
        ("another rekor", "No log key"),
    ],
)
def test_a_bundle_that_does_not_hold_is_refused(desk: Desk, fault: str, why: str) -> None:
    statement = {
        "another file": desk.statement | {"subject": [{"name": desk.archive.name, "digest": {"sha256": "0" * 64}}]},
        "another channel": desk.statement | {"predicate": {"targetChannel": "https://conda.test/nightly"}},
        "another statement": desk.statement | {"predicateType": "https://slsa.dev/provenance/v1"},
        "another name": conda_statement(desk.archive, desk.url, name="part-2.0-0.conda"),
    }.get(fault, desk.statement)
    sigstore = {
        "another authority": desk.sigstore.but("ca"),
        "another ct": desk.sigstore.but("ct"),
        "another rekor": desk.sigstore.but("rekor"),
    }.get(fault, desk.sigstore)
    late = dt.timedelta(hours=1 if fault == "too late" else 0)
    bundle = sigstore.attest(statement, OURS, late=late, is_promised=fault != "no timestamp")
    material = bundle["verificationMaterial"]
    if fault == "signature":
        bundle["dsseEnvelope"]["signatures"] = desk.sigstore.attest(statement, OURS)["dsseEnvelope"]["signatures"]
    elif fault == "payload":
        bundle["dsseEnvelope"]["payload"] = desk.sigstore.attest({**statement, "x": 1}, OURS)["dsseEnvelope"]["payload"]
    elif fault == "certificate":
        material["certificate"] = desk.sigstore.attest(statement, OURS)["verificationMaterial"]["certificate"]
    elif fault == "log entry":
        material["tlogEntries"] = desk.sigstore.attest(statement, OURS)["verificationMaterial"]["tlogEntries"]
    elif fault == "no log entry":
        material["tlogEntries"] = []
    elif fault == "no proof":
        del material["tlogEntries"][0]["inclusionProof"]
    elif fault == "checkpoint":
        other = desk.sigstore.attest(statement, OURS)["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]
        material["tlogEntries"][0]["inclusionProof"]["checkpoint"] = other["checkpoint"]
    desk.publish(bundle)

    assert why in desk.refuses("part=any")


@pytest.mark.parametrize("text", ['[{"mediaType": 1}]', '["a"]', "[1]"])
def test_a_malformed_sidecar_is_refused(desk: Desk, text: str) -> None:
    desk.publish(text=text)

    causes = desk.refuses("part=any")
    assert causes.startswith("it is malformed")
    assert "/" not in causes


def test_a_sidecar_that_is_no_list_is_refused(desk: Desk) -> None:
    for body in (b"{}", b"[]", b"\xff", b"[" * 200_000):
        digest = sha256(body).hexdigest()
        desk.archive.with_name(f"{desk.archive.name}.sigs.{digest}").write_bytes(body)
        package = replace(desk.package, attestations_sha256=digest)

        assert "no list" in desk.refuses("part=any", package=package)


def test_a_sidecar_with_other_bytes_than_promised_is_refused(desk: Desk) -> None:
    desk.publish_by(OURS)
    desk.server.fault("*.sigs.*", Fault("corrupt"))

    assert "expected sha256" in desk.refuses("part=any")


def test_a_mirror_with_other_bytes_is_passed_over(desk: Desk) -> None:
    desk.publish_by(OURS)
    (sidecar,) = desk.folder.rglob("*.sigs.*")
    bad = desk.server.folder / "bad" / sidecar.relative_to(desk.folder)
    bad.parent.mkdir(parents=True)
    bad.write_bytes(b"[]")

    assert desk.prove("part=github:our/repo", mirrors={desk.url: (f"{desk.server.url}/files/bad/",)})
    assert desk.server.count("/files/bad/*") == desk.server.count("/files/channel/*") == 1


def test_no_more_is_read_than_a_sidecar_may_have(desk: Desk) -> None:
    desk.publish(text="[" + "0," * (3 << 20) + "0]")

    assert f"{4 << 20} bytes" in desk.refuses("part=any")


def test_a_sidecar_that_is_gone_is_missing(desk: Desk) -> None:
    desk.publish_by(OURS)
    (sidecar,) = desk.folder.rglob("*.sigs.*")
    sidecar.unlink()

    for package in (desk.package, replace(desk.package, url=f"{desk.archive.as_uri()}")):
        with pytest.raises(IntegrityError) as refusal:
            desk.prove("part=any", package=package)
        assert refusal.value.code == "attestation-missing"
        assert "none there" in refusal.value.causes[0]


@pytest.mark.parametrize("fault", [Fault("status", status=503), Fault("reset")])
def test_a_server_that_fails_may_be_tried_again(desk: Desk, fault: Fault) -> None:
    desk.publish_by(OURS)
    desk.server.fault("*.sigs.*", fault)

    with pytest.raises(IndexUnavailable):
        desk.prove("part=any")
    desk.server.heal()
    assert desk.prove("part=any")


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (None, None),
        (Fault("status", status=403), "index-auth"),
        (Fault("status", status=404), "attestation-missing"),
        (Fault("status", status=500), "channel-unavailable"),
        (Fault("truncate", after=9), "channel-unavailable"),
        (Fault("corrupt"), "attestation-invalid"),
    ],
)
def test_what_rattler_fetches_is_judged_as_well(desk: Desk, fault: Fault | None, code: str | None) -> None:
    """It is asked where a server does not take what credentials we have."""
    desk.publish_by(OURS)
    desk.server.fault("*.sigs.*", Fault("status", status=401, times=1))
    if fault is None or code is None:
        assert desk.prove("part=github:our/repo") == ["github:our/repo"]
        desk.server.fault("*.sigs.*", Fault("status", status=401, times=1))
        assert "our/repo" in desk.refuses("part=github:their/repo", cache=desk.here / "second")
        return
    desk.server.fault("*.sigs.*", fault)

    with pytest.raises(DataloaderError) as refusal:
        desk.prove("part=github:our/repo")
    assert refusal.value.code == code
    assert desk.server.count("*.sigs.*") > 1


def test_a_channel_that_only_rattler_can_reach_is_not_asked_offline(desk: Desk) -> None:
    desk.publish_by(OURS)

    with pytest.raises(IndexUnavailable) as refusal:
        desk.prove("part=any", package=replace(desk.package, url="s3://bucket/linux-64/part-1.0-0.conda"), offline=True)
    assert refusal.value.code == "offline-missing"


def test_a_channel_of_this_machine_is_judged_as_well(desk: Desk) -> None:
    url = f"{desk.folder.as_uri()}/"
    desk.publish(desk.sigstore.attest(conda_statement(desk.archive, url), OURS))
    package = read_record(desk.folder, "part")

    assert desk.prove("part=github:our/repo", package=package, offline=True) == ["github:our/repo"]
    (sidecar,) = desk.folder.rglob("*.sigs.*")
    sidecar.write_text("[]")
    assert "expected sha256" in desk.refuses("part=any", package=package)


def test_an_epoch_in_the_name_is_no_other_name(tmp_path: Path) -> None:
    (tmp_path / "shelf").mkdir()
    with IndexServer(tmp_path / "shelf") as server:
        desk = Desk(tmp_path, server, version="1!2.0")
        desk.publish_by(OURS)

        assert desk.prove("part=github:our/repo") == ["github:our/repo"]
        quoted = replace(desk.package, url=desk.package.url.replace("!", "%21"))
        assert desk.prove("part=github:our/repo", package=quoted) == ["github:our/repo"]


def test_a_lock_without_hashes_proves_nothing(desk: Desk) -> None:
    desk.publish_by(OURS)

    for changes in ({"sha256": None}, {"attestations_sha256": "../" * 21 + "x"}):
        assert desk.refuses("part=any", package=replace(desk.package, **changes))
    assert desk.server.count("*.sigs*") == 0


def test_trust_anchors_are_those_of_the_settings_or_the_public_ones(desk: Desk) -> None:
    desk.publish_by(OURS)

    assert desk.refuses("part=any", trusted_root=None)
    desk.root.write_text("{}")
    for root in (desk.root, desk.here / "absent.json"):
        with pytest.raises(UsageError) as refusal:
            desk.prove("part=any", trusted_root=str(root))
        assert refusal.value.code == "setting-invalid"
        assert str(root) in refusal.value.message


# a true package

_SOURCE = "py_rattler-0.28.0.tar.gz"
_SHA256 = "84aef2aca9df0f8e0b0c635b2ff32c8568ac41e612f6f192fde12b99e48397cd"
_TRUE = "actionlint-1.7.12-h60d57d3_0.conda"


@pytest.fixture(scope="module")
def true_sidecar(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("source")
    with tarfile.open(fetch_source("py-rattler", _SOURCE, _SHA256, folder)) as archive:
        (name,) = [name for name in archive.getnames() if name.endswith(f"{_TRUE}.sigs")]
        member = archive.extractfile(name)
        assert member is not None
        return member.read()


@pytest.mark.pypi
@pytest.mark.parametrize(
    ("publisher", "proven"),
    [
        ("github:hunger/octoconda", True),
        ("github:hunger/octoconda:octoconda.yaml", True),
        ("any", True),
        ("github:hunger/octoconda:other.yaml", False),
        ("github:rhysd/actionlint", False),
    ],
)
def test_a_true_attestation_by_the_public_trust_anchors(
    true_sidecar: bytes, tmp_path: Path, publisher: str, *, proven: bool
) -> None:
    """Through a mirror of the channel it was published on."""
    digest = sha256(true_sidecar).hexdigest()
    mirrored = tmp_path / "mirror" / "osx-arm64" / f"{_TRUE}.sigs.{digest}"
    mirrored.parent.mkdir(parents=True)
    mirrored.write_bytes(true_sidecar)
    channel = "https://prefix.dev/github-releases/"
    package = CondaPackage(
        name="actionlint",
        version="1.7.12",
        build="h60d57d3_0",
        build_number=0,
        subdir="osx-arm64",
        url=f"{channel}osx-arm64/{_TRUE}",
        channel=channel,
        sha256="e3e0f35dec5b09b18baac8729d14115903b5adfd25065f8bbb90a2b3be5401e4",
        attestations_sha256=digest,
    )
    with IndexServer(tmp_path) as server:
        mirrors = {channel: (f"{server.url}/files/mirror/",)}
        settings = IndexSettings(attestations={"actionlint": publisher}, mirrors=mirrors)
        if not proven:
            with pytest.raises(IntegrityError, match="it is not proven"):
                prove(package, settings, tmp_path / "cache")
            return
        found = prove(package, settings, tmp_path / "cache")
    workflow = "https://github.com/hunger/octoconda/.github/workflows/octoconda.yaml@refs/heads/main"
    assert found == [workflow if publisher == "any" else publisher]
    with pytest.raises(IntegrityError):
        prove(replace(package, sha256="0" * 64), replace(settings, offline=True), tmp_path / "cache")
