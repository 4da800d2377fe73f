"""A folder that is a base of Kustomize: what is written there joins what is there, and takes nobody's place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dataloader.base.errors import UsageError
from dataloader.export.kubernetes import COMPONENT, LOCK_KEY, Document, identity_of, kustomization

LIST = "kustomization.yaml"


def planned(folder: Path, name: str, documents: Mapping[str, tuple[Document, str]], lock: str) -> dict[str, str]:
    """File name -> text of all that is to be written, the list of the folder among it.

    Args:
        folder: Where to; it may hold the manifests of other kinds, and a list that somebody added to.
        name: Of the environment.
        documents: File name -> resource, and its text.
        lock: The text of its lock, or nothing.

    Raises:
        UsageError: something else is there under one of these names (``file-taken``).
    """
    for file, (document, _) in documents.items():
        there = _read(folder / file)
        if there is not None and _who(there) != _who(document):
            raise _taken(folder / file, _said(there), _said(document))
    if lock and (folder / LOCK_KEY).is_file() and not _holds_base(folder):
        raise _taken(folder / LOCK_KEY, "a lock of somebody's", "the manifests' copy of it")
    made = _joined(folder, kustomization(name, sorted(documents), lock=bool(lock)))
    files = {file: text for file, (_, text) in documents.items()} | {LIST: as_yaml(made)}
    return files | ({LOCK_KEY: lock} if lock else {})


def _joined(folder: Path, made: Document) -> Document:
    """The list that is there, with what is new; its other keys stay."""
    there = _read(folder / LIST)
    if there is None:
        return made
    if there.get("kind", "Kustomization") != "Kustomization":
        raise _taken(folder / LIST, _said(there), "a list for Kustomize")
    resources = [resource for resource in there.get("resources") or [] if resource not in made["resources"]]
    generators = made.get("configMapGenerator", [])
    names = {generator["name"] for generator in generators}
    others = [generator for generator in there.get("configMapGenerator") or [] if generator.get("name") not in names]
    joined = {**there, **made, "resources": sorted([*resources, *made["resources"]])}
    return {**joined, "configMapGenerator": [*others, *generators]} if others or generators else joined


def _holds_base(folder: Path) -> bool:
    """Whether the lock there was written with a base."""
    generators = (_read(folder / LIST) or {}).get("configMapGenerator") or []
    return any(LOCK_KEY in (generator.get("files") or ()) for generator in generators)


def _read(path: Path) -> Document | None:
    """The resource in a file; None where there is no file. What cannot be read is a resource of no kind."""
    import yaml

    try:
        found = yaml.safe_load(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, yaml.YAMLError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _who(document: Document) -> tuple[object, ...]:
    return (*identity_of(document), (document.get("metadata") or {}).get("labels", {}).get(COMPONENT))


def _said(document: Document) -> str:
    kind, _, name, component = (*identity_of(document), _who(document)[-1])
    return f"{kind or 'no resource'} {name or ''}".strip() + (f" of `k8s {component}`" if component else "")


def _taken(path: Path, there: str, wanted: str) -> UsageError:
    return UsageError(
        f"{path} is {there}, and {wanted} would take its place",
        code="file-taken",
        suggestions=("name another folder with -o, or remove the file",),
    )


def as_yaml(*documents: Mapping[str, Any]) -> str:
    """YAML of resources, without aliases, and with texts of several lines as such."""
    import yaml

    return "---\n".join(yaml.dump(document, Dumper=_dumper(), sort_keys=False, width=1000) for document in documents)


def _dumper() -> type[Any]:
    import yaml

    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, _: object) -> bool:
            return True

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Plain.add_representer(str, text)
    return Plain
