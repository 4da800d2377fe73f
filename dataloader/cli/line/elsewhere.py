"""Words that other tools have for what we do, and what to type here. Each is tried by a test."""

from __future__ import annotations

INSTEAD: dict[str, str] = {
    "uninstall": "dataloader remove NAME",
    "rm": "dataloader remove NAME",
    "delete": "dataloader remove NAME",
    "update": "dataloader upgrade",
    "up": "dataloader upgrade",
    "bump": "dataloader upgrade",
    "why": "dataloader explain NAME",
    "show": "dataloader explain NAME",
    "inspect": "dataloader explain NAME",
    "depends": "dataloader tree",
    "deps": "dataloader tree",
    "graph": "dataloader tree",
    "whoneeds": "dataloader tree --invert NAME",
    "create": "dataloader init",
    "new": "dataloader init",
    "venv": "dataloader install SPEC --prefix DIR",
    "virtualenv": "dataloader install SPEC --prefix DIR",
    "import": "dataloader init --from FILE",
    "compile": "dataloader lock",
    "solve": "dataloader lock",
    "freeze": "dataloader export requirements.txt",
    "ls": "dataloader list",
    "packages": "dataloader list",
    "check": "dataloader verify",
    "doctor": "dataloader verify",
    "audit": "dataloader verify",
    "exec": "dataloader run -- CMD",
    "x": "dataloader run -- CMD",
    "version": "dataloader --version",
    "download": "dataloader cache warm",
    "repoquery": "dataloader search NAME",
    "index": "dataloader search NAME",
    "man": "dataloader help",
    "activate": "dataloader shell",
    "workon": "dataloader shell",
    "task": "dataloader run",
    "tasks": "dataloader run",
    "environment": "dataloader env list",
    "environments": "dataloader env list",
    "settings": "dataloader config",
    "get": "dataloader config",
    "jupyter": "dataloader kernel install",
    "ipykernel": "dataloader kernel install",
    "completions": "dataloader completion bash",
}
"""Word -> a line that does it."""

OTHERWISE: dict[str, str] = {
    "pip": "packages of PyPI are added by their names: `dataloader add NAME`",
    "conda": "conda packages are added so: `dataloader add conda:NAME`",
    "channel": "a channel goes into the manifest with what it is for: `dataloader add conda:NAME -c CHANNEL`",
    "python": "the Python of an environment is a part of its stack: `dataloader add --python=3.12`",
    "self": "this program is upgraded by what installed it: pip, uv or conda",
    "build": "nothing is built from source here; a wheel is added by its path: `dataloader add ./NAME.whl`",
    "publish": "nothing is published from here",
}
"""Word -> what takes its place, where that is not one line."""


def advice(word: str) -> str | None:
    """What to type in the place of another tool's word; ``None`` for one that is not known."""
    if word in INSTEAD:
        return f"`{INSTEAD[word]}`"
    return OTHERWISE.get(word)
