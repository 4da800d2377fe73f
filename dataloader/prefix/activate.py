"""What a process needs to run inside an environment: search paths, variables, scripts of conda packages."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias

from dataloader.base.errors import PrefixError
from dataloader.base.values import dataclass
from dataloader.prefix.locate import ACTIVATION
from dataloader.prefix.pin import generation_of

Dialect: TypeAlias = Literal["posix", "fish", "csh", "powershell"]

_DEACTIVATED = ("PYTHONHOME", "__PYVENV_LAUNCHER__")
"""Variables of another Python that would lead this one astray."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """The changes to make to an environment block."""

    prefix: Path
    path: tuple[str, ...]
    """Directories before PATH."""
    library_path: tuple[str, ...] = ()
    """Directories before LD_LIBRARY_PATH: only those that a library opened at run time needs."""
    variables: Mapping[str, str] = field(default_factory=dict)
    scripts: tuple[str, ...] = ()
    """Shell scripts of conda packages (etc/conda/activate.d), to be sourced last, in order."""
    unset: tuple[str, ...] = _DEACTIVATED

    def environ(self, base: Mapping[str, str]) -> dict[str, str]:
        """``base`` with the environment active, for a process about to be started.

        Raises:
            PrefixError: a package's activation script fails.
        """
        active = {name: value for name, value in base.items() if name not in self.unset}
        active |= self.variables
        active["PATH"] = _prepend(self.path, base.get("PATH", os.defpath))
        if self.library_path:
            active["LD_LIBRARY_PATH"] = _prepend(self.library_path, base.get("LD_LIBRARY_PATH", ""))
        return _after_scripts(self.scripts, active) if self.scripts else active

    def shell(self, base: Mapping[str, str], dialect: Dialect = "posix") -> str:
        """The same as lines for a shell: ``eval "$(dataloader shell-hook)"``.

        A POSIX shell sources the scripts of conda packages itself; for the others what they did to ``base`` is written.
        """
        if dialect != "posix":
            return _difference(base, self.environ(base), *_SYNTAX[dialect])
        lines = [f"unset {name}" for name in self.unset if name in base]
        lines += [f"export {name}={shlex.quote(value)}" for name, value in sorted(self.variables.items())]
        for name, folders in (("PATH", self.path), ("LD_LIBRARY_PATH", self.library_path)):
            if folders:
                lines.append(f'export {name}={shlex.quote(os.pathsep.join(folders))}"${{{name}:+:${name}}}"')
        lines += [f". {shlex.quote(script)}" for script in self.scripts]
        return "\n".join(lines) + "\n"


def _difference(
    before: Mapping[str, str], after: Mapping[str, str], assign: str, remove: str, quote: Callable[[str], str]
) -> str:
    changed = sorted(name for name, value in after.items() if before.get(name) != value)
    lines = [remove.format(name=name) for name in sorted(before.keys() - after.keys())]
    lines += [assign.format(name=name, value=quote(after[name])) for name in changed]
    return "\n".join(lines) + "\n"


def quote_fish(value: str) -> str:
    """A value as fish reads it."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def quote_csh(value: str) -> str:
    """A value as csh reads it."""
    return shlex.quote(value).replace("!", "\\!").replace("\n", "\\\n")


def quote_powershell(value: str) -> str:
    """A value as PowerShell reads it; typographic quotes end a text too (about_Quoting_Rules), and are doubled.

    >>> print(quote_powershell("it's ’so’"))
    'it''s ’’so’’'
    """
    escaped = re.sub("['\u2018\u2019\u201a\u201b]", lambda quote: quote[0] * 2, value)
    return f"'{escaped}'"


_SYNTAX: Mapping[Dialect, tuple[str, str, Callable[[str], str]]] = {
    "fish": ("set -gx {name} {value};", "set -e {name};", quote_fish),
    "csh": ("setenv {name} {value};", "unsetenv {name};", quote_csh),
    "powershell": ("${{env:{name}}} = {value}", "Remove-Item -ErrorAction Ignore 'Env:{name}'", quote_powershell),
}
"""How to set, how to remove and how to quote."""


_DIALECTS: Mapping[str, Dialect] = {
    **dict.fromkeys(("posix", "sh", "bash", "zsh", "dash", "ksh", "ash"), "posix"),
    "fish": "fish",
    **dict.fromkeys(("csh", "tcsh"), "csh"),
    **dict.fromkeys(("powershell", "pwsh"), "powershell"),
}
"""Name of a shell -> what it reads."""


def dialect_of(shell: str) -> Dialect | None:
    """What a shell of this name reads; ``None`` for one that is not known."""
    return _DIALECTS.get(shell)


