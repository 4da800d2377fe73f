"""The commands by name, each imported when it is used."""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # typing takes 10 ms to import
if TYPE_CHECKING:
    from dataloader.cli.command import Command

COMMANDS = {
    "init": "init:init",
    "install": "install:install",
    "add": "edits.add:add",
    "remove": "edits.remove:remove",
    "upgrade": "edits.upgrade:upgrade",
    "lock": "lock:lock",
    "sync": "sync:sync",
    "verify": "verify:verify",
    "run": "running.run:run",
    "shell-hook": "shells.hook:shell_hook",
    "shell": "shells.shell:shell",
    "list": "list:list_packages",
    "tree": "tree:tree",
    "explain": "explain:explain",
    "plan": "plan:plan",
    "export": "export:export",
    "bundle": "bundle:bundle",
    "unbundle": "bundle:unbundle",
    "diff": "diff:diff",
    "outdated": "outdated:outdated",
    "search": "search:search",
    "abi": "abi:abi",
    "generations": "volumes:generations",
    "rollback": "volumes:rollback",
    "prune": "volumes:prune",
    "push": "clusters.push:push",
    "pull": "clusters.pull:pull",
    "k8s": "clusters.k8s:k8s",
    "env": "places.env:env",
    "clean": "places.env:clean",
    "cache": "cache:cache",
    "config": "places.config:config",
    "kernel": "shells.kernel:kernel",
    "completion": "shells.completion:completion",
    "info": "info:info",
    "help": "help:help_about",
}
"""Command -> module of this package and function, in the order of the help."""


def load(name: str) -> Command:
    """Import a command of COMMANDS."""
    module, function = COMMANDS[name].split(":")
    made: Command = getattr(import_module(f"dataloader.cli.{module}"), function)
    return made
