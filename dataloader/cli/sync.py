"""``dataloader sync``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from dataloader.base.errors import UsageError
from dataloader.cli.command import INSTALL, command
from dataloader.cli.install import Adopt, Reinstall, StrictRecords
from dataloader.cli.options import CommonOptions, own_option


@command(example="dataloader sync --locked -p /opt/env", takes=INSTALL)
def sync(
    options: CommonOptions,
    frozen: Annotated[
        bool, own_option("--frozen", about="Use the lock as it is; do not look at the manifest.")
    ] = False,
    locked: Annotated[bool, own_option("--locked", about="Fail when the lock no longer fits the manifest.")] = False,
    check: Annotated[bool, own_option("--check", about="Change nothing; fail when there is work to do.")] = False,
    root: Annotated[
        Path | None,
        own_option("--root", metavar="DIR", about="Shared volume: build a generation there and switch a link to it."),
    ] = None,
    name: Annotated[
        str | None, own_option("--name", metavar="NAME", about="Name of the environment below --root.")
    ] = None,
    target_prefix: Annotated[
        Path | None,
        own_option("--target-prefix", metavar="DIR", about="Where the environment will be mounted, if not here."),
    ] = None,
    cache_layer: Annotated[
        list[Path] | None,
        own_option("--cache-layer", metavar="DIR", about="A read-only cache below the writable one. May be repeated."),
    ] = None,
    timeout: Annotated[
        float | None,
        own_option("--timeout", metavar="SECONDS", about="How long to wait for another sync of the same environment."),
    ] = None,
    durable: Annotated[
        bool | None,
        own_option(
            "--durable/--no-durable",
            about="Wait until all is on the disk before switching, against a power loss; else with --root only.",
        ),
    ] = None,
    dataset: Annotated[
        Path | None,
        own_option("--dataset", metavar="FILE", about="Carry out a Dataset resource on the volume at --root."),
    ] = None,
    adopt: Adopt = False,
    reinstall: Reinstall = False,
    strict_records: StrictRecords = False,
) -> int:
    """Make the prefix match the lock, touching only what differs."""
    from dataloader.cli import flow

    if dataset is not None:
        from dataloader.cli.clusters.dataset import sync_dataset

        return sync_dataset(options, dataset, root or Path())
    if frozen and locked:
        raise UsageError("--frozen and --locked exclude each other", suggestions=("Leave one of them out.",))
    if (root is None) != (name is None):
        raise UsageError(
            "--root and --name belong together", suggestions=("dataloader sync --root /mnt/envs --name train",)
        )
    if root is not None and "prefix" in options.typed:
        raise UsageError("--root and --prefix exclude each other", suggestions=("Leave one of them out.",))
    place = flow.Place(
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
    from dataloader.cli.foreign import foreign_content, sync_foreign

    if content := foreign_content(options.lockfile):
        return sync_foreign(options, content, locked=locked, check=check, place=place)
    return flow.sync(options, frozen=frozen, locked=locked, check=check, place=place)
