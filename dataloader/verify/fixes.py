"""What mends a finding, as a command for the tool that made the prefix. The checks say it in dataloader's own words."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from dataloader.prefix.locate import MANIFEST_NAMES, STATE
from dataloader.verify.findings import Finding
from dataloader.verify.report import VerifyReport

Tool = Literal["dataloader", "uv", "pip", "pip --python", "conda", "pixi", "pip --target", "the system"]
"""``pip --python``: a virtual environment without a pip of its own. ``the system``: its package manager, whose names of
packages are not known here.
"""


class Maker(NamedTuple):
    """Who made a prefix, and what a command for it must name."""

    tool: Tool
    prefix: Path
    """Absolute."""
    lock: Path | None = None
    """The lock that the prefix is held against, where one is known; absolute."""


def maker_of(prefix: Path, lock: str) -> Maker:
    """Who made ``prefix``, by what it left there."""
    prefix = prefix.absolute()
    if (prefix / STATE).is_file():
        return Maker("dataloader", prefix, Path(lock).absolute() if lock else None)
    if (prefix / "conda-meta").is_dir():
        return Maker("pixi" if prefix.parent.parent.name == ".pixi" else "conda", prefix)
    try:
        config = (prefix / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace")
    except OSError:
        managed = any(prefix.glob("lib/python3*/EXTERNALLY-MANAGED"))  # PEP 668
        return Maker("the system" if managed else "pip --target", prefix)
    if re.search(r"^uv\s*=", config, re.MULTILINE):
        return Maker("uv", prefix)
    has_pip = any(prefix.glob("lib/python3*/site-packages/pip/__init__.py"))
    return Maker("pip" if has_pip else "pip --python", prefix)


def with_commands(report: VerifyReport, maker: Maker) -> VerifyReport:
    """The report with each fix as a command for the maker of the prefix; none where it has no such command."""
    return report._replace(findings=tuple(_with_commands(finding, maker) for finding in report.findings))


def _with_commands(finding: Finding, maker: Maker) -> Finding:
    said = [fix for fix in (finding.fix, *finding.alternatives) if fix]
    commands = list(dict.fromkeys(command for fix in said if (command := command_for(fix, maker))))
    return finding._replace(fix=next(iter(commands), None), alternatives=tuple(commands[1:]))


class _Asked(NamedTuple):
    pypi: tuple[str, ...]
    conda: tuple[str, ...]
    flags: tuple[str, ...]
    """``--cuda=12``."""
    reinstall: bool


def command_for(fix: str, maker: Maker) -> str | None:
    """``dataloader install ...``, ``remove`` or ``sync`` for a prefix, or several of them, one after the other.

    >>> command_for("dataloader install 'numpy<2'", Maker("uv", Path("/e")))
    "uv pip install --python /e/bin/python 'numpy<2'"
    """
    if " && " in fix:
        parts = [command_for(part, maker) for part in fix.split(" && ")]
        return " && ".join(part for part in parts if part) if all(parts) else None
    words = shlex.split(fix, comments=True)
    if words[:1] != ["dataloader"] or words[1:2] not in (["install"], ["sync"], ["remove"]):
        return fix
    if words[1] == "remove":
        return _removed(words[2], maker)
    if words[1] == "sync":
        return _ours(maker, ["sync"]) if maker.tool == "dataloader" else None
    rest = words[2:]
    specs = [word for word in rest if not word.startswith("--")]
    asked = _Asked(
        pypi=tuple(word for word in specs if not word.startswith("conda:")),
        conda=tuple(word.removeprefix("conda:") for word in specs if word.startswith("conda:")),
        flags=tuple(word for word in rest if word.startswith("--") and word != "--reinstall"),
        reinstall="--reinstall" in rest,
    )
    if maker.tool == "dataloader":
        return _ours(maker, ["sync", "--reinstall"] if asked.reinstall else ["install", *rest])
    if asked.flags or not specs or maker.tool == "the system":
        return None
    return _theirs(asked, maker)


def _removed(spec: str, maker: Maker) -> str | None:
    name, prefix = spec.removeprefix("conda:"), str(maker.prefix)
    if maker.tool == "dataloader":
        return _ours(maker, ["remove", name])
    if maker.tool == "pixi":
        of_pypi = [] if spec.startswith("conda:") else ["--pypi"]
        return shlex.join(["pixi", "remove", *of_pypi, "--manifest-path", _pixi_root(maker), name])
    if spec.startswith("conda:"):
        return shlex.join(["conda", "remove", "--prefix", prefix, name]) if maker.tool == "conda" else None
    if maker.tool == "uv":
        return shlex.join(["uv", "pip", "uninstall", "--python", f"{prefix}/bin/python", name])
    if maker.tool in ("pip --target", "the system"):
        return None  # it has no command for that
    return shlex.join([*_pip(maker), "uninstall", "--yes", name])


def _pip(maker: Maker) -> list[str]:
    python = str(maker.prefix / "bin/python")
    return ["pip", "--python", python] if maker.tool == "pip --python" else [python, "-m", "pip"]


def _ours(maker: Maker, words: Sequence[str]) -> str | None:
    if maker.lock is None:
        return None  # without its lock a command would begin anew, and drop what it does not name
    folder = maker.lock.parent
    manifests = [folder / name for name in MANIFEST_NAMES[:2] if (folder / name).is_file()]
    places = ["--prefix", maker.prefix, "--lockfile", maker.lock]
    places += ["--manifest", manifests[0]] if manifests and words[0] in ("install", "remove") else []
    return shlex.join(["dataloader", *words, *map(str, places)])


def _theirs(asked: _Asked, maker: Maker) -> str | None:
    commands: list[list[str]] = []
    if asked.conda:
        made = _of_conda(asked, maker)
        if made is None:
            return None
        commands.append(made)
    if asked.pypi:
        commands.append(_of_pypi(asked, maker))
    return " && ".join(map(shlex.join, commands))


def _of_pypi(asked: _Asked, maker: Maker) -> list[str]:
    python = str(maker.prefix / "bin/python")
    names = [re.split(r"[<>=!~\[; ]", spec)[0] for spec in asked.pypi]
    if maker.tool == "uv":
        again = [word for name in names for word in ("--reinstall-package", name)] if asked.reinstall else []
        return ["uv", "pip", "install", "--python", python, *again, *asked.pypi]
    if maker.tool == "pixi":
        verb = ["reinstall"] if asked.reinstall else ["add", "--pypi"]
        return ["pixi", *verb, "--manifest-path", _pixi_root(maker), *(names if asked.reinstall else asked.pypi)]
    again = ["--force-reinstall", "--no-deps"] if asked.reinstall else []
    if maker.tool == "pip --target":
        return ["pip", "install", "--target", str(maker.prefix), "--upgrade", *again, *asked.pypi]
    return [*_pip(maker), "install", *again, *asked.pypi]


def _of_conda(asked: _Asked, maker: Maker) -> list[str] | None:
    if maker.tool not in ("conda", "pixi"):
        return None
    channels = [spec.partition("::")[0] for spec in asked.conda if "::" in spec]
    specs = [spec.rpartition("::")[2] for spec in asked.conda]
    names = [re.split(r"[<>=!~\[ ]", spec)[0] for spec in specs]
    if maker.tool == "pixi":
        verb = "reinstall" if asked.reinstall else "add"
        return ["pixi", verb, "--manifest-path", _pixi_root(maker), *(names if asked.reinstall else specs)]
    again = ["--force-reinstall"] if asked.reinstall else []
    named = [word for channel in dict.fromkeys(channels) for word in ("-c", channel)]
    return ["conda", "install", "--prefix", str(maker.prefix), *named, *again, *(s.replace("==", "=") for s in specs)]


def _pixi_root(maker: Maker) -> str:
    """The project of ``ROOT/.pixi/envs/NAME``."""
    return str(maker.prefix.parents[2])
