"""What people write and what tools lock, each format by its own reader; text in, frozen values out."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dataloader.base.errors import ManifestError
from dataloader.formats.content import MANIFESTS, WITH_SETS, read_content

if TYPE_CHECKING:
    from dataloader.request.asked import Asked
    from dataloader.request.input_file import InputFile
    from dataloader.request.manifests.manifest import Manifest


def has_sets(path: Path) -> bool:
    """Whether a file is of a format that has extras and groups."""
    return read_content(path).form in MANIFESTS | WITH_SETS


def read_file(
    path: Path,
    *,
    environ: Mapping[str, str] | None = None,
    platform: str | None = None,
    exact: bool = True,
    parts: Asked | None = None,
) -> InputFile | Manifest:
    """Read a file by what it holds.

    Args:
        path: The file.
        environ: What a requirements file may name.
        platform: Of a lock for several.
        exact: Whether a lock stands for exactly what it holds, or for what it was made from.
        parts: Which extras and groups are wanted of a lock.

    Raises ManifestError: ``format-unknown``, or the reader's own with every mistake.
    """
    content = read_content(path)
    if content.form in MANIFESTS:
        from dataloader.request.manifests.manifest import parse_manifest

        return parse_manifest(content.text, path, kind=content.form)
    if content.form == "environment.yml":
        from dataloader.request.readers.environment_yml import read_environment

        return read_environment(path, platform=platform)
    if content.form == "requirements.txt":
        from dataloader.request.readers.requirements_txt import read_requirements

        return read_requirements(path, environ=environ)
    if content.form == "dataloader.lock":
        raise ManifestError(
            f"{content.path} is a lock of ours, not a file of requirements",
            code="requirements-invalid",
            suggestions=(f"`dataloader sync --lockfile {shlex.quote(str(content.path))}` installs it",),
        )
    from dataloader.request.readers import locks

    wanted = locks.here(platform, parts)
    return locks.pinned(content, wanted) if exact else locks.asked_by(content, wanted)
