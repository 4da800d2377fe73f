"""The custom resource itself, as a value: what ``kubectl get dataset NAME -o yaml`` shows, or what people write.

Two groups are known: ``dataset.baizeai.io`` of the project, and ``dataset.baize.io`` of its announcement.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from dataloader.base.errors import ManifestError
from dataloader.base.values import dataclass

API_VERSIONS = ("dataset.baizeai.io/v1alpha1", "dataset.baize.io/v1alpha1")
OF_CONDA = (
    *("name", "pythonVersion", "pipIndexUrl", "pipExtraIndexUrl", "condaPrefixDir", "condaEnvironmentYmlPath"),
    *("pipRequirementsTxtPath", "pixiTomlPath"),
)
"""Options that the loader reads."""
TEXTS = {
    "condaEnvironmentYml": "environment.yaml",
    "pipRequirementsTxt": "requirements.txt",
    "pixiToml": "pixi.toml",
}
"""Options that are files, and how the controller's ConfigMap calls them."""
_OF_THE_CLUSTER = ("packageManager", "gpuType")
"""Options that mean nothing to a loader: which tool solves, and which device a Job reserves."""
_SPEC = frozenset(
    {
        *("source", "secretRef", "mountOptions", "dataSyncRound", "volumeClaimTemplate", "volumeClaimRef"),
        *("resources", "share", "shareToNamespaceSelector"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One Dataset."""

    name: str
    namespace: str
    kind: str
    uri: str
    options: Mapping[str, str]
    """Those that the loader reads."""
    texts: Mapping[str, str]
    """File name -> content, as the controller's ConfigMap has them."""
    path: str = "/"
    mode: int = 0o774
    uid: int = 1000
    gid: int = 1000
    round: int = 1
    claim: str
    """The volume claim that the environment goes to."""
    subpath: str = ""
    """Where on that volume the environment's root is."""
    notices: tuple[str, ...] = field(default=())
    """What of the resource has no effect here, in a sentence each."""


def read_resource(path: Path) -> Resource:
    """The Dataset in a YAML file, which may hold other resources beside it.

    Raises:
        ManifestError: it is no such file, holds none or several, or a field is not as the controller wants it; every
            mistake is a cause (``dataset-invalid``).
    """
    import yaml

    try:
        documents = list(yaml.safe_load_all(path.read_bytes()))
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:  # a day that there is not; depths
        raise _invalid(path, str(error)) from error
    found = [document for document in documents if isinstance(document, dict) and document.get("kind") == "Dataset"]
    if len(found) != 1:
        raise _invalid(path, f"it holds {len(found) or 'no'} resources of kind Dataset; one is expected")
    return _resource(found[0], path)


def _resource(document: Mapping[str, Any], path: Path) -> Resource:
    reader = _Reader()
    if document.get("apiVersion") not in API_VERSIONS:
        reader.wrong.append(f"apiVersion is {document.get('apiVersion')!r}, not {' or '.join(API_VERSIONS)}")
    metadata, spec = reader.mapping(document, "metadata"), reader.mapping(document, "spec")
    source, mount = reader.mapping(spec, "source", "spec."), reader.mapping(spec, "mountOptions", "spec.")
    options = {str(key): _text(value) for key, value in reader.mapping(source, "options", "spec.source.").items()}
    reference, template = (
        reader.mapping(spec, "volumeClaimRef", "spec."),
        reader.mapping(spec, "volumeClaimTemplate", "spec."),
    )
    name = reader.text(metadata, "name", "metadata.")
    subpath = str(reference.get("subPath") or "")
    if reference and template:
        reader.wrong.append("spec.volumeClaimRef and spec.volumeClaimTemplate cannot both be set")
    if subpath.startswith("/") or ".." in subpath.split("/"):
        reader.wrong.append(f"spec.volumeClaimRef.subPath {subpath!r} leads out of the volume")
    mode = str(mount.get("mode", "0774"))
    if not re.fullmatch("[0-7]{3,4}", mode):
        reader.wrong.append(f"spec.mountOptions.mode {mode!r} is not three or four octal digits, in quotes")
    made = Resource(
        name=name,
        namespace=str(metadata.get("namespace") or "default"),
        kind=reader.text(source, "type", "spec.source."),
        uri=reader.text(source, "uri", "spec.source."),
        options={key: value for key, value in options.items() if key in OF_CONDA},
        texts={TEXTS[key]: value for key, value in options.items() if key in TEXTS and value.strip()},
        path=str(mount.get("path") or "/"),
        mode=int(mode, 8) if re.fullmatch("[0-7]{3,4}", mode) else 0,
        uid=reader.number(mount, "uid", "spec.mountOptions.", 1000),
        gid=reader.number(mount, "gid", "spec.mountOptions.", 1000),
        round=reader.number(spec, "dataSyncRound", "spec.", 1, least=1),
        claim=str(reference.get("name") or reader.mapping(template, "metadata").get("name") or name),
        subpath=subpath,
        notices=tuple(_notices(spec, options)),
    )
    if reader.wrong:
        raise _invalid(path, *reader.wrong)
    return made


def _notices(spec: Mapping[str, Any], options: Mapping[str, str]) -> list[str]:
    found = []
    if device := options.get("gpuType"):
        found.append(
            f"gpuType {device} reserves a device for a Job; here this machine, or DATALOADER_TARGET, says what is there"
        )
    unknown = sorted(options.keys() - {*OF_CONDA, *TEXTS, *_OF_THE_CLUSTER})
    if unknown:
        found.append(f"options that the loader does not know are passed over: {', '.join(unknown)}")
    if strange := sorted(spec.keys() - _SPEC):
        found.append(f"fields that a Dataset does not have are passed over: {', '.join(map(str, strange))}")
    return found


def _text(value: object) -> str:
    """An option's value: 3.10 without quotes is a number, and was meant as it reads."""
    return value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)


class _Reader:
    """Reads fields, and gathers what is wrong with them."""

    def __init__(self) -> None:
        self.wrong: list[str] = []

    def mapping(self, parent: Mapping[str, Any], key: str, above: str = "") -> Mapping[str, Any]:
        value = parent.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.wrong.append(f"{above}{key} is no mapping")
            return {}
        return value

    def text(self, parent: Mapping[str, Any], key: str, above: str) -> str:
        value = parent.get(key)
        if not isinstance(value, str) or not value:
            self.wrong.append(f"{above}{key} is missing" if value is None else f"{above}{key} is no text")
            return ""
        return value

    def number(self, parent: Mapping[str, Any], key: str, above: str, default: int, *, least: int = 0) -> int:
        value = parent.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            self.wrong.append(f"{above}{key} {value!r} is no number from {least} on")
            return default
        return value


def _invalid(path: Path, *causes: str) -> ManifestError:
    return ManifestError(
        f"{path} is no Dataset that can be loaded",
        code="dataset-invalid",
        causes=causes,
        suggestions=("docs/kubernetes/dataset.md shows one",),
    )