def activation(prefix: Path) -> Activation:
    """How to work inside the environment at ``prefix``; PrefixError when there is none."""
    prefix = Path(os.path.abspath(prefix))  # noqa: PTH100  (links are the user's choice of a name)
    is_conda = (prefix / "conda-meta").is_dir()
    if not is_conda and not (prefix / "pyvenv.cfg").is_file():
        raise PrefixError(f"there is no environment at {prefix}", code="prefix-missing")
    if os.pathsep in str(prefix):
        raise PrefixError(
            f"{prefix} has a colon in it, and stands for two directories in PATH",
            suggestions=("sync to another directory; its Python can also be run by its full path",),
        )
    return activation_of(prefix, prefix, is_conda=is_conda)


def activation_of(root: Path, prefix: Path, *, is_conda: bool) -> Activation:
    """How to work inside an environment whose files are at ``root``, and will be at ``prefix``."""
    variables = {"CONDA_PREFIX": str(prefix)} if is_conda else {"VIRTUAL_ENV": str(prefix)}
    if is_conda:
        name = prefix.parent.name if generation_of(str(prefix)) else prefix.name
        variables |= {"CONDA_DEFAULT_ENV": name, **_conda_variables(root)}
    written = _written(root)
    variables |= written.variables
    return Activation(
        prefix=prefix,
        path=(str(prefix / "bin"),),
        library_path=tuple(str(prefix / folder) for folder in written.library_path),
        variables=variables,
        scripts=tuple(conda_scripts(root, prefix, "activate.d", ".sh")) if is_conda else (),
    )


def conda_scripts(root: Path, prefix: Path, folder: str, *ends: str) -> list[str]:
    """The scripts of conda packages in ``etc/conda/FOLDER``, as they will be named at ``prefix``; in order."""
    found = sorted(path for end in ends for path in (root / "etc" / "conda" / folder).glob(f"*{end}"))
    return [str(prefix / path.relative_to(root)) for path in found]


class _Written(NamedTuple):
    """What a sync left for activation."""

    library_path: tuple[str, ...] = ()
    variables: Mapping[str, str] = MappingProxyType({})


def _written(prefix: Path) -> _Written:
    try:
        content = json.loads((prefix / ACTIVATION).read_bytes())
        folders = tuple(str(folder) for folder in content["library_path"])
        return _Written(folders, {str(name): str(value) for name, value in content.get("variables", {}).items()})
    except FileNotFoundError:
        return _Written()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PrefixError(
            f"{prefix / ACTIVATION} cannot be read",
            code="prefix-damaged",
            suggestions=(f"remove {prefix} and run `dataloader sync` again",),
        ) from error


def variables_of(prefix: Path) -> dict[str, str]:
    """The variables of the manifest that an environment was made with; PrefixError when that cannot be read."""
    return dict(_written(prefix).variables)


def _conda_variables(prefix: Path) -> dict[str, str]:
    """Variables of packages (etc/conda/env_vars.d), then of the user (conda-meta/state), which win; as in conda."""
    variables: dict[str, str] = {}
    for path in sorted((prefix / "etc" / "conda" / "env_vars.d").glob("*.json")):
        variables |= _strings(path, json.loads(path.read_bytes()))
    state = prefix / "conda-meta" / "state"
    if state.is_file():
        variables |= _strings(state, json.loads(state.read_bytes()).get("env_vars", {}))
    return variables


def _strings(path: Path, content: object) -> dict[str, str]:
    if not isinstance(content, dict):
        raise PrefixError(f"{path} does not hold an object of variables", code="prefix-damaged")
    return {str(name): str(value) for name, value in content.items()}


def _after_scripts(scripts: tuple[str, ...], environ: Mapping[str, str]) -> dict[str, str]:
    """Source the scripts in bash and read the environment back."""
    import subprocess  # 3 ms, and few environments have such scripts

    lines = [*(f". {shlex.quote(script)} >&2" for script in scripts), "env -0"]
    try:
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-c", "\n".join(lines)], env=environ, stdout=subprocess.PIPE, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise PrefixError(
            "an activation script of a conda package fails", code="activation-failed", causes=(str(error), *scripts)
        ) from error
    pairs = (line.partition("=") for line in os.fsdecode(done.stdout).split("\0") if "=" in line)
    return {name: value for name, _, value in pairs if name not in {"_", "SHLVL"} or name in environ}


def _prepend(folders: tuple[str, ...], rest: str) -> str:
    others = [folder for folder in rest.split(os.pathsep) if folder and folder not in folders]
    return os.pathsep.join([*folders, *others])
