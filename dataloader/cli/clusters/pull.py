"""``dataloader pull``: an image from a registry as an environment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from dataloader.cli.clusters.push import PlainHttp, check_root
from dataloader.cli.command import command
from dataloader.cli.options import CommonOptions, Operand, own_option


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
    name: Annotated[
        str | None, own_option("--name", metavar="NAME", about="Name of the environment below --root.")
    ] = None,
    cache_layer: Annotated[
        list[Path] | None,
        own_option("--cache-layer", metavar="DIR", about="A read-only cache below the writable one. May be repeated."),
    ] = None,
    timeout: Annotated[
        float | None,
        own_option("--timeout", metavar="SECONDS", about="How long to wait for another sync of the same environment."),
    ] = None,
    plain_http: PlainHttp = False,
) -> int:
    """Make an environment of an image that push made; only what the cache lacks is fetched, and checked."""
    from dataloader.cli.clusters import images

    check_root(root, name, options, "pull ghcr.io/team/train:1")
    asked = images.PullAsked(
        reference=reference,
        root=root,
        name=name,
        layers=tuple(cache_layer or ()),
        wait_seconds=timeout,
        plain_http=plain_http,
    )
    return images.pull(options, asked)
