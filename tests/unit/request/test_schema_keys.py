"""Each property of the schemas of pixi and uv is used or named, and what we write is admitted by them."""

from __future__ import annotations

import json
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import tomli
import tomlkit

from dataloader.base.errors import ManifestError
from dataloader.request.manifests.manifest import Manifest, parse_manifest
from dataloader.request.readers.uv import NOT_HEEDED, OF_UV

RESOURCES = files("validate_pyproject_schema_store") / "resources"
PIXI: dict[str, Any] = json.loads((RESOURCES / "pixi.schema.json").read_text())
PLACES = {
    "": PIXI,
    **{
        place: PIXI["$defs"][name]
        for place, name in (
            ("workspace", "Workspace"),
            ("feature.g", "Feature"),
            ("target.linux-64", "Target"),
            ("environments.x", "Environment"),
            ("pypi-options", "PyPIOptions"),
            ("system-requirements", "SystemRequirements"),
            ("activation", "Activation"),
            ("dependencies.a", "MatchspecTable"),
            ("pypi-dependencies.p", "PyPIVersion"),
            ("tasks.t", "TaskInlineTable"),
        )
    },
}
BESIDE = {"dependencies.a": ("version", "1"), "pypi-dependencies.p": ("version", "==1"), "tasks.t": ("cmd", "echo")}
"""What a table cannot do without."""
VALUES = {
    **dict.fromkeys(("exclude-newer", "pypi-exclude-newer"), "2024-01-31"),
    **dict.fromkeys(("url", "index-url", "index", "git"), "https://h/a-1-0.conda"),
    "platforms": "linux-64",
    "sha256": "a" * 64,
    "md5": "c" * 32,
    "features": "f",
    "version": "==2",
    "cuda": "12",
    "linux": "4",
    "libc": "2.28",
    "macos": "13",
}
"""Where any string will not do."""


def sample(schema: dict[str, Any], key: str, depth: int = 0) -> Any:
    """A small value that a schema admits."""
    if "$ref" in schema:
        return sample(PIXI["$defs"][schema["$ref"].rpartition("/")[2]], key, depth + 1)
    if choices := schema.get("enum", [schema["const"]] if "const" in schema else []):
        return choices[0]
    if options := [o for each in ("anyOf", "oneOf") for o in schema.get(each, ()) if o.get("type") != "null"]:
        plain = [option for option in options if option.get("type") in {"string", "boolean", "integer"}]
        return sample((plain or options)[0], key, depth + 1)
    kind = schema.get("type")
    if kind == "array":
        return [sample(schema.get("items") or {"type": "string"}, key, depth + 1)]
    if kind == "object" or "properties" in schema:
        properties = schema.get("properties", {})
        names = schema.get("required") or list(properties)[: depth < 4]
        if names:
            return {name: sample(properties[name], name, depth + 1) for name in names}
        more = schema.get("additionalProperties")
        inner = more if isinstance(more, dict) else next(iter(schema.get("patternProperties", {}).values()), {})
        return {"linux-64" if key == "target" else "n": sample(inner, "n", depth + 1)} if depth < 5 else {}
    return {"boolean": True, "integer": 1}.get(str(kind), VALUES.get(key, "v1"))


def manifest(place: str, values: dict[str, Any]) -> Manifest:
    document: dict[str, Any] = {
        "workspace": {"name": "n", "channels": ["conda-forge"], "platforms": ["linux-64"]},
        "feature": {"f": {"dependencies": {"q": "*"}}},
        "environments": {"e": ["f"]},
    }
    table = document
    for part in filter(None, place.split(".")):
        table = table.setdefault(part, {})
    table.update({key: value for key, value in values.items() if key not in table or not isinstance(value, dict)})
    return parse_manifest(tomlkit.dumps(document), Path("/p/pixi.toml"))


@pytest.mark.parametrize(
    ("place", "key"), [(place, key) for place, schema in PLACES.items() for key in schema["properties"]]
)
def test_each_property_is_used_or_named(place: str, key: str) -> None:
    if (place, key) in {("", "tool"), ("", "workspace"), ("", "feature"), ("", "environments")} or (
        place == "workspace" and key in {"name", "channels", "platforms"}
    ):
        return  # other tools' own; and what every manifest here has
    needed = dict([BESIDE[place]]) if place in BESIDE and key not in {"git", "path", "url"} else {}
    value = sample(PLACES[place]["properties"][key], key)

    read, without = manifest(place, {**needed, key: value}), manifest(place, needed)

    used = [f.name for f in fields(read) if getattr(read, f.name) != getattr(without, f.name)]
    assert used or any(key in note for note in (*read.notes, *read.unused))


@pytest.mark.parametrize("key", json.loads((RESOURCES / "uv.schema.json").read_text())["properties"])
def test_each_key_of_uvs_own_schema_is_known(key: str) -> None:
    if key in OF_UV:
        return
    if key in NOT_HEEDED:
        text = f'[project]\nname = "x"\n[tool.uv]\n{key} = []\n'
        assert any(key in note for note in parse_manifest(text, Path("/p/pyproject.toml")).notes)
        return
    text = f'[project]\nname = "x"\n[tool.uv]\n{key} = {{odd = 1979-05-27, x = [1]}}\n'
    with pytest.raises(ManifestError):  # it is looked into
        parse_manifest(text, Path("/p/pyproject.toml"))


def test_what_is_exported_for_pixi_and_uv_is_of_their_schemas() -> None:
    from dataloader.export.formats import ExportOptions, export_lock
    from dataloader.lockfile.model import PypiPackage
    from tests.helpers.locks import lock_of

    wheel = PypiPackage(name="a", version="1", url="https://h/a-1-py3-none-any.whl", sha256="a" * 64, index="https://i")
    lock = lock_of(wheel, requested=["a"])
    jsonschema.validate(tomli.loads(export_lock(lock, "pixi.toml", ExportOptions())), PIXI)
    uv = tomli.loads(export_lock(lock, "pyproject.toml", ExportOptions()))["tool"]["uv"]
    jsonschema.validate(uv, json.loads((RESOURCES / "uv.schema.json").read_text()))
