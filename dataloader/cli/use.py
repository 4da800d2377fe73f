"""The commands that use an environment: run, shell-hook, list, verify."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from dataloader.cli.options import CommonOptions
from dataloader.cli.render import table
from dataloader.cli.session import Session, session
from dataloader.errors import ExitCode, PrefixError, UsageError
from dataloader.lockfile.model import Lockfile


def prefix_of(one: Session) -> Path:
    """Return the prefix a command is about: ``--prefix``, else that of the manifest or the working directory."""
    from dataloader.request import DEFAULT_ENVIRONMENT, find, prefix_name

    if one.options.prefix:
        return one.options.prefix
    manifest = find(one.options, one.here)
    return (manifest.path.parent if manifest else one.here) / prefix_name(
        one.options.environment or DEFAULT_ENVIRONMENT
    )


def run(options: CommonOptions, words: tuple[str, ...]) -> int:
    """Replace this process by a command in the activated environment; its exit code is the command's."""
    from dataloader.install.activate import activation

    with session(options) as one:
        environ = activation(prefix_of(one)).environ(one.environ)
    words = words[1:] if words[:1] == ("--",) else words
    if not words:
        raise UsageError("there is no command to run", suggestions=("dataloader run -- python -V",))
    program = shutil.which(words[0], path=environ.get("PATH"))
    if program is None:
        raise UsageError(
            f"there is no command {words[0]} in the environment or on PATH",
            code="command-missing",
            suggestions=("`dataloader list` shows what is installed",),
        )
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(program, list(words), environ)  # noqa: S606 -- running what the user names is the point


def shell_hook(options: CommonOptions, shell: str | None) -> int:
    """Print the lines that activate the environment in the user's shell."""
    from dataloader.install.activate import activation

    name = shell or Path(os.environ.get("SHELL", "sh")).name
    if name in ("fish", "csh", "tcsh"):
        raise UsageError(
            f"the shell {name} is not spoken yet",
            code="shell-unsupported",
            suggestions=("use `dataloader run -- CMD`", "or --shell posix in sh, bash or zsh"),
        )
    with session(options) as one:
        prefix = prefix_of(one)
        text = activation(prefix).shell(one.environ)
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


def verify(options: CommonOptions, path: Path | None) -> int:
    """Check what is installed; exit 1 when something is broken."""
    from dataloader.compat.matrix import load_matrix
    from dataloader.detect import detect_target
    from dataloader.inputs.target_file import load_target
    from dataloader.verify import VerifyOptions, verify_prefix

    with session(options) as one:
        prefix = path or prefix_of(one)
        if not prefix.is_dir():
            raise PrefixError(f"there is no environment at {prefix}", code="prefix-missing")
        targets = [detect_target(options.platform, one.environ)]
        if options.target:
            matrix = load_matrix(*([options.matrix] if options.matrix else []))
            targets = list(load_target(options.target, {row.gpu: row.capability for row in matrix.gpus.values()}))
        report = verify_prefix(
            prefix,
            target=targets[0],
            lock=lock_of(one, prefix),
            options=VerifyOptions(cache=one.cache / "facts", library_path=_activated_path(prefix)),
        )
        rows = [(f.severity, f.kind, f.path, f.message) for f in report.findings]
        text = table(rows, ("severity", "kind", "path", "message")) if rows else ""
        fixes = "".join(f"fix: {f.fix}\n" for f in report.findings if f.fix)
        counts = ", ".join(f"{count} {what}" for what, count in sorted(report.counts.items()))
        one.write(report.to_dict(), f"{text}{fixes}{prefix}: {'ok' if report.ok else 'broken'} ({counts})\n")
        return ExitCode.OK if report.ok else ExitCode.NO


def _activated_path(prefix: Path) -> tuple[str, ...]:
    """Return what activation puts on LD_LIBRARY_PATH: an environment of ours runs activated."""
    from dataloader.install.activate import ACTIVATION, activation

    return activation(prefix).library_path if (prefix / ACTIVATION).is_file() else ()


def lock_of(one: Session, prefix: Path) -> Lockfile | None:
    """Return the lock beside the manifest or in the working directory, if the prefix is one of ours."""
    from dataloader.install.status import STATE
    from dataloader.lockfile.yaml import read_lock
    from dataloader.request import DEFAULT_ENVIRONMENT, find, lock_name

    if not (prefix / STATE).is_file():
        return None
    manifest = find(one.options, one.here)
    name = lock_name(one.options.environment or DEFAULT_ENVIRONMENT)
    path = one.options.lockfile or (manifest.path.parent if manifest else one.here) / name
    return read_lock(path) if path.is_file() else None
