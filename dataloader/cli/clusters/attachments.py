"""What goes with a pushed environment: its lock in two words, what is in it, what verify says, what nodes must have."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dataloader.base.errors import ResolutionFailure
from dataloader.oci.attach import Attachment

if TYPE_CHECKING:
    from dataloader.cli.stages.session import Session
    from dataloader.lockfile.model import Lockfile
    from dataloader.machine.target import Target
    from dataloader.request.request import Request
    from dataloader.verify.judgement import Inspection
    from dataloader.verify.options import VerifyOptions

LOCK_TYPE = "application/vnd.dataloader.lock.v1+yaml"
PIXI_TYPE = "application/vnd.pixi.lock.v1+yaml"
SBOM_TYPE = "application/vnd.cyclonedx+json"
REPORT_TYPE = "application/vnd.dataloader.verify.v1+json"
MAPPED_TYPE = "application/vnd.dataloader.mapped.v1+text"
CONTRACT_TYPE = "application/vnd.nfd.image-compatibility.v1alpha1"
"""By which Node Feature Discovery finds what an image needs of a node."""
CONTRACT_LAYER = "application/vnd.nfd.image-compatibility.spec.v1alpha1+yaml"


def attachments_of(
    session: Session, request: Request, lock: Lockfile, data: bytes, tree: Path, prefix: str
) -> tuple[Attachment, ...]:
    """What refers to the image. Nothing of it depends on the day, nor on this machine but the report.

    Args:
        data: The lock's bytes.
        tree: Where the environment is on disk.
        prefix: Where it is in the image.
    """
    from datetime import datetime, timezone

    from dataloader.export.formats import ExportOptions, export_lock
    from dataloader.oci.content import EPOCH

    made = ExportOptions(created=datetime.fromtimestamp(EPOCH, timezone.utc))
    found = (
        Attachment(LOCK_TYPE, "dataloader.lock", data),
        Attachment(PIXI_TYPE, "pixi.lock", export_lock(lock, "pixi.lock-6", made).encode()),
        Attachment(SBOM_TYPE, "sbom.cdx.json", export_lock(lock, "cyclonedx", made).encode()),
    )
    return found if session.options.no_verify else (*found, *_judged(session, request, lock, tree, prefix))


def _judged(session: Session, request: Request, lock: Lockfile, tree: Path, prefix: str) -> list[Attachment]:
    """What the bytes of the environment say."""
    from dataloader.cli.stages.proof import targets_of
    from dataloader.prefix.activate import activation
    from dataloader.prefix.walk import walk
    from dataloader.verify.mapped import mapped_libraries
    from dataloader.verify.options import VerifyOptions
    from dataloader.verify.run import inspect_prefix

    targets = targets_of(session, request)
    options = VerifyOptions(cache=session.cache / "facts", library_path=activation(tree).library_path, reuse=False)
    found = [Attachment(REPORT_TYPE, "verify.json", _report(session, targets, lock, tree, options))]
    # Of whichever machine: what is read from the bytes is the same for all.
    (inspection,) = inspect_prefix(tree, lambda: walk(tree), targets=targets[:1], options=options)
    found += _contract(session, inspection)
    mapped = mapped_libraries(inspection, [name.rpartition(":")[2] for name in lock.requested])
    if mapped:
        text = "".join(f"{prefix}/{path}\n" for path in mapped)
        found.append(Attachment(MAPPED_TYPE, "mapped.txt", text.encode("utf-8", "surrogateescape")))
    return found


def _contract(session: Session, inspection: Inspection) -> list[Attachment]:
    """What the environment needs of a node's GPU and driver; nothing where any node will do."""
    from dataloader.verify.contract import FORMATS, contract_of

    try:
        needs = contract_of(inspection)
    except ResolutionFailure as failure:
        session.reporter.warn(f"{failure}: no contract for nodes goes with the image")
        return []
    if needs.is_empty:
        return []
    return [Attachment(CONTRACT_TYPE, "node.yaml", FORMATS["nfd"](needs).encode(), CONTRACT_LAYER)]


def _report(session: Session, targets: Sequence[Target], lock: Lockfile, tree: Path, options: VerifyOptions) -> bytes:
    """What verify says of the environment, for the machines that it was asked for."""
    from dataloader.verify.fleet import verify_fleet

    verdicts = verify_fleet(tree, targets=targets, lock=lock, options=options)
    for verdict in verdicts:
        if verdict.runs == "cannot":
            session.reporter.warn(f"on {verdict.pool} it does not run: {'; '.join(verdict.because[:3])}")
    document = {"version": 1, "pools": [verdict.to_dict() for verdict in verdicts]}
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()
