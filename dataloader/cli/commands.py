"""The commands by name, each imported when it is used."""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # typing takes 10 ms to import
if TYPE_CHECKING:
    from dataloader.cli.line.command import Command

COMMANDS = {
    "init": "edits.init:init",
    "install": "edits.install:install",
    "add": "edits.add:add",
    "remove": "edits.remove:remove",
    "upgrade": "edits.upgrade:upgrade",
    "lock": "edits.lock:lock",
    "sync": "edits.sync:sync",
    "verify": "answers.verify:verify",
    "run": "running.run:run",
    "shell-hook": "shells.hook:shell_hook",
    "shell": "shells.shell:shell",
    "list": "answers.list:list_packages",
    "tree": "answers.tree:tree",
    "explain": "answers.explain:explain",
    "plan": "answers.plan:plan",
    "export": "clusters.export:export",
    "bundle": "clusters.bundle:bundle",
    "unbundle": "clusters.bundle:unbundle",
    "diff": "answers.diff:diff",
    "outdated": "answers.outdated:outdated",
    "search": "answers.search:search",
    "abi": "answers.abi:abi",
    "generations": "places.volumes:generations",
    "rollback": "places.volumes:rollback",
    "prune": "places.volumes:prune",
    "push": "clusters.push:push",
    "pull": "clusters.pull:pull",
    "k8s": "clusters.k8s:k8s",
    "env": "places.env:env",
    "clean": "places.env:clean",
    "cache": "places.cache:cache",
    "config": "places.config:config",
    "kernel": "shells.kernel:kernel",
    "completion": "shells.completion:completion",
    "info": "answers.info:info",
    "help": "answers.help:help_about",
}
"""Command -> module of this package and function, in the order of the help."""


def load(name: str) -> Command:
    """Import a command of COMMANDS."""
    module, function = COMMANDS[name].split(":")
    made: Command = getattr(import_module(f"dataloader.cli.{module}"), function)
    return made
