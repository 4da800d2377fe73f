"""The commands of the pages are typed, page by page, as their readers would: in a fresh home, in their order."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.helpers.builds import make_source
from tests.helpers.wheels import make_wheel
from tests.pages.read import PAGES, Block, Typed, blocks_of, commands_in, typed_of
from tests.pages.stories import NOT_RUN, STORIES
from tests.pages.world import World, running_world

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("world")) as running:
        yield running


def why_not(typed: Typed) -> list[str]:
    """Why a command line is not run."""
    return [why for page, line, why in NOT_RUN if re.fullmatch(page, typed.page) and re.fullmatch(line, typed.line)]


def script_of(page: str, machine: Path, world: World) -> str:
    """What is typed of a page, line by line, after what its reader has done before."""
    story = STORIES[page]

    def said(line: str) -> str:
        begun = [begins for begins in story.typed if line == begins or line.startswith(f"{begins} ")]
        return story.typed[max(begun, key=len)].replace("@@", line) if begun else line

    text = "\n".join([story.before, *(said(each.line) for each in typed_of(page) if not why_not(each))])
    text = re.sub(r"(?<![\w.}/])/(opt|mnt|run|var|baize)(?=/)", rf"{machine}/\1", text)
    text = re.sub(r"(registry|inner)\.example\.org|ghcr\.io", world.registry, text)
    return text.replace("http://server:", "http://127.0.0.1:").replace(":8899", f":{free_port()}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
@pytest.mark.parametrize("page", STORIES)
def test_each_command_of_a_page_runs(page: str, world: World, tmp_path: Path) -> None:
    home = tmp_path / "home"
    here = home / "work"
    here.mkdir(parents=True)
    make_wheel(home / "wheels", "ours", "1.0")
    shutil.copy(world.shelf / "demo-1.0.tar.gz", home)
    make_source(home / "packages" / "demo", "demo", as_tree=True)
    git_settings = [f'[url "{world.git}/"]', "insteadOf = https://example.org/", "insteadOf = ssh://git@example.org/"]
    (home / ".gitconfig").write_text("\n".join(git_settings))
    (home / ".config" / "containers").mkdir(parents=True)
    (home / ".config/containers/registries.conf").write_text(
        f'[[registry]]\nlocation = "{world.registry}"\ninsecure = true\n'
    )
    script = script_of(page, tmp_path / "machine", world)
    environ = {**world.environ, "HOME": str(home), **STORIES[page].environ}
    done = subprocess.run(
        ["bash", "-exc", script], cwd=here, env=environ, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, f"{script}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
    shutil.rmtree(home)


def test_every_command_of_every_page_is_run_or_says_why_not() -> None:
    typed = [each for page in PAGES for each in typed_of(page)]
    not_run = [each for each in typed if why_not(each)]

    assert len(typed) > 150
    assert [each for each in typed if each.page not in STORIES and each not in not_run] == []
    assert len(not_run) < len(typed) / 5


def test_each_line_of_the_stories_is_of_a_page() -> None:
    """What a page does not say any more is not excused, and not typed."""
    typed = [each for page in PAGES for each in typed_of(page)]
    idle = [row for row in NOT_RUN if not any(row[2] in why_not(each) for each in typed)]
    said = [(page, begins) for page, story in STORIES.items() for begins in story.typed]

    assert idle == []
    assert [
        (page, begins) for page, begins in said if not any(line.startswith(begins) for _, line in typed_of(page))
    ] == []


NO_COMMANDS = {
    "README.md": "error: lib/python3.11/",
    "docs/development/architecture.md": r"(TOML / flags|__main__ ->|Problem ─ Names)",
    "docs/sync.md": "/mnt/envs/train ->",
    "docs/verify.md": r"lib/python3\.11/.* \[opened\]",
}
"""Page -> how its blocks begin that show what is printed, or draw."""


def test_every_block_of_every_page_has_commands_or_is_a_file() -> None:
    neither = [
        (block.page, block.lines[0])
        for page in PAGES
        for block in blocks_of(page)
        if not commands_in(block) and not re.match(NO_COMMANDS.get(page, "(?!)"), block.lines[0])
        if not _is_file(block)
    ]
    assert neither == []


def _is_file(block: Block) -> bool:
    """Say whether a block can be read as what it is said to be of, or as TOML or JSON."""
    text = "\n".join(block.lines)
    if block.language == "dockerfile":
        return text.startswith("FROM ")
    if block.language == "yaml" or re.match(r" +build:\n", text):
        return bool(list(yaml.safe_load_all(text)))
    if block.language == "json" or text.startswith("{"):
        return '"' in text
    return bool(tomllib.loads(text))
