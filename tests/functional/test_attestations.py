"""Publishers that must be proven: a true wheel of PyPI with its true provenance, judged by sigstore's own trust root.

pypi-attestations carries both in the tests of its source archive on PyPI, which is where they are taken from.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dataloader.index.publishers import Publisher, parse_publisher, publisher_of, read_policy
from dataloader.process.distribution import extra_command
from tests.helpers.command import run_command
from tests.helpers.server import IndexServer
from tests.helpers.sources import fetch_source
from tests.helpers.wheels import make_wheel

pytestmark = pytest.mark.slow

_SOURCE = "pypi_attestations-0.0.30.tar.gz"
_SHA256 = "14ff13c76bbef02a483c2b77532da02bfd746b5141b881f355e06b9807434423"
WHEEL = "circleci_sign_publish_example-0.0.1.dev137-py3-none-any.whl"
PROJECT = "circleci-sign-publish-example"
TRUE = "circleci:fdd9283f-e619-46af-8f9c-851f7d3e8b2b"


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with true files and their attestations."""
    folder = tmp_path_factory.mktemp("attestations")
    with tarfile.open(fetch_source("pypi-attestations", _SOURCE, _SHA256, folder)) as archive:
        archive.extractall(folder, filter="data")
    return folder / _SOURCE.removesuffix(".tar.gz") / "test" / "assets"


@dataclass(frozen=True)
class Desk:
    """A lock of the true wheel, and an index that serves it with its provenance."""

    here: Path
    index: IndexServer

    def sync(self, *policy: str, prefix: str = "env", **environ: str) -> subprocess.CompletedProcess[str]:
        required = [f"--require-attestation={item}" for item in policy]
        return self.run("sync", "-p", prefix, "--json", "--events=events", *required, **environ)

    def run(
        self, *arguments: str, program: Sequence[str] = ("-m", "dataloader"), **environ: Any
    ) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "DATALOADER_CONDA": "never", "DATALOADER_INDEX_URL": self.index.index_url, **environ}
        env["DATALOADER_CACHE_DIR"] = str(self.here / "cache")
        if program == ("-m", "dataloader"):
            return run_command(*arguments, cwd=self.here, env=env)
        command = [sys.executable, *program, *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=self.here, env=env, check=False)

    def refuses(self, code: str, exit_code: int, *policy: str, **environ: str) -> dict[str, Any]:
        done = self.sync(*policy, **environ)
        error = json.loads(done.stdout)["error"]
        assert (error["code"], done.returncode) == (code, exit_code), done.stdout
        assert not (self.here / "env").exists()
        return error  # type: ignore[no-any-return]

    def attested(self) -> list[str]:
        events = [json.loads(line) for line in (self.here / "events").read_text().splitlines()]
        return [event["publisher"] for event in events if event["event"] == "attested"]


@pytest.fixture
def desk(tmp_path: Path, assets: Path) -> Iterator[Desk]:
    shelf, here = tmp_path / "shelf", tmp_path / "here"
    shelf.mkdir()
    here.mkdir()
    shutil.copy(assets / WHEEL, shelf)
    provenance = (assets / f"{WHEEL}.provenance").read_bytes()
    with IndexServer(shelf, provenance={WHEEL: provenance}) as server:
        desk = Desk(here, server)
        done = desk.run("lock", f"{PROJECT}==0.0.1.dev137")
        assert done.returncode == 0, done.stderr
        server.requests.clear()
        yield desk


@pytest.mark.pypi
@pytest.mark.parametrize(("policy", "as_json"), [(f"{PROJECT}={TRUE}", False), ("*=any", True)])
def test_a_true_publisher_is_proven(desk: Desk, policy: str, *, as_json: bool) -> None:
    desk.index.json = as_json
    # As in a pod: no home to write to.
    done = desk.sync(policy, HOME="/proc/nowhere")

    assert done.returncode == 0, done.stdout + done.stderr
    assert [publisher.split(":")[:2] for publisher in desk.attested()] == [TRUE.split(":")]
    assert json.loads(done.stdout)["changed"] is True


@pytest.mark.pypi
def test_what_was_fetched_serves_offline(desk: Desk) -> None:
    assert desk.refuses("offline-missing", 3, "*=any", DATALOADER_OFFLINE="1")
    assert desk.sync("*=any", prefix="first").returncode == 0
    desk.index.requests.clear()

    assert desk.sync("*=any", prefix="second", DATALOADER_OFFLINE="1").returncode == 0
    assert desk.index.requests == []


@pytest.mark.pypi
@pytest.mark.parametrize(
    "publisher", ["github:CircleCI-Public/sign-and-publish-examples", "circleci:00000000-e619-46af-8f9c-851f7d3e8b2b"]
)
def test_another_publisher_is_refused(desk: Desk, publisher: str) -> None:
    error = desk.refuses("attestation-invalid", 4, f"{PROJECT}={publisher}")

    assert publisher in error["message"]
    assert error["causes"]
    assert desk.index.count("/files/*") == 0


@pytest.mark.pypi
@pytest.mark.parametrize("part", ["signature", "statement", "certificate", "malformed"])
def test_a_forged_provenance_is_refused(desk: Desk, part: str) -> None:
    text = desk.index.provenance[WHEEL].decode()
    if part == "malformed":
        forged = text[:-40]
    else:
        start = text.index(f'"{part}":"') + len(f'"{part}":"') + 60
        forged = text[:start] + ("A" if text[start] != "A" else "B") + text[start + 1 :]
    desk.index.provenance[WHEEL] = forged.encode()

    desk.refuses("attestation-invalid", 4, "*=any")


