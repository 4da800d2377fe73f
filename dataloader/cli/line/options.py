"""The options that commands share, each declared once; values only.

A field made by :func:`option` describes its flag; ``dataloader.cli.line.command`` turns the fields into a command's
parameters. Every flag has an environment variable: ``--index-url`` is ``DATALOADER_INDEX_URL``.

Annotations are values here (no ``from __future__ import annotations``): they say what a flag takes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import Field, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias

from dataloader.base.values import dataclass
from dataloader.request.asked import CondaMode, PrereleaseMode

Group: TypeAlias = Literal["Environment", "Inputs", "Sources", "Solving", "Changes", "Output", "Report", "Stack"]

NEWEST = ""
"""Value of a stack flag given without a version: the newest that fits."""


class Flag(NamedTuple):
    """How one option is typed on the command line."""

    names: tuple[str, ...]
    """The first is the long one; ``--on/--off`` for a switch that can be turned off."""
    about: str
    metavar: str | None = None
    """What stands for its value in the help; a switch has none."""
    group: Group | None = None
    """None: an option that one command has for itself."""
    counted: bool = False
    """A switch that says how often it is there."""

    @property
    def envvar(self) -> str:
        """The environment variable that stands for the flag."""
        return envvar_of(self.names[0])


class Operand(NamedTuple):
    """What a command takes beside its options."""

    metavar: str
    about: str


def envvar_of(name: str) -> str:
    """The environment variable of an option.

    >>> envvar_of("--color/--no-color")
    'DATALOADER_COLOR'
    """
    return "DATALOADER_" + name.split("/", maxsplit=1)[0].lstrip("-").replace("-", "_").upper()


Specs: TypeAlias = Annotated[
    list[str] | None,
    Operand(
        "SPEC", "torch==2.1.0 (a Python distribution), conda:cudnn=8.7 (a match spec), pypi:numpy (from PyPI alone)."
    ),
]


def own_option(*names: str, about: str, metavar: str | None = None) -> Flag:
    """An option that one command has for itself; the first of ``names`` is the long one."""
    return Flag(names=names, about=about, metavar=metavar)


def option(
    default: object, *names: str, group: Group, about: str, metavar: str | None = None, count: bool = False
) -> Any:
    """Declare a field that is an option; the first of ``names`` is the long one."""
    flag = Flag(names=names, about=about, metavar=metavar, group=group, counted=count)
    return field(default=default, metadata={"flag": flag})


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonOptions:
    """What flags and ``DATALOADER_*`` variables say; ``None`` and ``()`` mean not said."""

    typed: frozenset[str] = frozenset()
    """Options and operands that stand on the command line: one that can have no effect is a mistake there, while a
    variable is meant for the commands that heed it."""

    prefix: Path | None = option(
        None, "--prefix", "-p", group="Environment", metavar="DIR", about="Directory of the environment."
    )
    manifest: Path | None = option(
        None,
        "--manifest",
        group="Environment",
        metavar="FILE",
        about="Manifest to use; else the nearest one, looking upward from here.",
    )
    lockfile: Path | None = option(
        None,
        "--lockfile",
        group="Environment",
        metavar="FILE",
        about="Lockfile; else dataloader.lock beside the manifest.",
    )

    environment: str | None = option(
        None,
        "--environment",
        "-e",
        group="Environment",
        metavar="NAME",
        about="Environment of the manifest; else default.",
    )

    requirements: tuple[Path, ...] = option(
        (),
        "--requirement",
        "-r",
        group="Inputs",
        metavar="FILE",
        about="Read a requirements.txt, a project's file or a lock. May be repeated.",
    )
    files: tuple[Path, ...] = option(
        (),
        "--file",
        "-f",
        group="Inputs",
        metavar="FILE",
        about="The same; the usual letter for an environment.yml. May be repeated.",
    )

    extra: tuple[str, ...] = option(
        (), "--extra", group="Inputs", metavar="NAME", about="Add an extra of the pyproject.toml. May be repeated."
    )
    group: tuple[str, ...] = option(
        (), "--group", group="Inputs", metavar="NAME", about="Add a dependency group of it. May be repeated."
    )
    all_extras: bool | None = option(
        None,
        "--all-extras/--no-extras",
        group="Inputs",
        about="Add every extra; or leave out the extras and groups that were chosen before.",
    )

    channels: tuple[str, ...] = option(
        (),
        "--channel",
        "-c",
        group="Sources",
        metavar="CHANNEL",
        about="conda channel: a URL, a name or file://. May be repeated, most preferred first.",
    )
    conda: CondaMode | None = option(
        None,
        "--conda",
        group="Sources",
        about="Use conda channels: when they answer (auto), without fail (always), or not at all (never).",
    )
    index_url: str | None = option(
        None, "--index-url", group="Sources", metavar="URL", about="Package index (Simple API) instead of PyPI."
    )
    extra_index_url: tuple[str, ...] = option(
        (), "--extra-index-url", group="Sources", metavar="URL", about="A further package index. May be repeated."
    )
    find_links: tuple[str, ...] = option(
        (),
        "--find-links",
        group="Sources",
        metavar="URL|DIR",
        about="A page or a directory of wheels. May be repeated.",
    )
    offline: bool = option(False, "--offline", group="Sources", about="Use the cache alone; never the network.")
    mirror: tuple[str, ...] = option(
        (),
        "--mirror",
        group="Sources",
        metavar="PREFIX=URL",
        about="What takes the place of a URL prefix, tried first. May be repeated.",
    )
    require_attestation: tuple[str, ...] = option(
        (),
        "--require-attestation",
        group="Sources",
        metavar="NAME=PUBLISHER",
        about="Refuse a package unless its publisher is proven: torch=github:pytorch/pytorch, *=any, conda:*=any. "
        "May be repeated.",
    )
    trusted_root: str | None = option(
        None, "--trusted-root", group="Sources", metavar="FILE", about="Trust anchors of another sigstore."
    )
    limit_rate: str | None = option(
        None,
        "--limit-rate",
        group="Sources",
        metavar="RATE",
        about="Bytes a second of all downloads together: 500k, 10M.",
    )
    refresh: bool = option(
        False, "--refresh", group="Sources", about="Ask indexes and channels again, whatever is cached."
    )

    platform: str | None = option(
        None,
        "--platform",
        group="Solving",
        metavar="SUBDIR",
        about="Platform to solve for, linux-64 say; else this machine's.",
    )
    target: Path | None = option(
        None,
        "--target",
        group="Solving",
        metavar="FILE",
        about="TOML or JSON file describing the machines to solve for.",
    )
    prerelease: PrereleaseMode | None = option(
        None, "--prerelease", group="Solving", about="Take pre-releases always, or only when nothing else fits."
    )
    only_binary: tuple[str, ...] = option(
        (),
        "--only-binary",
        group="Solving",
        metavar="NAME",
        about="Use wheels of this project though --no-binary=:all: is said. May be repeated.",
    )
    no_binary: tuple[str, ...] = option(
        (),
        "--no-binary",
        group="Solving",
        metavar="NAME",
        about="Never use wheels of this project, but conda's packages; :all: for every project. May be repeated.",
    )
    build: tuple[str, ...] = option(
        (),
        "--build",
        group="Solving",
        metavar="NAME",
        about="Build this project from source where it has no wheel; this runs code of the project. May be repeated.",
    )
    skip_unbuildable: bool = option(
        False,
        "--skip-unbuildable",
        group="Solving",
        about="Leave out, by name, what would have to be built from source: git, trees, archives, editable installs.",
    )
    exclude_newer: str | None = option(
        None,
        "--exclude-newer",
        group="Solving",
        metavar="DATE|framework",
        about="Ignore what was published after this day (2024-01-31), time, duration (30 days), or framework release.",
    )
    matrix: Path | None = option(
        None,
        "--matrix",
        group="Solving",
        metavar="FILE",
        about="Add to, or override, rows of the compatibility matrix.",
    )

    fix: int | None = option(
        None,
        "--fix",
        group="Solving",
        metavar="N",
        about="Where there is no solution, apply the N-th of the changes that were found to work.",
    )

    no_verify: bool = option(
        False,
        "--no-verify",
        group="Solving",
        about="Install without looking whether it will load, and solve without what was found out by looking.",
    )

    dry_run: bool = option(False, "--dry-run", group="Changes", about="Say what would be done, and change nothing.")
    yes: bool = option(
        False,
        "--yes",
        "-y",
        group="Changes",
        about="Do not ask whether packages may be replaced or removed; only at a terminal is that asked.",
    )

    json: bool = option(False, "--json", group="Output", about="Write one JSON document to standard output.")
    events: str | None = option(
        None,
        "--events",
        group="Report",
        metavar="FILE|FD|-",
        about="Write what happens as JSON, one event a line: appended to a file, to a descriptor, or to stdout.",
    )
    status_file: str | None = option(
        None, "--status-file", group="Report", metavar="FILE", about="Keep the state of the run in a JSON file."
    )
    metrics_file: str | None = option(
        None,
        "--metrics-file",
        group="Report",
        metavar="FILE",
        about="Write metrics of the run at its end, as Prometheus text (node_exporter's textfile collector).",
    )
    quiet: int = option(0, "--quiet", "-q", group="Output", count=True, about="Say less. May be repeated.")
    verbose: int = option(
        0, "--verbose", "-v", group="Output", count=True, about="Say more. May be repeated; -vv adds tracebacks."
    )
    color: bool | None = option(
        None,
        "--color/--no-color",
        group="Output",
        about="Colour, or not; else NO_COLOR, FORCE_COLOR, and the terminal decide.",
    )

    def spelled(self, names: Iterable[str]) -> list[str]:
        """What of ``names`` was typed, as it is spelled in the help."""
        found = {f.name: f.metadata["flag"].names[0].partition("/")[0] for f in declared(CommonOptions)}
        return [found[name] for name in names if name in self.typed]

    @property
    def verbosity(self) -> int:
        """0 is normal; each -v adds one and each -q takes one."""
        return self.verbose - self.quiet


def _axis(name: str, title: str, *more: str) -> Any:
    return option(
        None,
        f"--{name}",
        *more,
        group="Stack",
        metavar="[VERSION]",
        about=f"{title}; without a version the newest that fits.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StackFlags:
    """What is asked of each axis of the stack.

    ``None``: not asked. ``NEWEST`` (the empty string): asked, any version. Else a version (``"11.8"``) or a
    specifier (``">=12,<13"``). ``cuda="none"`` asks for CPU builds.
    """

    cuda: str | None = option(
        None,
        "--cuda",
        group="Stack",
        metavar="[VERSION|none]",
        about="CUDA; without a version the newest that fits; none for CPU builds.",
    )
    cudnn: str | None = _axis("cudnn", "cuDNN")
    nccl: str | None = _axis("nccl", "NCCL")
    gcc: str | None = _axis("gcc", "GCC, for those who compile")
    python: str | None = _axis("python", "Python")
    torch: str | None = _axis("torch", "PyTorch", "--pytorch")
    tensorflow: str | None = _axis("tensorflow", "TensorFlow")
    jax: str | None = _axis("jax", "JAX")

    def asked(self) -> Mapping[str, str]:
        """Axis -> what was asked, for the axes that were."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {axis: value for axis, value in values.items() if value is not None}

    @property
    def frameworks(self) -> Mapping[str, str]:
        """The frameworks asked for, by PyPI name."""
        return {name: value for name, value in self.asked().items() if name in FRAMEWORKS}


def declared(options: type[CommonOptions | StackFlags]) -> tuple[Field[Any], ...]:
    """The fields that are options."""
    return tuple(field for field in fields(options) if "flag" in field.metadata)


FRAMEWORKS = ("torch", "tensorflow", "jax")
