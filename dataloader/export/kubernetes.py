"""Manifests of Kubernetes that bring an environment to its workloads. Pure: values in, plain documents out.

Every pod keeps to the restricted Pod Security Standard, and to a root file system that is read-only. What works on the
volume mounts it where the workload does, so that the paths in the environment's files are true in both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

from dataloader.base.values import dataclass

Kind: TypeAlias = Literal["init", "warm", "image-volume", "prune", "probe"]
Document: TypeAlias = dict[str, Any]

USER = 65532
"""Who runs: nobody in particular, as in distroless images."""
LOCK_FOLDER = "/etc/dataloader"
LOCK_KEY = "dataloader.lock"
COMPONENT, _MANAGER = "app.kubernetes.io/component", "app.kubernetes.io/managed-by"
MOST_LOCK = 900_000
"""Bytes of a lock in a ConfigMap, which takes a mebibyte in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What the manifests are about."""

    name: str
    """Of the environment, and of all that is made for it."""
    namespace: str | None = None
    image: str
    """This program's."""
    workload: str
    """The workload's image."""
    claim: str
    """A claim of a volume that many nodes may write (RWX)."""
    mount: str
    """Where it is mounted."""
    reference: str | None = None
    """The environment's image, where it comes from one."""
    locked_as: str | None = None
    """What the environment is called in the lock; ``None``: the only one, or the default one."""
    prefix: str
    """Where the environment is in that image."""
    gpus: int = 0
    """For the workload."""
    nodes: tuple[Mapping[str, str], ...] = ()
    """Labels of the pools on which it runs; no pool: anywhere."""

    @property
    def environment(self) -> str:
        """Where workloads on the volume find the environment."""
        return f"{self.mount}/{self.name}"

    @property
    def status(self) -> str:
        """Where a sync says how far it is."""
        return f"{self.mount}/.{self.name}-status.json"


def manifests(kind: Kind, shape: Shape) -> list[Document]:
    """The resources of a kind, in the order in which they are applied."""
    return [_named(resource, shape, kind=kind) for resource in _KINDS[kind](shape)]


def identity_of(document: Mapping[str, Any]) -> tuple[str | None, str | None, str | None]:
    """Kind, namespace and name of a resource: a cluster has one of them."""
    metadata = document.get("metadata") or {}
    return document.get("kind"), metadata.get("namespace"), metadata.get("name")


def needs_lock(kind: Kind, shape: Shape) -> bool:
    """Whether the ConfigMap of the lock goes with them."""
    return kind in {"init", "warm"} and shape.reference is None


def lock_map(shape: Shape, lock: str) -> Document:
    """The ConfigMap that holds the lock."""
    return _named({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}, "data": {LOCK_KEY: lock}}, shape, "-lock")


def kustomization(name: str, files: Sequence[str], *, lock: bool) -> Document:
    """What makes a folder of them a base of Kustomize."""
    found: Document = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": list(files),
    }
    if lock:  # a changed lock gets another name, and so the pods that read it are made anew
        found["configMapGenerator"] = [{"name": f"{name}-lock", "files": [LOCK_KEY]}]
    return found


def _init(shape: Shape) -> list[Document]:
    pod = _pod(shape, [_workload(shape)], [_on_volume(shape)], first=[_sync(shape)])
    return [_claim(), _deployment(shape, pod)]


def _warm(shape: Shape) -> list[Document]:
    pod = _pod(shape, [_sync(shape)], [_on_volume(shape)])
    return [_claim(), _job(pod)]


def _probe(shape: Shape) -> list[Document]:
    """A workload that counts as ready while the environment that ``warm`` makes is."""
    workload = _workload(shape)
    look = {"exec": {"command": ["grep", "-q", '"state": "done"', shape.status]}}
    workload["startupProbe"] = {**look, "periodSeconds": 10, "failureThreshold": 360}
    workload["readinessProbe"] = {**look, "periodSeconds": 30}
    return [_deployment(shape, _pod(shape, [workload], [_on_volume(shape, read_only=True)]))]


def _image_volume(shape: Shape) -> list[Document]:
    volume = {"name": "environment", "image": {"reference": shape.reference, "pullPolicy": "IfNotPresent"}}
    workload = _container("workload", shape.workload, [f"{shape.prefix}/bin/python", "-c", _READY], shape)
    workload["env"] = _variables(shape.prefix)
    mount = {"name": "environment", "mountPath": shape.prefix, "subPath": shape.prefix.strip("/"), "readOnly": True}
    workload["volumeMounts"] = [mount, _TEMPORARY_MOUNT]
    _with_gpus(workload, shape)
    return [_deployment(shape, _pod(shape, [workload], [volume]))]


def _prune(shape: Shape) -> list[Document]:
    on_root = ["--root", shape.mount, "--name", shape.name]
    generations = _ours("prune", ["prune", *on_root, "--keep=2", "--keep-days=7"], shape)
    cache = _ours("prune-cache", ["cache", "prune"], shape)
    pod = _pod(shape, [cache], [_on_volume(shape)], first=[generations])
    return [
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {},
            "spec": {
                "schedule": "17 3 * * *",
                "concurrencyPolicy": "Forbid",
                "successfulJobsHistoryLimit": 1,
                "failedJobsHistoryLimit": 3,
                "jobTemplate": {"spec": _job(pod)["spec"]},
            },
        }
    ]


