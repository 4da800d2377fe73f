"""One environment of a manifest as an input file: what ``-r pyproject.toml`` asks for."""

from __future__ import annotations

from collections.abc import Iterator

from dataloader.machine.target import SystemRequirements
from dataloader.request.input_file import InputFile
from dataloader.request.manifests.manifest import DEFAULT, Manifest, ManifestEnvironment


def input_of(manifest: Manifest, platform: str, chosen: tuple[str, ...] = ()) -> InputFile:
    """Return what a manifest's own environment asks for, with the extras and groups that are ``chosen``."""
    environment, resolution = manifest.environment(DEFAULT, platform, chosen), manifest.resolution
    pypi = environment.pypi
    return InputFile(
        path=str(manifest.path),
        requirements=environment.requirements,
        constraints=resolution.constraints,
        overrides=resolution.overrides,
        name=manifest.name,
        channels=environment.channels,
        index_url=pypi.index_url,
        extra_index_urls=pypi.extra_index_urls,
        find_links=pypi.find_links,
        no_index=resolution.no_index,
        prerelease=resolution.prerelease == "allow" or (pypi.prerelease and resolution.prerelease is None),
        only_binary=pypi.only_binary,
        no_binary=pypi.no_binary,
        require_hashes=resolution.require_hashes,
        variables=tuple(environment.variables.items()),
        notes=(*manifest.notes, *_not_carried(manifest, environment)),
    )


def _not_carried(manifest: Manifest, environment: ManifestEnvironment) -> Iterator[str]:
    """Name what only a manifest can say."""
    resolution = manifest.resolution
    said = {
        "stack": environment.stack or environment.gpus,
        "system-requirements": environment.system != SystemRequirements(),
        "constraints": environment.limits,
        "exclude-newer": resolution.exclude_newer,
        "attestations": manifest.attestations,
        "pypi-only": resolution.pypi_only,
        "matrix": resolution.matrix,
        "conda": resolution.conda,
    }
    for key, value in said.items():
        if value:
            yield f"{manifest.path}: {key} is not taken over from a file named with -r; --manifest uses all of it"
