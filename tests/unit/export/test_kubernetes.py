"""Manifests are what the schemas of Kubernetes take, and what the restricted Pod Security Standard lets in."""

from __future__ import annotations

import itertools
import json
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
    assert kustomization(shape(), ["job.yaml"], lock=False)["resources"] == ["job.yaml"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("image-volume",), "--ref"),
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
