"""Which variables the process has that verify judges: this shell's, those of activation, and what was said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataloader.base.errors import DataloaderError, UsageError

if TYPE_CHECKING:
    from dataloader.cli.stages.session import Session


_IMAGE = "the image "


def process_of(
    session: Session, prefix: Path, env: Sequence[str], *, no_env: bool, image: Path | None
) -> dict[str, Any]:
    """What is known of the process that will run, as VerifyOptions has it: this shell's variables as ``run`` passes
    them on, and what activation adds; or those of an image alone; then what was said.

    Raises:
        UsageError: ``--env`` is no NAME=VALUE, or the image's configuration is none.
    """
    from dataloader.prefix.scripts import after_script, scripts_of
    from dataloader.prefix.variables import COUNTED, counted

    elsewhere = session.options.target is not None or session.options.platform is not None
    whose = ["this shell"] if not (no_env or elsewhere or image) else []
    variables = counted(session.environ) if whose else {}
    unread: list[str] = []
    if image is not None:
        from dataloader.formats.image_config import image_environment

        variables, no_env = counted(image_environment(image)), True
        whose.append(f"{_IMAGE}{image.name}")
    if not no_env:
        active = _activated(prefix)
        whose += ["activation"] if active else []
        variables |= active
        known = {"CONDA_PREFIX": str(prefix)}
        scripts = [*scripts_of(str(prefix))]
        if manifests := pixi_manifests(prefix):
            known["PIXI_PROJECT_ROOT"] = str(manifests[0].parent)
            scripts += _of_pixi(prefix, manifests)
        for path, text in scripts:
            after, unknown = after_script(text, {**known, **variables})
            if counted(after) != counted(variables):
                whose.append("activation")
            variables = after
            unread += [path.removeprefix(f"{prefix}/")] if unknown else []
    for variable in env:
        name, equals, value = variable.partition("=")
        if name not in COUNTED or not equals:
            raise UsageError(
                f"--env {variable} is not understood",
                suggestions=(f"say NAME=VALUE, of {', '.join(COUNTED)}",),
            )
        variables[name] = value
        whose.append("--env")
    return {
        "library_path": () if no_env else _activated_path(prefix),
        "variables": tuple(sorted(counted(variables).items())),
        "variables_of": " and ".join(dict.fromkeys(whose)),
        "unread": tuple(unread),
    }


def _activated(prefix: Path) -> dict[str, str]:
    if not (prefix / "conda-meta").is_dir() and not (prefix / "pyvenv.cfg").is_file():
        return {}
    from dataloader.prefix.activate import activation
    from dataloader.prefix.variables import counted

    return counted(activation(prefix).variables)


def told(variables: Mapping[str, str], whose: str) -> str:
    """Which variables count, in a line."""
    if not variables:
        return ""
    said = " ".join(f"{name}={value}" for name, value in sorted(variables.items()))
    hint = "" if whose.startswith(_IMAGE) else "; --no-env leaves it out"
    return f"{said} ({whose or 'of the target'}{hint})"


def _activated_path(prefix: Path) -> tuple[str, ...]:
    """What activation puts on LD_LIBRARY_PATH: an environment of ours runs activated."""
    from dataloader.prefix.locate import ACTIVATION

    if not (prefix / ACTIVATION).is_file():
        return ()
    from dataloader.prefix.activate import activation

    return activation(prefix).library_path


def pixi_manifests(prefix: Path) -> list[Path]:
    """Where the manifest of ``ROOT/.pixi/envs/NAME`` may be, the likeliest first; none for another environment."""
    from dataloader.prefix.locate import MANIFEST_NAMES

    prefix = prefix.absolute()
    return [prefix.parents[2] / name for name in MANIFEST_NAMES[1:]] if prefix.parent.parent.name == ".pixi" else []


def _of_pixi(prefix: Path, manifests: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """``[activation.env]`` of a pixi environment: where it stands, and as a script."""
    from dataloader.request.manifests.manifest import load_manifest

    for path in [manifest for manifest in manifests if manifest.is_file()][:1]:
        try:
            said = load_manifest(path).environment(prefix.absolute().name).variables
        except DataloaderError:
            yield str(path), "unset LD_LIBRARY_PATH"  # whether it sets one cannot be told
        else:
            yield str(path), "\n".join(f'export {name}="{value}"' for name, value in said.items())