@pytest.mark.pypi
def test_an_attestation_of_another_file_is_refused(desk: Desk, tmp_path: Path) -> None:
    """The same name and version with other bytes, as an index that was broken into would serve it."""
    shutil.rmtree(desk.index.folder)
    made = make_wheel(desk.index.folder, "circleci_sign_publish_example", "0.0.1.dev137")
    assert made.name == WHEEL
    assert desk.run("lock", f"{PROJECT}==0.0.1.dev137", "--refresh").returncode == 0

    error = desk.refuses("attestation-invalid", 4, "*=any")

    assert "another sha256" in error["causes"][0]


@pytest.mark.pypi
def test_a_wheel_without_attestation_is_refused_unless_excepted(desk: Desk) -> None:
    desk.index.provenance.clear()

    error = desk.refuses("attestation-missing", 4, "*=any")

    assert f"{PROJECT}=none" in error["suggestions"][0]
    assert desk.sync("*=any", f"{PROJECT}=none").returncode == 0


@pytest.mark.pypi
def test_the_manifest_may_require_it(desk: Desk) -> None:
    requirement = f'[pypi-dependencies]\n{PROJECT} = "==0.0.1.dev137"\n'
    manifest = desk.here / "dataloader.toml"
    manifest.write_text(f'{requirement}[attestations.require]\n"*" = "github:somebody/else"\n')
    assert desk.run("lock").returncode == 0

    desk.refuses("attestation-invalid", 4)
    assert desk.sync(f"*={TRUE}").returncode == 0

    wrong = f'{requirement}[attestations]\ntrusted-root = "root.json"\n[attestations.require]\n"*" = "any"\n'
    manifest.write_text(wrong)
    (desk.here / "root.json").write_text("{}")
    assert json.loads(desk.sync(prefix="other").stdout)["error"]["code"] == "setting-invalid"


@pytest.mark.pypi
def test_without_the_libraries_it_says_what_to_install(desk: Desk) -> None:
    code = "import sys; sys.modules['sigstore'] = None; from dataloader.__main__ import main; main()"
    arguments = ("sync", "-p", "env", "--json")

    done = desk.run(*arguments, "--require-attestation=*=any", program=("-c", code))

    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["code"]) == (2, "attestations-unsupported")
    assert error["suggestions"] == [extra_command("attestations")]
    assert desk.run(*arguments, program=("-c", code)).returncode == 0


@pytest.mark.pypi
@pytest.mark.parametrize(
    ("publisher", "proven"),
    [
        ("github:trailofbits/pypi-attestations", True),
        ("github:trailofbits/pypi-attestations:release.yml", True),
        ("github:trailofbits/pypi-attestations:tests.yml", False),
        ("github:somebody/pypi-attestations", False),
        ("gitlab:trailofbits/pypi-attestations", False),
        ("google:me@example.org", False),
    ],
)
def test_github_publishers(assets: Path, publisher: str, *, proven: bool) -> None:
    """By the true provenance of a source archive that GitHub published."""
    from pypi_attestations import Provenance
    from sigstore.errors import Error

    from dataloader.install.attest.wheels import _attestations, _check_claims, _policy, _verifier

    expected = parse_publisher(publisher)
    assert expected is not None
    document = (assets / "pypi_attestations-0.0.19.tar.gz.provenance").read_bytes()
    ((named, attestation),) = _attestations(Provenance.model_validate_json(document))
    try:
        _, payload = _verifier(None).verify_dsse(attestation.to_bundle(), _policy(expected))
        _check_claims(attestation, expected)
    except (Error, ValueError):
        assert not proven
        return

    assert proven
    assert named == Publisher("github", "trailofbits/pypi-attestations", "release.yml")
    digest = hashlib.sha256((assets / "pypi_attestations-0.0.19.tar.gz").read_bytes()).hexdigest()
    assert json.loads(payload)["subject"][0]["digest"]["sha256"] == digest


@pytest.mark.parametrize(
    "text",
    ["", "github", "github:", "github:pytorch", "github:a/b/c", "gitlab:alone", "google:nobody", "somebody", "any:one"],
)
def test_what_is_no_publisher_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="publisher"):
        read_policy({"torch": text})


def test_a_policy_names_projects_as_people_write_them() -> None:
    policy = read_policy(["Torch_Vision=github:pytorch/vision", "*=any", "mine=none"])

    assert publisher_of(policy, "torch-vision") == Publisher("github", "pytorch/vision")
    assert publisher_of(policy, "other") == Publisher("any")
    assert publisher_of(policy, "mine") is None
    assert publisher_of({}, "other") is None


def test_a_policy_names_conda_packages_by_their_name_or_as_conda() -> None:
    policy = read_policy(["numpy=github:numpy/numpy", "conda:Num_Exp=any", "conda:*=github:our/repo", "mine=none"])

    assert publisher_of(policy, "numpy", conda=True) == publisher_of(policy, "numpy")
    assert publisher_of(policy, "num_exp", conda=True) == Publisher("any")
    assert publisher_of(policy, "num-exp") is None
    assert publisher_of(policy, "other", conda=True) == Publisher("github", "our/repo")
    assert publisher_of(policy, "other") is None
    assert publisher_of(policy, "mine", conda=True) is None
    assert publisher_of({"*": "any"}, "other", conda=True) is None
    both = read_policy({"numpy": "github:numpy/numpy", "conda:numpy": "github:conda-forge/numpy-feedstock"})
    assert publisher_of(both, "numpy", conda=True) == Publisher("github", "conda-forge/numpy-feedstock")
    assert publisher_of(both, "numpy") == Publisher("github", "numpy/numpy")
