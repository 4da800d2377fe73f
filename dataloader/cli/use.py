"""The commands that use an environment: shell-hook, list; which environment a command is about."""

from __future__ import annotations

import os
from pathlib import Path

from dataloader.base.errors import PrefixError, UsageError
from dataloader.cli.options import CommonOptions
from dataloader.cli.render import table
from dataloader.cli.session import Session, session

ACTIVE = ("VIRTUAL_ENV", "CONDA_PREFIX")
"""Variables that name the environment that is active in a shell."""


def prefix_of(one: Session) -> Path:
    """Return the prefix a command is about: ``--prefix``, else that of the manifest or the working directory.

    Where none of them is there, it is the environment that is active in the shell; that is said.
    """
    from dataloader.request.request import manifest_path, prefix_path

    prefix = prefix_path(one.options, one.here)
    if one.options.prefix is not None or prefix.exists() or manifest_path(one.options, one.here) is not None:
        return prefix
    active = next((path for name in ACTIVE if (path := one.environ.get(name)) and Path(path).is_dir()), None)
    if active is None:
        return prefix
    one.reporter.info(f"using the environment that is active: {active}")
    return Path(active)


def home_of(prefix: Path) -> Path:
    """The generation that a link leads to now, where it will stay; any other prefix as it is."""
    from dataloader.prefix.pin import generation_of

    return Path(generation_of(os.path.abspath(prefix)) or prefix)  # noqa: PTH100  (the link is what is asked about)


def hold(prefix: Path) -> None:
    """Tell ``prune``, on whatever machine, that this process uses a generation."""
    from dataloader.prefix.pin import generation_of

    if generation_of(str(prefix)) is None:
        return
    from dataloader.install.switch.jobs import take_lease

    take_lease(prefix)
    if not prefix.is_dir():  # removed between the first look and the lease
        raise PrefixError(
            f"{prefix} has just been removed",
            code="prefix-missing",
            suggestions=("Run the command again, by the link that leads to the current generation.",),
        )


def check_python(prefix: Path) -> None:
    """Refuse an environment whose Python is gone: the next one on PATH would run in its place.

    Raises:
        PrefixError: ``python-missing``.
    """
    from dataloader.prefix.python import missing_python

    if why := missing_python(prefix):
        raise PrefixError(
            f"the Python of {prefix} is gone",
            code="python-missing",
            causes=(why,),
            suggestions=("`dataloader sync` builds the environment on a Python that is there",),
        )


def shell_hook(options: CommonOptions, shell: str | None) -> int:
    """Print the lines that activate the environment in the user's shell."""
    from dataloader.prefix.activate import activation

    name = shell or Path(os.environ.get("SHELL", "sh")).name
    if name in ("fish", "csh", "tcsh"):
        raise UsageError(
            f"the shell {name} is not spoken yet",
            code="shell-unsupported",
            suggestions=("use `dataloader run -- CMD`", "or --shell posix in sh, bash or zsh"),
        )
    with session(options) as one:
        prefix = home_of(prefix_of(one))
        text = activation(prefix).shell(one.environ)
        check_python(prefix)
        one.write({"status": "ok", "prefix": str(prefix), "shell": "posix", "script": text}, text)
    return 0


def list_packages(options: CommonOptions) -> int:
    """List what is installed, of both worlds."""
    from dataloader.install.sync import installed

    with session(options) as one:
        prefix = prefix_of(one)
        packages = installed(prefix).packages
        document = {
            "status": "ok",
            "prefix": str(prefix),
            "packages": [
                {"name": p.name, "version": p.version, "kind": p.kind, "build": p.build, "sha256": p.sha256}
                for p in packages
            ],
        }
        rows = [(p.name, p.version, p.kind, p.build or "") for p in packages]
        one.write(document, table(rows, ("package", "version", "kind", "build")) if rows else "nothing is installed\n")
    return 0
