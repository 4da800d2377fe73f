"""Manifests are what the schemas of Kubernetes take, and what the restricted Pod Security Standard lets in."""

from __future__ import annotations

import itertools
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from dataloader.cli.app import main
from dataloader.export.kubernetes import KINDS, Kind, Shape, kustomization, lock_map, manifests, needs_lock
from dataloader.lockfile.model import LockedPython, Lockfile
from dataloader.lockfile.yaml import write_lock
from tests.unit.cli.test_commands_named import read

VERSIONS = [f"1.{minor}" for minor in range(34, int(kubernetes_validate.latest_version().split(".")[1]) + 1)]
NODES = ({"kubernetes.io/arch": "amd64", "nvidia.com/gpu.product": "NVIDIA-H200"}, {"kubernetes.io/arch": "arm64"})


def shape(**more: Any) -> Shape:
    fields: dict[str, Any] = {
        "name": "train", "image": "dataloader:1", "workload": "debian:12", "claim": "envs", "mount": "/mnt/envs",
        "prefix": "/opt/env", "reference": "r.test/train:1",
    }  # fmt: skip
    return Shape(**{**fields, **more})


def pods_of(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The pod specs in a resource."""
    spec = document.get("spec", {})
    for inner in (spec.get("template"), (spec.get("jobTemplate") or {}).get("spec", {}).get("template")):
        if inner:
            yield inner["spec"]


@pytest.mark.parametrize("kind", KINDS)
def test_schemas_and_the_restricted_standard_are_kept(kind: Kind) -> None:
    for reference, (gpus, nodes, namespace) in itertools.product(
        ("r.test/e:1", None), ((0, (), "ml"), (2, NODES, None))
    ):
        made = shape(reference=reference, gpus=gpus, nodes=nodes, namespace=namespace)
        if kind == "image-volume" and reference is None:
            continue
        documents = manifests(kind, made)
        documents += [lock_map(made, "version: 6\n")] if needs_lock(kind, made) else []
        for document, version in itertools.product(documents, VERSIONS):
            kubernetes_validate.validate(document, version, strict=True)
        pods = [pod for document in documents for pod in pods_of(document)]
        assert pods
        for pod in pods:
            containers = [*pod.get("initContainers", ()), *pod["containers"]]
            assert pod["securityContext"]["runAsNonRoot"]
            assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            assert pod["automountServiceAccountToken"] is False
            assert ("affinity" in pod) == bool(nodes)
            volumes = {volume["name"] for volume in pod["volumes"]}
            for each in containers:
                assert each["securityContext"]["readOnlyRootFilesystem"]
                assert each["securityContext"]["capabilities"] == {"drop": ["ALL"]}
                assert not each["securityContext"]["allowPrivilegeEscalation"]
                assert each["resources"]["requests"]
                assert {mount["name"] for mount in each["volumeMounts"]} <= volumes
                if each["name"] == "workload":
                    assert each["volumeMounts"][0]["readOnly"]
                    assert each["resources"]["limits"].get("nvidia.com/gpu", 0) == gpus
            assert ("lock" in volumes) == (needs_lock(kind, made))


def run(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert main(["k8s", *words]) == code
    said = capsys.readouterr()
    return said.out + said.err


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    lock = Lockfile(platform="linux-64", channels=(), indexes=(), python=LockedPython(source="none"), packages=())
    write_lock(lock, tmp_path / "dataloader.lock")
    return tmp_path


def test_a_base_of_kustomize_reads_as_what_was_printed(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = list(yaml.safe_load_all(run(capsys, "warm", "--name", "train", "--namespace", "ml")))
    assert [each["kind"] for each in printed] == ["ConfigMap", "PersistentVolumeClaim", "Job"]
    assert printed[0]["data"]["dataloader.lock"] == (project / "dataloader.lock").read_text()

    document = json.loads(run(capsys, "warm", "--name", "train", "--namespace", "ml", "-o", "base", "--json"))

    base = yaml.safe_load((project / "base/kustomization.yaml").read_text())
    assert [yaml.safe_load((project / "base" / name).read_text()) for name in base["resources"]] == sorted(
        printed[1:], key=lambda each: each["kind"].lower()
    )
    assert base["configMapGenerator"] == [{"name": "train-lock", "files": ["dataloader.lock"]}]
    assert document["manifests"] == printed[1:]
    assert kustomization("n", ["job.yaml"], lock=False)["resources"] == ["job.yaml"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("image-volume",), "--ref"),
        (("init", "--name", "x", "--claim", "A b"), "--claim envs"),
        (("init", "--name", "x", "--namespace", "A"), "--namespace ml"),
        (("init", "--name", "x", "--ref", "Up per/x"), "--ref: Up per/x is no name of an image"),
        (("warm", "--name", "x", "--image", "a b"), "--image: a b is no name of an image"),
        (("probe", "--name", "x", "--workload", "%"), "--workload: % is no name of an image"),
        (
            ("prune", "--name", "x", "--workload", "a", "--gpus", "1"),
            "k8s prune: --workload, --gpus can have no effect",
        ),
        (("init", "--name", "Not_A_Name"), "name-invalid"),
        (("init", "--name", "x", "--root", "mnt"), "begins with a slash"),
        (("nothing",), "nothing"),
        (("init", "--name", "x", "--lockfile", "none.lock"), "lockfile-missing"),
    ],
)
def test_what_makes_no_manifest_is_said(
    words: tuple[str, ...], said: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in run(capsys, *words, code=2)


def test_kinds_share_a_folder_and_none_takes_anothers_place(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = project / "base"
    same = ("--name", "train", "-o", "base")
    run(capsys, "warm", *same)
    listed = yaml.safe_load((base / "kustomization.yaml").read_text())
    (base / "kustomization.yaml").write_text(yaml.safe_dump({**listed, "namespace": "ml", "resources": ["mine.yaml"]}))
    run(capsys, "warm", *same)
    run(capsys, "probe", *same)
    run(capsys, "prune", *same)

    found = yaml.safe_load((base / "kustomization.yaml").read_text())
    files = ["cronjob.yaml", "deployment.yaml", "job.yaml", "mine.yaml", "persistentvolumeclaim.yaml"]
    assert found["resources"] == files
    assert (found["namespace"], len(found["configMapGenerator"])) == ("ml", 1)
    assert {path.name for path in base.iterdir()} == {*files, "dataloader.lock", "kustomization.yaml"} - {"mine.yaml"}

    before = {path.name: path.read_bytes() for path in base.iterdir()}
    taken = run(capsys, "init", *same, code=2)
    assert "deployment.yaml is Deployment train of `k8s probe`, and Deployment train of `k8s init`" in taken
    assert "Job train-warm" in run(capsys, "warm", "--name", "other", "-o", "base", code=2)
    assert before == {path.name: path.read_bytes() for path in base.iterdir()}
    run(capsys, "init", "--name", "train", "-o", "base/init")


def test_a_folder_of_something_else_stays_as_it_is(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = (project / "dataloader.lock").read_bytes()
    other = project / "other.lock"
    other.write_bytes(lock + b"# other\n")
    assert "file-taken" in run(capsys, "warm", "--name", "x", "--lockfile", "other.lock", "-o", ".", code=2)
    assert (project / "dataloader.lock").read_bytes() == lock
    base = project / "base"
    base.mkdir()
    (base / "job.yaml").write_text("[[")
    assert "is no resource" in run(capsys, "warm", "--name", "x", "-o", "base", code=2)
    (base / "job.yaml").unlink()
    (base / "kustomization.yaml").write_text("kind: Component\n")
    assert "is Component" in run(capsys, "warm", "--name", "x", "-o", "base", code=2)
    assert [path.name for path in base.iterdir()] == ["kustomization.yaml"]


OWN = {
    "--namespace": "ml", "--claim": "other", "--root": "/srv", "--image": "r.test/ours:2", "--workload": "r.test/w:2",
    "--ref": "r.test/other:3", "--target-prefix": "/srv/env", "--gpus": "2",
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_each_option_changes_something_or_is_refused(
    kind: Kind, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    least = ["--ref", "r.test/e:1"] if kind == "image-volume" else []
    before = run(capsys, kind, "--name", "train", *least)
    for option, value in OWN.items():
        words = [*([] if option == "--ref" else least), option, value]
        ended = main(["k8s", kind, "--name", "train", *words])
        said = capsys.readouterr()
        assert (ended == 2 and f"{option} can have no effect" in said.err) or (ended == 0 and said.out != before)


PAGES = sorted((Path(__file__).parents[3] / "docs/kubernetes").glob("*.md"))
OF_OTHERS = ("dataset.baizeai.io/",)
"""Kinds that Kubernetes itself does not have."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_resources_of_a_page_are_what_kubernetes_takes(page: Path) -> None:
    """Also that commands in them can be typed, mounted volumes are there, metrics that alerts name exist."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    documents = [each for block in blocks for each in yaml.safe_load_all(block)]
    resources = [each for each in documents if isinstance(each, dict) and "apiVersion" in each]
    for document, version in itertools.product(resources, VERSIONS):
        if not document["apiVersion"].startswith(OF_OTHERS):
            kubernetes_validate.validate(document, version, strict=True)
    for pod in (pod for document in resources for pod in pods_of(document)):
        there = {volume["name"] for volume in pod["volumes"]}
        assert pod["securityContext"]["runAsNonRoot"]
        for each in [*pod.get("initContainers", ()), *pod["containers"]]:
            assert each["securityContext"]["readOnlyRootFilesystem"]
            assert {mount["name"] for mount in each["volumeMounts"]} <= there
            if each["command"][0] == "dataloader":
                assert read(shlex.join(each["command"])) is None
    named = set(re.findall(r"dataloader_[a-z_]+", " ".join(blocks)))
    assert named <= {f"dataloader_sync_{name}" for name in ("success", "timestamp_seconds", "info", "exit_code")}
