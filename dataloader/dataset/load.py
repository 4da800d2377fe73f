"""A source becomes an environment on the volume: locked, built beside the last one, verified, switched to by a link.

<root>/conda/envs/<name>          the environment, a link to its current generation
<root>/conda/pkgs                 our cache: a second round fetches only what is new
<root>/conda/locks/<name>/        environment.yml as it was completed, requirements.txt, dataloader.lock
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

from dataloader.base.errors import DataloaderError, ExitCode
from dataloader.dataset.environment import completed, read_environment, write_environment
from dataloader.dataset.ownership import apply
from dataloader.dataset.request import DatasetSource, Mount


class LoadFailed(DataloaderError):
    """A stage ended with an exit code of its own, and has said why."""

    exit_code = ExitCode.NO
    default_code = "load-failed"

    def __init__(self, message: str, *, exit_code: int = ExitCode.NO) -> None:
        super().__init__(message)
        self.exit_code = ExitCode(exit_code)


Runner: TypeAlias = Callable[[Sequence[str]], int]
"""Runs a command line of ours, says every failure itself, and returns the exit code."""


def load(source: DatasetSource, mount: Mount, secrets: Path, run: Runner) -> None:
    """Make the environment of a source, or leave the one that is there.

    Args:
        source: What to install.
        mount: Where to.
        secrets: Folder with a file for each.
        run: What locks and installs.

    Raises:
        LoadFailed: it could not be locked or built; the stage has said why.
        DataloaderError: the source's own files cannot be read.
        OSError: mode or owner cannot be set.
    """
    conda = mount.root / "conda"
    folder = conda / "locks" / source.name
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("DATALOADER_CACHE_DIR", str(conda / "pkgs"))
    _use(_secrets(secrets), source, folder)
    where = _inputs(source, folder)
    try:
        _run(run, "lock", *where)
        _run(
            run,
            "sync",
            *(where if source.kind == "PIXI" else ("--lockfile", str(folder / "dataloader.lock"))),
            "--frozen",
            *("--root", str(conda / "envs"), "--name", source.name, "--target-prefix", source.target_prefix),
        )
    finally:
        (folder / "netrc").unlink(missing_ok=True)
    if mount.folder.exists():
        apply(mount.folder, mode=mount.mode, uid=mount.uid, gid=mount.gid, spared=(conda / "pkgs",))
    else:
        raise LoadFailed(f"there is no {mount.folder}, which --mount-path names")


def _inputs(source: DatasetSource, folder: Path) -> tuple[str, ...]:
    """The options that name what is to be locked; the files are copied beside the lock, for who wants to know."""
    lock = ("--lockfile", str(folder / "dataloader.lock"))
    if source.kind == "PIXI":
        manifest = folder / "pixi.toml"
        shutil.copyfile(source.pixi_toml, manifest)
        return ("--manifest", str(manifest), *lock)
    written = read_environment(source)
    document = completed(written, source)
    path = folder / "environment.yml"
    write_environment(document, path)
    sys.stdout.write(f"environment as loaded: {written}\nenvironment as changed: {document}\n")
    found = ["-f", str(path), *lock]
    if source.requirements_txt.is_file():
        shutil.copyfile(source.requirements_txt, folder / "requirements.txt")
        found += ["-r", str(folder / "requirements.txt")]
    elif source.environment_yml.is_file():
        sys.stderr.write(f"there is no {source.requirements_txt}: going on without\n")
    return tuple(found)


def _run(run: Runner, *words: str) -> None:
    code = run(words)
    if code:
        raise LoadFailed(f"`dataloader {words[0]}` ended with {code}", exit_code=code)


_SECRETS = ("username", "password", "token")
"""Of the controller's files, those that say who we are to an index."""


def _secrets(folder: Path) -> dict[str, str]:
    """What the files hold; absent ones are skipped, as upstream does."""
    found = {}
    for name in _SECRETS:
        try:
            found[name] = (folder / name).read_text(encoding="utf-8").strip()
        except (FileNotFoundError, NotADirectoryError):
            continue
    return found


def _use(secrets: Mapping[str, str], source: DatasetSource, folder: Path) -> None:
    """Let indexes that the source names know who we are: by netrc, for their hosts alone."""
    password = secrets.get("password") or secrets.get("token")
    hosts = {urlsplit(url).hostname for url in (source.index_url, source.extra_index_url) if url} - {None}
    if not password or not hosts or "NETRC" in os.environ:
        return
    path = folder / "netrc"
    user = secrets.get("username") or "__token__"
    text = "".join(f"machine {host}\n  login {user}\n  password {password}\n" for host in sorted(filter(None, hosts)))
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    os.environ["NETRC"] = str(path)
