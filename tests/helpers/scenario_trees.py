"""The scenarios that uv's own tests draw as trees, in the words of packse's files: from the tests in uv's sdist.

A tree says what is required of which release, and not which files a release has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

_TREE = re.compile(r"/// ```text\n(?P<tree>(?:///[^\n]*\n)+?)/// ```\n(?P<code>.*?)(?=/// ```text|\Z)", re.DOTALL)
_LINE = re.compile(r"/// (?P<lead>(?:[│ ] {3})*)[├└]── (?P<text>.*)")
_RELEASE = re.compile(r".+-(?P<version>[^-\[]+?)(?:\[(?P<extra>.+)\])?(?P<yanked> \(yanked\))?")
_OPTION = re.compile(r'\.arg\("--(?P<name>[a-z-]+)(?:=(?P<value>[^"]+))?"\)')
_USUAL = {"index-url", "find-links", "locked", "python-platform"}
"""Options of uv's that say nothing of what is asked for."""


class _Node(NamedTuple):
    text: str
    below: list[Any]


def scenarios_in(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the scenarios of a file of uv's tests."""
    for found in _TREE.finditer(path.read_text(encoding="utf-8")):
        first, *lines = found["tree"].splitlines()
        top = {each.text: each for each in _nodes(lines)}
        if "environment" not in top:  # a drawing of something else
            continue
        environment, root = top.pop("environment"), top.pop("root")
        python = next((each.text for each in environment.below if "(active)" in each.text), environment.below[0].text)
        options = dict(_options(found["code"]))
        if path.name.startswith("lock_"):
            options["universal"] = True
        yield {
            "name": first.removeprefix("/// "),
            "environment": {"python": python.removeprefix("python").removesuffix(" (active)")},
            "root": {"requires": [each.text.removeprefix("requires ") for each in root.below]},
            "packages": {name: {"versions": dict(_releases(each))} for name, each in top.items()},
            "resolver_options": options,
        }


def _nodes(lines: list[str]) -> list[_Node]:
    top: list[_Node] = []
    path: list[list[_Node]] = [top]
    for found in filter(None, map(_LINE.fullmatch, lines)):
        depth = len(found["lead"]) // 4
        node = _Node(found["text"], [])
        del path[depth + 1 :]
        path[depth].append(node)
        path.append(node.below)
    return top


def _releases(package: _Node) -> Iterator[tuple[str, dict[str, Any]]]:
    made: dict[str, dict[str, Any]] = {}
    for each in package.below:
        found = _RELEASE.fullmatch(each.text)
        assert found, each.text
        said = made.setdefault(found["version"], {"requires": [], "extras": {}, "yanked": False})
        said["yanked"] |= bool(found["yanked"])
        asked = [one.text.removeprefix("requires ") for one in each.below]
        if found["extra"]:
            said["extras"][found["extra"]] = asked
            continue
        for one in asked:
            text = re.sub(r" \((?:in)?compatible with environment\)", "", one)
            if re.match(r"python(?=[<>=!~])", text):
                said["requires_python"] = text.removeprefix("python")
            else:
                said["requires"].append(text)
    yield from made.items()


def _options(code: str) -> Iterator[tuple[str, Any]]:
    for found in _OPTION.finditer(code):
        if found["name"] == "prerelease" and found["value"] == "allow":
            yield "prereleases", True
        elif found["name"] == "python-version":
            yield "python", found["value"]
        elif found["name"] not in _USUAL:
            yield found["name"], found["value"] or True
