"""What the controller asks of its loader, as values: the options of a CONDA source, where it mounts, who may read it.

The contract is that of BaizeAI/dataset at ef983c7: internal/cmd/dataloader/root.go, datasource_conda.go, and the
custom resource ``dataset.baizeai.io/v1alpha1``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from dataloader.base.errors import UsageError
from dataloader.base.values import dataclass

OURS = ("CONDA", "PIXI")
"""Types that this loader does."""
UPSTREAM = ("S3", "GIT", "HTTP", "HUGGING_FACE", "MODEL_SCOPE", "DATABASE", "HADOOP")
"""Types that the controller's own loader does."""
CONFIGURATION = Path("/run/dataset/conda")
"""Where the controller mounts the texts of a source."""
SECRETS = Path("/run/dataset/secrets")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSource:
    """What to install."""

    kind: str
    name: str
    """The environment's."""
    python: str | None = None
    index_url: str | None = None
    extra_index_url: str | None = None
    environment_yml: Path = CONFIGURATION / "environment.yaml"
    requirements_txt: Path = CONFIGURATION / "requirements.txt"
    pixi_toml: Path = CONFIGURATION / "pixi.toml"
    prefix_root: str = "/opt/baize-runtime-env"
    """A workload mounts the volume at ``<prefix_root>/<name>``."""

    @property
    def target_prefix(self) -> str:
        """Where the workload finds the environment."""
        return f"{self.prefix_root.rstrip('/')}/{self.name}/conda/envs/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """Where it goes, and who may read it."""

    root: Path
    path: str
    """Below ``root``: what gets mode and owner."""
    mode: int = 0o755
    uid: int = 1000
    gid: int = 1000

    @property
    def folder(self) -> Path:
        """The folder whose content gets mode and owner; a path is joined to ``.``, so that ``/`` is the root."""
        return self.root / self.path.strip("/")


def parse_options(words: Iterable[str]) -> dict[str, str]:
    """``key=value`` of ``--options``; a value that Go quoted (``%q``) is what it was before.

    Raises:
        UsageError: a word is not of that form.
    """
    found = {}
    for word in words:
        match = re.fullmatch(r"(\w+)=(.*)", word, re.DOTALL)
        if not match:
            raise UsageError(f"--options {word}: not KEY=VALUE", suggestions=("--options=name=train",))
        found[match[1]] = _unquoted(match[2])
    return found


def _unquoted(value: str) -> str:
    r"""A Go string literal's value (its escapes are Python's, too); any other text as it is.

    >>> _unquoted('"a b\\n"'), _unquoted('3.11'), _unquoted('"')
    ('a b\n', '3.11', '"')
    """
    if len(value) < 2 or not (value[0] == value[-1] == '"'):
        return value
    try:
        read = ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return value
    return read if isinstance(read, str) else value


def make_source(kind: str, uri: str, options: Mapping[str, str]) -> DatasetSource:
    """The source of a call. What an option does not say, the URI may: ``conda://NAME?version=3.11``.

    Raises:
        UsageError: the type is not ours, or the environment has no name.
    """
    if kind not in OURS:
        raise UsageError(
            f"this loader does {' and '.join(OURS)}, not {kind}",
            suggestions=(f"{kind} is done by the controller's own loader, ghcr.io/baizeai/dataset-data-loader",)
            if kind in UPSTREAM
            else (),
        )
    query = {key: values[-1] for key, values in parse_qs(urlsplit(uri).query).items()}
    name = options.get("name", "")
    if not name:
        raise UsageError("missing required options --options name=<env-name>")
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise UsageError(f"{name!r} is not a name for an environment")
    python = options.get("pythonVersion") or query.get("python") or query.get("version")

    def path(key: str, default: Path) -> Path:
        return Path(options[key]) if options.get(key) else default

    return DatasetSource(
        kind=kind,
        name=name,
        python=python,
        index_url=options.get("pipIndexUrl") or None,
        extra_index_url=options.get("pipExtraIndexUrl") or None,
        environment_yml=path("condaEnvironmentYmlPath", CONFIGURATION / "environment.yaml"),
        requirements_txt=path("pipRequirementsTxtPath", CONFIGURATION / "requirements.txt"),
        pixi_toml=path("pixiTomlPath", CONFIGURATION / "pixi.toml"),
        prefix_root=options.get("condaPrefixDir") or "/opt/baize-runtime-env",
    )
