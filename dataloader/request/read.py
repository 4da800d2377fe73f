"""What people write besides a manifest: specs, requirements.txt, environment.yml; text in, frozen values out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataloader.request.input_file import InputFile


def read_input(path: Path) -> InputFile:
    """Read a file by what its name says it is: YAML is an environment.yml, the rest a requirements.txt.

    Raises ManifestError.
    """
    if path.suffix in {".yml", ".yaml"}:
        from dataloader.request.environment_yml import read_environment

        return read_environment(path)
    from dataloader.request.requirements_txt import read_requirements

    return read_requirements(path)