_KINDS: Final[Mapping[Kind, Callable[[Shape], list[Document]]]] = {
    "init": _init,
    "warm": _warm,
    "image-volume": _image_volume,
    "prune": _prune,
    "probe": _probe,
}
KINDS: tuple[Kind, ...] = tuple(_KINDS)

_READY = "import sys, time; print(sys.prefix, flush=True); time.sleep(3600)"
"""In the place of what the user runs."""
_TEMPORARY_MOUNT: Final[Document] = {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108 -- in the pod


def _named(document: Document, shape: Shape, suffix: str = "", *, kind: Kind | None = None) -> Document:
    metadata: Document = {"name": f"{shape.name}{suffix or _suffix(document)}"}
    if shape.namespace:
        metadata["namespace"] = shape.namespace
    metadata["labels"] = {**_labels(shape), **({COMPONENT: kind} if kind else {})}
    if document["kind"] == "PersistentVolumeClaim":  # of whatever uses the volume
        metadata["name"], metadata["labels"] = shape.claim, {_MANAGER: "dataloader"}
    return {**document, "metadata": metadata}


def _suffix(document: Document) -> str:
    return {"Job": "-warm", "CronJob": "-prune"}.get(document["kind"], "")


def _labels(shape: Shape) -> Document:
    return {"app.kubernetes.io/name": shape.name, _MANAGER: "dataloader"}


def _claim() -> Document:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "50Gi"}}},
    }


def _deployment(shape: Shape, pod: Document) -> Document:
    labels = _labels(shape)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def _job(pod: Document) -> Document:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {},
        "spec": {
            "backoffLimit": 4,
            # Exit codes 2 and 4 come again however often it is tried; 3 says that it may go well later.
            "podFailurePolicy": {
                "rules": [
                    {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1, 2, 4]}},
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                ]
            },
            "template": {"spec": {**pod, "restartPolicy": "Never"}},
        },
    }


def _pod(
    shape: Shape, containers: list[Document], volumes: list[Document], *, first: Sequence[Document] = ()
) -> Document:
    pod: Document = {
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "automountServiceAccountToken": False,
        **({"initContainers": list(first)} if first else {}),
        "containers": containers,
        "volumes": [*volumes, {"name": "tmp", "emptyDir": {}}],
    }
    if any(mount["name"] == "lock" for container in (*first, *containers) for mount in container["volumeMounts"]):
        pod["volumes"].append({"name": "lock", "configMap": {"name": f"{shape.name}-lock"}})
    if shape.nodes:
        terms = [
            {
                "matchExpressions": [
                    {"key": key, "operator": "In", "values": [value]} for key, value in sorted(p.items())
                ]
            }
            for p in shape.nodes
        ]
        required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
        pod["affinity"] = {"nodeAffinity": required}
    return pod


def _on_volume(shape: Shape, *, read_only: bool = False) -> Document:
    claim: Document = {"claimName": shape.claim}
    return {"name": "environments", "persistentVolumeClaim": {**claim, "readOnly": True} if read_only else claim}


def _container(name: str, image: str, command: list[str], shape: Shape) -> Document:
    return {
        "name": name,
        "image": image,
        "command": command,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "4Gi"}},
        "volumeMounts": [{"name": "environments", "mountPath": shape.mount}, _TEMPORARY_MOUNT],
    }


def _ours(name: str, words: list[str], shape: Shape) -> Document:
    """A container of this program. Its cache is on the environments' volume: then files are linked, not copied."""
    made = _container(name, shape.image, ["dataloader", *words], shape)
    made["env"] = [
        {"name": "DATALOADER_CACHE_DIR", "value": f"{shape.mount}/.cache"},
        {"name": "HOME", "value": "/tmp"},  # noqa: S108 -- in the pod
    ]
    return made


def _sync(shape: Shape) -> Document:
    root = ["--root", shape.mount, "--name", shape.name, "--status-file", shape.status]
    if shape.reference is not None:
        return _ours("pull", ["pull", shape.reference, *root], shape)
    own = ["--environment", shape.locked_as] if shape.locked_as else []
    made = _ours("sync", ["sync", "--frozen", "--lockfile", f"{LOCK_FOLDER}/{LOCK_KEY}", *own, *root], shape)
    made["volumeMounts"].append({"name": "lock", "mountPath": LOCK_FOLDER, "readOnly": True})
    return made


def _workload(shape: Shape) -> Document:
    made = _container("workload", shape.workload, [f"{shape.environment}/bin/python", "-c", _READY], shape)
    made["env"] = _variables(shape.environment)
    made["volumeMounts"][0]["readOnly"] = True
    _with_gpus(made, shape)
    return made


def _with_gpus(container: Document, shape: Shape) -> None:
    if shape.gpus:
        container["resources"]["limits"]["nvidia.com/gpu"] = shape.gpus


def _variables(prefix: str) -> list[Document]:
    path = f"{prefix}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    # The environment cannot be written: what the first process of a pod compiles serves its others, and restarts.
    return [{"name": "PATH", "value": path}, {"name": "PYTHONPYCACHEPREFIX", "value": "/tmp/pycache"}]  # noqa: S108
