"""``dataloader push``: an environment as an image in a registry."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from dataloader.base.errors import UsageError
from dataloader.cli.line.command import TO_FETCH, command
from dataloader.cli.line.options import CommonOptions, Operand, own_option
from dataloader.cli.line.rooted import Name, check_root

TO_PUSH = tuple(name for name in TO_FETCH if name not in {"offline", "refresh"})

PlainHttp = Annotated[bool, own_option("--plain-http", about="Speak http to the registry; loopback is, anyway.")]


@command(
    example="dataloader push ghcr.io/team/train:1 -p /opt/env",
    takes=(*TO_PUSH, "prefix", "no_verify", "Output", "Report"),
)
def push(
    options: CommonOptions,
    reference: Annotated[str, Operand("REF", "Name of the image: registry.example.org/team/train:1.")],
    root: Annotated[
        Path | None, own_option("--root", metavar="DIR", about="Shared volume: push a generation there.")
    ] = None,
    name: Name = None,
    target_prefix: Annotated[
        Path | None,
        own_option(
            "--target-prefix", metavar="DIR", about="Where the environment is in the image; else where it is now."
        ),
    ] = None,
    base: Annotated[
        str | None, own_option("--base", metavar="REF", about="Image below the environment: debian:12-slim, say.")
    ] = None,
    entrypoint: Annotated[
        list[str] | None,
        own_option("--entrypoint", metavar="WORD", about="Program that containers start. May be repeated."),
    ] = None,
    compression: Annotated[
        Literal["zstd", "gzip"] | None,
        own_option("--compression", metavar="KIND", about="zstd, or gzip for older tools; else zstd."),
    ] = None,
    multi_platform: Annotated[
        bool,
        own_option("--multi-platform", about="Keep the images of other platforms that REF names: it is an index then."),
    ] = False,
    plain_http: PlainHttp = False,
) -> int:
    """Write an environment as an OCI image to a registry; only layers that it lacks travel."""
    from dataloader.cli.clusters import images
    from dataloader.cli.stages.flow import Destination

    check_root(root, name, options, "push ghcr.io/team/train:1")
    if target_prefix is not None and not target_prefix.is_absolute():
        raise UsageError(
            f"--target-prefix {target_prefix} is where the environment is in the image, and begins with a slash",
            suggestions=(f"--target-prefix /{target_prefix}",),
        )
    asked = images.PushAsked(
        reference=reference,
        place=Destination(root=root, name=name),
        target_prefix=target_prefix,
        base=base,
        entrypoint=tuple(entrypoint or ()),
        compression=compression or "zstd",
        multi_platform=multi_platform,
        plain_http=plain_http,
    )
    return images.push(options, asked)
