"""``dataloader sync --dataset``: a Dataset resource carried out here, as its controller's Job would."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from dataloader.base.errors import DataloaderError, ExitCode, PrefixError, UsageError
from dataloader.cli.line.advice import typed_of
from dataloader.cli.line.options import CommonOptions
from dataloader.cli.stages.session import Session, open_session
from dataloader.dataset.request import SECRETS, Mount, make_source
from dataloader.dataset.resource import TEXTS, Resource, read_resource
from dataloader.dataset.status import Round

if TYPE_CHECKING:
    from dataloader.cli.line.command import Parameter

HEEDED = frozenset({"dataset", "root", "json", "quiet", "verbose", "color"})
"""Options that go with ``--dataset``; the resource says all else, and variables say how."""
_FIELDS = {
    "name": "spec.source.options.name",
    "target_prefix": "spec.source.options.condaPrefixDir",
    "index_url": "spec.source.options.pipIndexUrl",
    "extra_index_url": "spec.source.options.pipExtraIndexUrl",
    "channels": "spec.source.options.condaEnvironmentYml",
    "files": "spec.source.options.condaEnvironmentYml",
    "requirements": "spec.source.options.pipRequirementsTxt",
    "manifest": "spec.source.options.pixiToml",
}
"""Option -> where the resource says it."""
_BY_VARIABLE = frozenset(
    {"mirror", "target", "limit_rate", "find_links", "require_attestation", "trusted_root", "matrix"}
)
"""Options of how, not of what: the Job's container has variables for them."""
_PATHS = {
    "condaEnvironmentYmlPath": TEXTS["condaEnvironmentYml"],
    "pipRequirementsTxtPath": TEXTS["pipRequirementsTxt"],
    "pixiTomlPath": TEXTS["pixiToml"],
}


def sync_dataset(options: CommonOptions, path: Path, root: Path) -> int:
    """Make the environment of a Dataset on the volume at ``root``, and say its status; the exit code.

    Raises:
        UsageError: an option is typed that the resource decides.
    """
    if others := typed_of("sync", options.typed - HEEDED):
        raise _decided(others, path)
    with open_session(options, "sync-dataset") as session:
        made, resource, code = Round(lambda: datetime.now(timezone.utc)), None, 0
        try:
            with made.stage("Config"):
                resource = read_resource(path)
                make_source(resource.kind, resource.uri, resource.options)
            _carry_out(session, resource, root, made)
        except (DataloaderError, OSError) as error:
            code = int(getattr(error, "exit_code", ExitCode.NO)) or 1
            _say(session, error)
        _write(session, made, resource, code)
    return code


def _decided(others: Sequence[Parameter], path: Path) -> UsageError:
    """What is said of options beside a resource, and how each is said instead."""
    said = {parameter.names[0].partition("/")[0]: parameter for parameter in others}
    advice = [
        f"write {_FIELDS[parameter.name]} in {path} in place of {option}"
        for option, parameter in said.items()
        if parameter.name in _FIELDS
    ]
    advice += [f"{parameter.variables[0]}=... says the same" for parameter in others if parameter.name in _BY_VARIABLE]
    if len(advice) < len(said):
        advice.append("leave it out" if not advice else "leave the others out")
    message = f"--dataset says what to install: {', '.join(said)} can have no effect"
    return UsageError(message, suggestions=tuple(advice))


def _carry_out(session: Session, resource: Resource, root: Path, made: Round) -> None:
    from dataloader.cli.app import main as run_line
    from dataloader.dataset.load import load

    for notice in resource.notices:
        session.reporter.warn(notice)
    with made.stage("PVC"):
        volume = root.absolute() / resource.subpath
        if not root.is_dir():
            raise PrefixError(
                f"there is no {root}", code="prefix-missing", suggestions=("mount the volume, or name it with --root",)
            )
        volume.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="dataset-") as folder:
        with made.stage("ConfigMap"):
            for name, text in resource.texts.items():
                Path(folder, name).write_text(text, encoding="utf-8")
            paths = {key: str(Path(folder, name)) for key, name in _PATHS.items() if name in resource.texts}
        with made.stage("Job"):
            source = make_source(resource.kind, resource.uri, {**resource.options, **paths})
            mount = Mount(root=volume, path=resource.path, mode=resource.mode, uid=resource.uid, gid=resource.gid)
        with made.stage("JobStatus"), contextlib.redirect_stdout(sys.stderr):
            _allow(mount)
            load(source, mount, SECRETS, run_line)


def _allow(mount: Mount) -> None:
    """Refuse an owner that only root can give, before anything is built."""
    if os.getuid() != 0 and mount.uid != os.getuid():
        raise PrefixError(
            f"files are to belong to user {mount.uid}, which only root can do",
            code="prefix-read-only",
            suggestions=(f"write spec.mountOptions.uid: {os.getuid()} and its gid, or run it as root",),
        )


def _say(session: Session, error: Exception) -> None:
    session.reporter.warn(f"failed to load data: {error}")
    for line in (*getattr(error, "causes", ()), *getattr(error, "suggestions", ())):
        session.reporter.info(line)


def _write(session: Session, made: Round, resource: Resource | None, code: int) -> None:
    status = made.document(resource)
    name = f"{resource.namespace}/{resource.name}" if resource else None
    text = f"{name or 'dataset'} {made.phase}\n"
    for condition in made.conditions:
        message = f", {condition.message}" if condition.message else ""
        text += f"  {condition.kind}: {'True' if condition.holds else 'False'}{message}\n"
    document = {"status": "error" if code else "ok", "dataset": name, "resourceStatus": status}
    session.write(document, text)
