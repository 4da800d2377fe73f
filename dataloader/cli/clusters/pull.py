"""``dataloader pull``: an image from a registry as an environment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from dataloader.cli.clusters.push import PlainHttp
from dataloader.cli.line.command import command
from dataloader.cli.line.options import CommonOptions, Operand, own_option
from dataloader.cli.line.rooted import CacheLayers, Name, Timeout, check_root


@command(
    example="dataloader pull ghcr.io/team/train:1 --root /mnt/envs --name train",
    takes=("prefix", "lockfile", "mirror", "limit_rate", "no_verify", "dry_run", "yes", "Output", "Report"),
)
def pull(
    options: CommonOptions,
    reference: Annotated[str, Operand("REF", "Name of the image: registry.example.org/team/train:1.")],
    root: Annotated[
        Path | None,
        own_option("--root", metavar="DIR", about="Shared volume: make a generation there and switch a link to it."),
    ] = None,
    name: Name = None,
    cache_layer: CacheLayers = None,
    timeout: Timeout = None,
    plain_http: PlainHttp = False,
) -> int:
    """Make an environment of an image that push made; only what the cache lacks is fetched, and checked."""
    from dataloader.cli.clusters import images
    from dataloader.cli.stages.flow import Destination

    check_root(root, name, options, "pull ghcr.io/team/train:1")
    asked = images.PullAsked(
        reference=reference,
        place=Destination(root=root, name=name, layers=tuple(cache_layer or ()), wait_seconds=timeout),
        plain_http=plain_http,
    )
    return images.pull(options, asked)
