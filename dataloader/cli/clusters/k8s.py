"""``dataloader k8s``: manifests that bring an environment to its workloads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from dataloader.base.errors import UsageError
from dataloader.cli.line.command import command
from dataloader.cli.line.options import CommonOptions, Operand, own_option

if TYPE_CHECKING:
    from dataloader.cli.stages.session import Session
    from dataloader.export.kubernetes import Kind, Shape


@command(
    example="dataloader k8s init --name train --claim envs",
    takes=("prefix", "manifest", "lockfile", "environment", "target", "Output"),
)
def k8s(
    options: CommonOptions,
    kind: Annotated[
        Literal["init", "warm", "image-volume", "prune", "probe"],
        Operand(
            "KIND",
            "init: a workload whose init container syncs; warm: a Job that syncs; image-volume: a workload on an image "
            "that push made; prune: a CronJob; probe: a workload that is ready when the environment is.",
        ),
    ],
    name: Annotated[
        str | None, own_option("--name", metavar="NAME", about="Name of the environment; else that of its project.")
    ] = None,
    namespace: Annotated[
        str | None, own_option("--namespace", metavar="NAME", about="Namespace of the resources; else none is written.")
    ] = None,
    claim: Annotated[
        str | None, own_option("--claim", metavar="NAME", about="Claim of the shared volume; else environments.")
    ] = None,
    root: Annotated[
        Path | None,
        own_option("--root", metavar="DIR", about="Where pods mount the shared volume; else /mnt/envs."),
    ] = None,
    image: Annotated[
        str | None, own_option("--image", metavar="REF", about="Image of this program; else dataloader:VERSION.")
    ] = None,
    workload: Annotated[
        str | None, own_option("--workload", metavar="REF", about="Image of the workload; else debian:12-slim.")
    ] = None,
    reference: Annotated[
        str | None,
        own_option("--ref", metavar="REF", about="Image of the environment, which is pulled in place of a sync."),
    ] = None,
    target_prefix: Annotated[
        Path | None,
        own_option("--target-prefix", metavar="DIR", about="Where the environment is in that image; else /opt/env."),
    ] = None,
    gpus: Annotated[int, own_option("--gpus", metavar="N", about="NVIDIA GPUs for the workload.")] = 0,
    output: Annotated[
        Path | None,
        own_option("--output", "-o", metavar="DIR", about="Write a base of Kustomize to this folder; else to stdout."),
    ] = None,
) -> int:
    """Print Kubernetes manifests: pods that may nearly nothing, on nodes where the environment runs."""
    from dataloader import __version__
    from dataloader.cli.stages.session import open_session
    from dataloader.export.kubernetes import Shape
    from dataloader.request.places import lock_path

    if kind == "image-volume" and reference is None:
        raise UsageError(
            "k8s image-volume mounts an image, and none is named",
            suggestions=("dataloader k8s image-volume --ref ghcr.io/team/train:1",),
        )
    with open_session(options) as session:
        lock = lock_path(options, session.here)
        shape = Shape(
            name=_name(name or lock.resolve().parent.name, said=name is not None),
            namespace=_name(namespace, said=True) if namespace else None,
            image=image or f"dataloader:{__version__}",
            workload=workload or "debian:12-slim",
            claim=_name(claim or "environments", said=True),
            mount=_absolute(root or Path("/mnt/envs"), "--root"),
            reference=reference,
            prefix=_absolute(target_prefix or Path("/opt/env"), "--target-prefix"),
            gpus=max(gpus, 0),
            nodes=_nodes(session),
        )
        _write(session, kind, shape, lock, output)
    return 0


def _name(text: str, *, said: bool) -> str:
    """A name as Kubernetes takes it (RFC 1123)."""
    found = text if said else re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")[:50].strip("-") or "environment"
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?", found):
        raise UsageError(
            f"{text!r} is no name for Kubernetes: small letters, digits and hyphens, at most 52",
            code="name-invalid",
            suggestions=("--name train",),
        )
    return found


def _absolute(path: Path, option: str) -> str:
    if not path.is_absolute():
        raise UsageError(f"{option} {path} is a path in the pod, and begins with a slash", suggestions=(f"/{path}",))
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
    from dataloader.install.sync import installed
    from dataloader.prefix.activate import activation

    prefix = prefix_of(session)
    installed(prefix)
    targets = named_targets(session.options, session.environ, FOR_VERDICTS)
    how = VerifyOptions(cache=session.cache / "facts", library_path=activation(prefix).library_path)
    verdicts = verify_fleet(prefix, targets=targets, options=how)
    for each in verdicts:
        if each.runs == "cannot":
            session.reporter.warn(f"on {each.pool} it does not run: {'; '.join(each.because[:3])}")
    found = tuple(verdict.node_selector for verdict in verdicts if verdict.runs != "cannot")
    if not found:
        raise UsageError(
            f"{prefix} runs on none of the machines of {session.options.target}",
            code="no-node",
            causes=tuple(f"{verdict.pool}: {reason}" for verdict in verdicts for reason in verdict.because[:3]),
            suggestions=("`dataloader verify --target FILE` says more.",),
        )
    return found


def _write(session: Session, kind: Kind, shape: Shape, lock: Path, output: Path | None) -> None:
    from dataloader.export.kubernetes import LOCK_KEY, MOST_LOCK, kustomization, lock_map, manifests, needs_lock
    from dataloader.lockfile.yaml import read_lock

    documents, data = manifests(kind, shape), ""
    if needs_lock(kind, shape):
        read_lock(lock)
        data = lock.read_text(encoding="utf-8")
        if len(data) > MOST_LOCK:
            raise UsageError(
                f"{lock} has {len(data)} bytes, more than a ConfigMap takes",
                code="lock-too-large",
                suggestions=("Push the environment, and name its image with --ref.",),
            )
    if output is None:
        found = [lock_map(shape, data), *documents] if data else documents
        session.write({"status": "ok", "kind": kind, "manifests": found, "path": None}, _yaml(*found))
        return
    files = {f"{document['kind'].lower()}.yaml": _yaml(document) for document in documents}
    made = {**files, "kustomization.yaml": _yaml(kustomization(shape, sorted(files), lock=bool(data)))}
    if data:
        made[LOCK_KEY] = data
    _put(output, made)
    session.write(
        {"status": "ok", "kind": kind, "manifests": documents, "path": str(output.resolve())},
        "".join(f"{output / name}\n" for name in sorted(made)),
    )


def _yaml(*documents: dict[str, Any]) -> str:
    import yaml

    return "---\n".join(yaml.dump(document, Dumper=_dumper(), sort_keys=False, width=1000) for document in documents)


def _dumper() -> type[Any]:
    """YAML without aliases, and with texts of several lines as such."""
    import yaml

    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, _: object) -> bool:
            return True

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Plain.add_representer(str, text)
    return Plain


def _put(folder: Path, files: Mapping[str, str]) -> None:
    from dataloader.base.files import replace_file
    from dataloader.cli.stages.outputs import writing

    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            replace_file(folder / name, text.encode())
