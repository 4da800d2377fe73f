"""``dataloader k8s``: manifests that bring an environment to its workloads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from dataloader import __version__
from dataloader.base.errors import UsageError
from dataloader.cli.line.advice import typed_of
from dataloader.cli.line.command import command
from dataloader.cli.line.options import CommonOptions, Operand, own_option

if TYPE_CHECKING:
    from dataloader.cli.stages.session import Session
    from dataloader.export.kubernetes import Kind, Shape


KindOperand = Annotated[
    Literal["init", "warm", "image-volume", "prune", "probe"],
    Operand(
        "KIND",
        "init: a workload whose init container syncs; warm: a Job that syncs; image-volume: a workload on an image "
        "that push made; prune: a CronJob; probe: a workload that is ready when the environment is.",
    ),
]
Name = Annotated[
    str | None, own_option("--name", metavar="NAME", about="Name of the environment; else that of its project.")
]
Namespace = Annotated[
    str | None, own_option("--namespace", metavar="NAME", about="Namespace of the resources; else none is written.")
]
Claim = Annotated[
    str | None, own_option("--claim", metavar="NAME", about="Claim of the shared volume; else environments.")
]
Root = Annotated[
    Path | None,
    own_option("--root", metavar="DIR", about="Where pods mount the shared volume; else /mnt/envs."),
]
Program = Annotated[
    str | None, own_option("--image", metavar="REF", about="Image of this program; else dataloader:VERSION.")
]
Workload = Annotated[
    str | None, own_option("--workload", metavar="REF", about="Image of the workload; else debian:12-slim.")
]
Reference = Annotated[
    str | None,
    own_option("--ref", metavar="REF", about="Image of the environment, which is pulled in place of a sync."),
]
TargetPrefix = Annotated[
    Path | None,
    own_option("--target-prefix", metavar="DIR", about="Where the environment is in that image; else /opt/env."),
]
Gpus = Annotated[int, own_option("--gpus", metavar="N", about="NVIDIA GPUs for the workload.")]
Output = Annotated[
    Path | None,
    own_option("--output", "-o", metavar="DIR", about="Write a base of Kustomize to this folder; else to stdout."),
]


@command(
    example="dataloader k8s init --name train --claim envs",
    takes=("prefix", "manifest", "lockfile", "environment", "target", "Output"),
)
def k8s(
    options: CommonOptions,
    kind: KindOperand,
    name: Name = None,
    namespace: Namespace = None,
    claim: Claim = None,
    root: Root = None,
    image: Program = None,
    workload: Workload = None,
    reference: Reference = None,
    target_prefix: TargetPrefix = None,
    gpus: Gpus = 0,
    output: Output = None,
) -> int:
    """Print Kubernetes manifests: pods that may nearly nothing, on nodes where the environment runs."""
    from dataloader.cli.stages.session import open_session
    from dataloader.export.kubernetes import Shape
    from dataloader.prefix.locate import DEFAULT_ENVIRONMENT
    from dataloader.request.places import environment_in, lock_path

    _check_read(kind, options, by_image=reference is not None)
    with open_session(options) as session:
        lock = lock_path(options, session.here)
        called = environment_in(options, session.here, lock)
        shape = Shape(
            name=_name(name or lock.resolve().parent.name, said=name is not None),
            namespace=_name(namespace, said=True, option="--namespace") if namespace is not None else None,
            image=_image(image, "--image") or f"dataloader:{__version__}",
            workload=_image(workload, "--workload") or "debian:12-slim",
            claim="environments" if claim is None else _name(claim, said=True, option="--claim"),
            mount=_absolute(root or Path("/mnt/envs"), "--root"),
            reference=_image(reference, "--ref"),
            locked_as=called if called != DEFAULT_ENVIRONMENT else None,
            prefix=_absolute(target_prefix or Path("/opt/env"), "--target-prefix"),
            gpus=max(gpus, 0),
            nodes=_nodes(session),
        )
        _write(session, kind, shape, lock, output)
    return 0


_UNREAD: Mapping[str, frozenset[str]] = {
    "init": frozenset({"target_prefix"}),
    "warm": frozenset({"target_prefix", "workload", "gpus"}),
    "probe": frozenset({"target_prefix", "image", "reference"}),
    "prune": frozenset({"target_prefix", "workload", "gpus", "reference"}),
    "image-volume": frozenset({"claim", "root", "image"}),
}
"""Kind -> options that are of other kinds."""


def _check_read(kind: Kind, options: CommonOptions, *, by_image: bool) -> None:
    """Refuse what is typed and has no effect, and a volume of an image without an image."""
    if said := typed_of("k8s", _UNREAD[kind] & options.typed):
        words = ", ".join(parameter.names[0] for parameter in said)
        raise UsageError(f"k8s {kind}: {words} can have no effect", suggestions=("leave it out",))
    if kind == "image-volume" and not by_image:
        raise UsageError(
            "k8s image-volume mounts an image, and none is named",
            suggestions=("dataloader k8s image-volume --ref ghcr.io/team/train:1",),
        )


def _image(text: str | None, option: str) -> str | None:
    """A name of an image as kubelets take it.

    Raises:
        UsageError: it is none.
    """
    from dataloader.oci.reference import parse_reference

    if text is None:
        return None
    try:
        parse_reference(text)
    except UsageError as error:
        error.message = f"{option}: {error.message}"
        raise
    return re.sub(r"^(oci|docker)://", "", text)


def _name(text: str, *, said: bool, option: str = "--name") -> str:
    """A name as Kubernetes takes it (RFC 1123)."""
    found = text if said else re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")[:50].strip("-") or "environment"
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?", found):
        raise UsageError(
            f"{option}: {text!r} is no name for Kubernetes: small letters, digits and hyphens, at most 52",
            code="name-invalid",
            suggestions=(f"{option} {_LIKE[option]}",),
        )
    return found


_LIKE = {"--name": "train", "--namespace": "ml", "--claim": "envs"}


def _absolute(path: Path, option: str) -> str:
    if not path.is_absolute():
        raise UsageError(
            f"{option} {path} is a path in the pod, and begins with a slash", suggestions=(f"{option} /{path}",)
        )
    return str(path)


def _nodes(session: Session) -> tuple[Mapping[str, str], ...]:
    """Labels of the pools of ``--target`` on which the environment runs, by verify; without a file, none.

    Raises:
        UsageError: it runs on none of them.
    """
    from dataloader.cli.stages.use import prefix_of
    from dataloader.locking.targets import named_targets
    from dataloader.machine.detect import FOR_VERDICTS
    from dataloader.verify.fleet import verify_fleet
    from dataloader.verify.options import VerifyOptions

    if session.options.target is None:
        return ()
    from dataloader.prefix.activate import activation
    from dataloader.prefix.state import installed

    prefix = prefix_of(session)
    installed(prefix)
    targets = named_targets(session.options, session.environ, FOR_VERDICTS)
    how = VerifyOptions(cache=session.cache / "facts", library_path=activation(prefix).library_path)
    verdicts = verify_fleet(prefix, targets=targets, options=how)
    for judged in verdicts:
        if judged.runs == "cannot":
            session.reporter.warn(f"on {judged.pool} it does not run: {'; '.join(judged.because[:3])}")
    found = tuple(verdict.node_selector for verdict in verdicts if verdict.runs != "cannot")
    if not found:
        raise UsageError(
            f"{prefix} runs on none of the machines of {session.options.target}",
            code="no-node",
            causes=tuple(f"{verdict.pool}: {reason}" for verdict in verdicts for reason in verdict.because[:3]),
            suggestions=("`dataloader verify --target FILE` says more",),
        )
    return found


def _write(session: Session, kind: Kind, shape: Shape, lock: Path, output: Path | None) -> None:
    from dataloader.cli.clusters.kustomize import as_yaml, planned
    from dataloader.export.kubernetes import MOST_LOCK, lock_map, manifests, needs_lock
    from dataloader.lockfile.parts import meant_environment
    from dataloader.lockfile.yaml import read_locks

    documents, data = manifests(kind, shape), ""
    if needs_lock(kind, shape):
        meant_environment(read_locks(lock), shape.locked_as, lock)  # each pod takes the part for its platform
        data = lock.read_text(encoding="utf-8")
        if len(data) > MOST_LOCK:
            raise UsageError(
                f"{lock} has {len(data)} bytes, more than a ConfigMap takes",
                code="lock-too-large",
                suggestions=("push the environment, and name its image with --ref",),
            )
    if output is None:
        found = [lock_map(shape, data), *documents] if data else documents
        session.write({"status": "ok", "kind": kind, "manifests": found, "path": None}, as_yaml(*found))
        return
    named = {f"{document['kind'].lower()}.yaml": (document, as_yaml(document)) for document in documents}
    files = planned(output, shape.name, named, data)
    _put(output, files)
    session.write(
        {"status": "ok", "kind": kind, "manifests": documents, "path": str(output.resolve())},
        "".join(f"{output / name}\n" for name in sorted(files)),
    )


def _put(folder: Path, files: Mapping[str, str]) -> None:
    from dataloader.base.files import replace_file
    from dataloader.cli.stages.outputs import writing

    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            replace_file(folder / name, text.encode())
