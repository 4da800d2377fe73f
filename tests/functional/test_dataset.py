"""`data-loader` as the Dataset controller's Job calls it: a channel and an index of ours, a volume, a workload."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dataloader.dataset.environment import completed
from dataloader.dataset.request import DatasetSource, parse_options
from tests.helpers.command import run_command
from tests.helpers.conda import index_channel, make_conda_package, make_python_package
from tests.helpers.server import IndexServer
from tests.helpers.wheels import make_wheel

UID, GID = (1000, 1000) if os.getuid() == 0 else (os.getuid(), os.getgid())


class Cluster:
    """A volume, the files that the controller mounts, and what packages come from."""

    def __init__(self, here: Path, channel: Path) -> None:
        self.volume, self.channel, self.shelf = here / "volume", channel, here / "shelf"
        self.configuration, self.secrets = here / "conf", here / "secrets"
        self.runtime = Path("/mnt/runtime env")  # seen by the workload alone
        for folder in (self.volume, self.configuration, self.secrets, self.shelf):
            folder.mkdir()
        self.index = IndexServer(self.shelf)

    def write(self, environment: str, requirements: str | None = None) -> None:
        (self.configuration / "environment.yaml").write_text(environment)
        path = self.configuration / "requirements.txt"
        path.unlink(missing_ok=True)
        if requirements is not None:
            path.write_text(requirements)

    def job(self, *more: str, code: int = 0, kind: str = "CONDA") -> str:
        """One Job; its output."""
        options = {
            "name": "train",
            "pythonVersion": "{}.{}".format(*sys.version_info[:2]),
            "condaEnvironmentYmlPath": f"{self.configuration}/environment.yaml",
            "pipRequirementsTxtPath": f"{self.configuration}/requirements.txt",
            "condaPrefixDir": f'"{self.runtime}"',  # with white space, so Go quotes it
            "pipIndexUrl": self.index.index_url,
            "packageManager": "CONDA",
        }
        command = [
            *(sys.executable, "-m", "dataloader.cli.clusters.data_loader", kind, "conda://python"),
            *(f"--options={key}={value}" for key, value in options.items()),
            *("--mount-path=/", "--mount-mode=0750", f"--mount-uid={UID}", f"--mount-gid={GID}"),
            *(f"--mount-root={self.volume}", f"--mount-secrets={self.secrets}", *more),
        ]
        environ = {name: value for name, value in os.environ.items() if name != "DATALOADER_CACHE_DIR"}
        done = subprocess.run(command, capture_output=True, text=True, env=environ, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    @property
    def environment(self) -> Path:
        return self.volume / "conda/envs/train"

    def workload(self, *words: str) -> str:
        """Run a program of the environment where a workload mounts the volume, read-only and as its user."""
        where = self.runtime / "train"
        binary = where / "conda/envs/train/bin/python"
        box = ["bwrap", "--dev-bind", "/", "/", "--tmpfs", "/mnt", "--dir", f"{where}"]
        box += ["--ro-bind", f"{self.volume}", f"{where}"]
        if os.getuid() == 0:
            box += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
            box += ["setpriv", f"--reuid={UID}", f"--regid={GID}", "--clear-groups"]
        done = subprocess.run([*box, binary, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return str(done.stdout).strip()


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("channel")
    make_python_package(folder)
    for name in ("pip", "ipykernel", "nb_conda_kernels", "notebook", "alpha"):
        make_conda_package(folder, name, "1.0", noarch="generic", files={f"share/{name}": name})
    index_channel(folder)
    return folder


@pytest.fixture
def cluster(tmp_path: Path, channel: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path, channel)
    make_wheel(made.shelf, "app", "1.0", requires=["lib"], files={"app.py": "import lib\nprint('app', lib.V)\n"})
    make_wheel(made.shelf, "lib", "1.0", files={"lib.py": "V = 1\n"})
    made.write(f"channels: [{made.channel.as_uri()}]\ndependencies: [alpha, pip=9, {{pip: [app]}}]\n", "lib>=1\n")
    with made.index:
        yield made


def modes(folder: Path) -> dict[Path, tuple[int, int, int]]:
    """Mode and owner of all below; of links the owner alone."""
    found = {}
    for path in (folder, *folder.rglob("*")):
        entry = path.lstat()
        mode = 0 if stat.S_ISLNK(entry.st_mode) else stat.S_IMODE(entry.st_mode)
        found[path] = (mode, entry.st_uid, entry.st_gid)
    return found


def cache_of(cluster: Cluster) -> dict[Path, tuple[int, int, int]]:
    return modes(cluster.volume / "conda/pkgs")


@pytest.mark.slow
def test_an_environment_reaches_its_workload_with_mode_and_owner(cluster: Cluster) -> None:
    said = cluster.job()

    assert "environment as changed" in said
    cache = cache_of(cluster)
    owned = {path: each for path, each in modes(cluster.volume).items() if path not in cache}
    assert {each[1:] for each in owned.values()} == {(UID, GID)}
    assert {each[0] for each in owned.values()} == {0, 0o750}
    if os.getuid() == 0:
        assert {each[1:] for each in cache.values()} == {(0, 0)}
    if shutil.which("bwrap") and shutil.which("setpriv"):
        assert cluster.workload("-c", "import app") == "app 1"
        prefix = cluster.workload("-c", "import sys; print(sys.prefix)")
        assert prefix.startswith(str(cluster.runtime / "train/conda/envs/"))


@pytest.mark.slow
def test_a_second_round_is_incremental_and_a_failing_one_changes_nothing(cluster: Cluster) -> None:
    cluster.job()
    first, cache = cluster.environment.readlink(), cache_of(cluster)
    cluster.index.requests.clear()

    cluster.job()

    assert cluster.environment.readlink() == first
    assert cache_of(cluster).items() >= cache.items()
    assert not [seen for seen in cluster.index.requests if seen.path.endswith(".whl")]

    cluster.write(f"channels: [{cluster.channel.as_uri()}]\ndependencies: [alpha, nothing-of-that-name]\n")
    said = cluster.job(code=1)
    assert "failed to load data: " in said
    assert cluster.environment.readlink() == first
    assert (cluster.environment / "share/alpha").read_text() == "alpha"

    make_wheel(cluster.shelf, "more", "1.0")
    cluster.write(f"channels: [{cluster.channel.as_uri()}]\ndependencies: [alpha]\n", "app\nmore\n")
    cluster.job()
    assert cluster.environment.readlink() != first
    assert [p.name for p in cluster.environment.glob("lib/python*/site-packages/more-*.dist-info")]
    assert "verify" not in cluster.job()


@pytest.mark.slow
def test_secrets_open_a_private_index_and_stay_secret(cluster: Cluster) -> None:
    cluster.index.auth = ("me", "s3cr3t-word")
    assert "failed to load data: " in cluster.job(code=1)
    (cluster.secrets / "username").write_text("me\n")
    (cluster.secrets / "password").write_text("s3cr3t-word\n")

    said = cluster.job()

    assert "s3cr3t-word" not in said
    kept = [path for path in cluster.volume.rglob("*") if path.is_file() and b"s3cr3t-word" in path.read_bytes()]
    assert kept == []


@pytest.mark.parametrize(
    ("more", "kind", "code", "words"),
    [
        ((), "GIT", 1, "controller's own loader"),
        (("--options=name=",), "CONDA", 1, "missing required options --options name=<env-name>"),
        (("--options=nonsense",), "CONDA", 1, "nonsense"),
        (("--mount-mode=9",), "CONDA", 2, "--mount-mode"),
        (("--no-such-flag",), "CONDA", 2, "--no-such-flag"),
        (("--options=name=../evil",), "CONDA", 1, "not a name for an environment"),
        (("--mount-path=/elsewhere",), "CONDA", 1, "elsewhere"),
    ],
)
def test_what_cannot_be_done_ends_as_the_contract_says(
    cluster: Cluster, more: tuple[str, ...], kind: str, code: int, words: str
) -> None:
    assert words in cluster.job(*more, kind=kind, code=code)


def test_the_platforms_packages_take_the_place_of_the_users() -> None:
    written = {"dependencies": ["python=3.9", "python>=3.10", "pip=20", "ipykernel=6", "numpy", {"pip": ["a"]}]}
    source = DatasetSource(kind="CONDA", name="n", python="3.11", extra_index_url="https://x.test/simple")

    document = completed(written, source)

    assert document["channels"] == ["defaults", "conda-forge"]
    assert document["prefix"] == "/opt/baize-runtime-env/n/conda/envs/n"
    assert document["dependencies"] == [
        *("python>=3.10", "numpy", "python=3.11", "pip", "ipykernel", "nb_conda_kernels", "notebook"),
        {"pip": ["a", "--extra-index-url https://x.test/simple"]},
    ]


@pytest.mark.parametrize(
    ("word", "value"),
    [('k="a b"', "a b"), ("k=a=b", "a=b"), ('k="tab\\tq\\""', 'tab\tq"'), ('k="', '"'), ("k=", ""), ('k="é"', "é")],
)
def test_values_are_unquoted_as_go_quotes_them(word: str, value: str) -> None:
    assert parse_options([word]) == {"k": value}


def resource(cluster: Cluster, *, group: str = "dataset.baizeai.io", **spec: object) -> Path:
    """A Dataset as people write it, with its texts among the options."""
    options = {
        "name": "train",
        "pythonVersion": "{}.{}".format(*sys.version_info[:2]),
        "packageManager": "CONDA",
        "condaPrefixDir": str(cluster.runtime),
        "pipIndexUrl": cluster.index.index_url,
        "condaEnvironmentYml": f"channels: [{cluster.channel.as_uri()}]\ndependencies: [alpha]\n",
        "pipRequirementsTxt": "app\n",
        "gpuType": "nvidia-gpu",
        "colour": "blue",
    }
    document = {
        "apiVersion": f"{group}/v1alpha1",
        "kind": "Dataset",
        "metadata": {"name": "train-env", "namespace": "ml"},
        "spec": {
            "source": {"type": "CONDA", "uri": "conda://python", "options": options},
            "mountOptions": {"path": "/", "mode": "0750", "uid": UID, "gid": GID},
            "dataSyncRound": 3,
            **spec,
        },
    }
    path = cluster.configuration / "dataset.yaml"
    path.write_text("kind: Secret\n---\n" + json.dumps(document))
    return path


def carry_out(cluster: Cluster, path: Path, *more: str, code: int = 0) -> tuple[dict[str, Any], str]:
    done = run_command("sync", "--dataset", str(path), "--json", *more, cwd=cluster.volume)
    assert done.returncode == code, done.stdout + done.stderr
    document = json.loads(done.stdout) if done.stdout else {}
    return document, done.stderr


@pytest.mark.slow
def test_a_resource_is_carried_out_and_its_status_said(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATALOADER_CACHE_DIR", raising=False)
    claim = {"name": "shared", "subPath": "team"}
    path = resource(cluster, group="dataset.baize.io", volumeClaimRef=claim)

    document, said = carry_out(cluster, path)

    status = document["resourceStatus"]
    assert status["phase"] == "READY"
    assert [(each["type"], each["status"]) for each in status["conditions"]] == [
        (kind, "True") for kind in ("Config", "PVC", "ConfigMap", "Job", "JobStatus")
    ]
    assert status["pvcName"] == "shared"
    assert status["lastSucceedRound"] == 3
    assert "gpuType nvidia-gpu" in said
    assert "colour" in said
    environment = cluster.volume / "team/conda/envs/train"
    assert (environment / "share/alpha").read_text() == "alpha"
    assert stat.S_IMODE((environment / "share/alpha").lstat().st_mode) == 0o750

    path.write_text(path.read_text().replace("dependencies: [alpha]", "dependencies: [no-such-package-here]"))
    document, said = carry_out(cluster, path, code=1)

    assert document["resourceStatus"]["phase"] == "FAILED"
    assert document["resourceStatus"]["conditions"][-1]["type"] == "JobStatus"
    assert "no-such-package-here" in said
    assert (environment / "share/alpha").exists()


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (("CONDA", "GIT"), "controller's own loader"),
        (("baizeai.io/v1alpha1", "baizeai.io/v9"), "v1alpha1"),
        (('"0750"', "488"), "octal"),
        (('"dataSyncRound": 3', '"dataSyncRound": 0'), "dataSyncRound 0"),
        (("kind: Secret", "kind: Dataset"), "2 resources"),
        (('"name": "train-env", ', ""), "metadata.name is missing"),
        (("{", "[[{"), "is no Dataset"),
    ],
)
def test_a_resource_that_cannot_be_loaded_says_why(cluster: Cluster, change: tuple[str, str], cause: str) -> None:
    path = resource(cluster)
    before = path.read_text()
    path.write_text(before.replace(*change))
    assert path.read_text() != before

    document, said = carry_out(cluster, path, code=2)

    assert cause in said
    assert document["resourceStatus"]["phase"] == "FAILED"
    assert [each["type"] for each in document["resourceStatus"]["conditions"]] == ["Config"]
    assert not (cluster.volume / "conda").exists()


def test_what_the_resource_decides_cannot_be_typed_beside_it(cluster: Cluster) -> None:
    _, said = carry_out(cluster, resource(cluster), "--frozen", "-p", "env", code=2)

    assert "--prefix" in said
    assert "leave it out" in said


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (("--name", "x"), "write spec.source.options.name in "),
        (("--target-prefix", "/x"), "write spec.source.options.condaPrefixDir in "),
        (("-c", "x"), "in place of --channel"),
        (("--mirror", "https://a.test=https://b.test"), "DATALOADER_MIRROR=... says the same"),
        (("--adopt",), "leave it out"),
    ],
)
def test_what_the_resource_decides_is_advised_by_its_own_field(
    cluster: Cluster, words: tuple[str, ...], advice: str
) -> None:
    _, said = carry_out(cluster, resource(cluster), *words, code=2)

    assert advice in said
    assert ("DATALOADER_" in said) == ("--mirror" in words)
