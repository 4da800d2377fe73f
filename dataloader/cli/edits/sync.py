"""``dataloader sync``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from dataloader.cli.edits.install import Adopt, Reinstall, StrictRecords
from dataloader.cli.line.advice import exclusive
from dataloader.cli.line.command import INSTALL, command
from dataloader.cli.line.options import CommonOptions, own_option
from dataloader.cli.line.rooted import CacheLayers, Name, Timeout, check_root

Root = Annotated[
    Path | None,
    own_option("--root", metavar="DIR", about="Shared volume: build a generation there and switch a link to it."),
]
TargetPrefix = Annotated[
    Path | None,
    own_option("--target-prefix", metavar="DIR", about="Where the environment will be mounted, if not here."),
]
Durable = Annotated[
    bool | None,
    own_option(
        "--durable/--no-durable",
        about="Wait until all is on the disk before switching, against a power loss; else with --root only.",
    ),
]
DatasetFile = Annotated[
    Path | None,
    own_option("--dataset", metavar="FILE", about="Carry out a Dataset resource on the volume at --root."),
]
BundleFile = Annotated[
    Path | None,
    own_option(
        "--bundle", metavar="FILE", about="Install what `dataloader bundle` wrote, of its own archives: no network."
    ),
]


@command(example="dataloader sync --locked -p /opt/env", takes=INSTALL)
def sync(
    options: CommonOptions,
    frozen: Annotated[
        bool, own_option("--frozen", about="Use the lock as it is; do not look at the manifest.")
    ] = False,
    locked: Annotated[bool, own_option("--locked", about="Fail when the lock no longer fits the manifest.")] = False,
    check: Annotated[bool, own_option("--check", about="Change nothing; fail when there is work to do.")] = False,
    root: Root = None,
    name: Name = None,
    target_prefix: TargetPrefix = None,
    cache_layer: CacheLayers = None,
    timeout: Timeout = None,
    durable: Durable = None,
    dataset: DatasetFile = None,
    bundle: BundleFile = None,
    adopt: Adopt = False,
    reinstall: Reinstall = False,
    strict_records: StrictRecords = False,
) -> int:
    """Make the prefix match the lock, touching only what differs."""
    from dataloader.cli.stages import flow

    if dataset is not None and bundle is not None:
        raise exclusive("--dataset", "--bundle")
    if dataset is not None:
        from dataloader.cli.clusters.dataset import sync_dataset

        return sync_dataset(options, dataset, root or Path())
    if frozen and locked:
        raise exclusive("--frozen", "--locked")
    check_root(root, name, options, "sync")
    place = flow.Destination(
        root=root,
        name=name,
        target_prefix=target_prefix,
        layers=tuple(cache_layer or ()),
        wait_seconds=timeout,
        durable=durable,
        adopt=adopt,
        rebuild=reinstall,
        strict_records=strict_records,
    )
    if bundle is not None:
        from dataloader.cli.stages.from_bundle import sync_bundle

        if locked:
            raise exclusive("--bundle", "--locked")
        return sync_bundle(options, bundle, command="sync", check=check, place=place)
    from dataloader.cli.stages.foreign import foreign_content, sync_foreign

    if content := foreign_content(options.lockfile):
        return sync_foreign(options, content, locked=locked, check=check, place=place)
    return flow.sync(options, frozen=frozen, locked=locked, check=check, place=place)
