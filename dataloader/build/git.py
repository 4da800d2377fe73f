"""Repositories, by the ``git`` program: which commit a name is, and its files in a folder. Runs nothing of them.

Each repository is kept once below the cache, without its files (a partial clone where the server has those); a commit
is checked out beside what is built. Users and passwords are git's own business: its helpers, netrc, ssh.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
import signal
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from dataloader.base.errors import IndexUnavailable, IntegrityError, ResolutionFailure, UsageError
from dataloader.base.names import some
from dataloader.base.origin import Origin
from dataloader.base.redaction import redact
from dataloader.base.reporter import Reporter
from dataloader.install.switch.lease import Lease

FOLDER = "git"
"""The folder of repositories, below the cache."""
_OF_ELSEWHERE = re.compile(r"GIT_(DIR|WORK_TREE|INDEX_FILE|OBJECT_DIRECTORY|ALTERNATE_\w+|NAMESPACE|PREFIX|COMMON_DIR)")
"""Variables that would lead git to another repository: a command may be run in a hook."""
_SAFE = (
    ("core.hooksPath", os.devnull),
    ("core.fsmonitor", "false"),
    ("core.untrackedCache", "false"),
    ("advice.detachedHead", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("fetch.fsckObjects", "false"),
    ("submodule.recurse", "false"),
)
_LFS = (
    ("filter.lfs.smudge", "git-lfs smudge -- %f"),
    ("filter.lfs.process", "git-lfs filter-process"),
    ("filter.lfs.required", "true"),
)
_NO_LFS = (("filter.lfs.smudge", ""), ("filter.lfs.process", ""), ("filter.lfs.required", "false"))
"""Where there is no git-lfs, though git may be set to call it: what stands for files is then seen, and refused."""
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_LFS_MOST = 1024
"""Bytes that a file of LFS has at most, which stands for another (its specification)."""
_WAIT = 1800.0
"""Seconds to wait for another process that fetches the same repository."""
_NETWORK = re.compile(
    r"[Cc]ould not resolve host|Connection (?:refused|timed out|reset|closed)|[Ff]ailed to connect"
    r"|Network is unreachable"
    r"|early EOF|hung up unexpectedly|timed out|RPC failed|TLS|SSL"
)
_WHO = re.compile(r"Authentication failed|could not read (?:Username|Password)|Permission denied|HTTP 401|HTTP 403")
_NOT_THERE = re.compile(r"does not appear to be a git repository|[Nn]ot found|does not exist|No such file|not a git")
_NO_REF = re.compile(r"couldn't find remote ref|not our ref|no such remote ref|unadvertised object")


class Repository:
    """One repository.

    Args:
        url: Its URL, without user and password.
        cache: The folder of the cache.
        environ: The process's environment.
        secrets: Addresses with users and passwords, for git to be asked with.
        offline: Whether the network is kept away.
    """

    def __init__(
        self,
        url: str,
        cache: Path,
        environ: Mapping[str, str],
        reporter: Reporter,
        *,
        secrets: Iterable[str] = (),
        offline: bool = False,
    ) -> None:
        self._url, self._reporter = url, reporter
        self._offline = offline and not url.startswith("file:")
        self._folder = cache / FOLDER / hashlib.sha256(url.encode()).hexdigest()[:24]
        self._environ = _variables(url, environ, secrets)

    async def commit(self, ref: str | None) -> str:
        """Return the commit that a branch, a tag or the start of a commit's name is; ``None``: the default branch.

        Raises:
            ResolutionFailure: ``source-missing``; there is no such repository, or nothing of that name.
            IndexUnavailable: ``source-unreachable``, ``offline-missing``.
            UsageError: ``git-missing``, ``source-auth``.
        """
        async with self._held():
            if ref and Origin(kind="git", location=self._url, ref=ref).commit:
                await self._bring(ref)
                return ref
            await self._fetch("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*", "--prune")
            if ref is None:
                await self._fetch("+HEAD:refs/dataloader/head")
            names = [f"refs/heads/{ref}", f"refs/tags/{ref}"] if ref else ["refs/dataloader/head"]
            names += [ref] if ref and (ref.startswith("refs/") or re.fullmatch(r"[0-9a-f]{7,64}", ref)) else []
            for name in names:
                if found := await self._known(name):
                    return found
            if ref and ref.startswith("refs/") and not ref.startswith(("refs/heads/", "refs/tags/")):
                await self._fetch(f"+{ref}:refs/dataloader/other")
                if found := await self._known("refs/dataloader/other"):
                    return found
            raise _missing(f"{redact(self._url)} has no branch, tag or commit {ref}", is_locked=False)

    async def checkout(self, commit: str, into: Path) -> None:
        """Check a commit out into a new folder, with its submodules and the files of LFS.

        Raises:
            IntegrityError: ``source-malformed``; it leads out of the folder.
            UsageError: ``git-lfs-missing``.
            ResolutionFailure, IndexUnavailable, UsageError: as ``commit``.
        """
        async with self._held():
            await self._bring(commit)
            await self._git("worktree", "prune")
            into.parent.mkdir(parents=True, exist_ok=True)
            await self._git("worktree", "add", "--quiet", "--detach", "--force", "--", str(into), commit)
            await asyncio.to_thread(_check_links, into, self._url)
            if (into / ".gitmodules").is_file():
                await self._git("submodule", "--quiet", "update", "--init", "--recursive", cwd=into)
                await asyncio.to_thread(_check_links, into, self._url)
        if shutil.which("git-lfs", path=self._environ.get("PATH")) is None:
            await asyncio.to_thread(_refuse_pointers, into, self._url)

    # -- the kept repository

    def _held(self) -> Lease:
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        return Lease(self._folder.with_suffix(".lease"), redact(self._url), self._reporter, _WAIT, self._give_up)

    def _give_up(self) -> None:
        """Forget what a process left that died while it fetched."""
        for lock in (*self._folder.glob("*.lock"), *self._folder.glob("refs/**/*.lock")):
            lock.unlink(missing_ok=True)

    async def _bring(self, commit: str) -> None:
        """Have a commit in the kept repository; one that is there is not asked for again."""
        if await self._known(commit):
            return
        try:
            await self._fetch(commit)
        except ResolutionFailure:  # a server need not give what no name leads to
            await self._fetch("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*", "--prune")
        if not await self._known(commit):
            raise _missing(f"{redact(self._url)} has no commit {commit}")

    async def _known(self, name: str) -> str | None:
        if not (self._folder / "HEAD").is_file():
            return None
        code, out, _ = await self._run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        return out.strip() if code == 0 else None

    async def _fetch(self, *words: str) -> None:
        if self._offline:
            raise IndexUnavailable(
                f"{redact(self._url)} is not in the cache as it is asked for, and --offline keeps the network away",
                code="offline-missing",
                suggestions=("run the command once without --offline",),
            )
        if not (self._folder / "HEAD").is_file():
            await self._begin()
        options = [word for word in words if word.startswith("--")]
        refs = [word for word in words if not word.startswith("--")]
        await self._git(
            "fetch",
            "--quiet",
            "--force",
            "--no-tags",
            "--filter=blob:none",
            *options,
            "--end-of-options",
            "origin",
            *refs,
        )

    async def _begin(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        await self._git("init", "--quiet", "--bare", "--template=", ".")
        for key, value in (
            ("remote.origin.url", self._url),
            ("remote.origin.promisor", "true"),
            ("remote.origin.partialclonefilter", "blob:none"),
        ):
            await self._git("config", "--local", key, value)

    # -- the program

    async def _git(self, *words: str, cwd: Path | None = None) -> str:
        code, out, said = await self._run(*words, cwd=cwd)
        if code == 0:
            return out
        raise _failed(self._url, said)

    async def _run(self, *words: str, cwd: Path | None = None) -> tuple[int, str, str]:
        try:
            process = await asyncio.create_subprocess_exec(
                "git",
                *words,
                cwd=cwd or self._folder,
                env=self._environ,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise UsageError(
                f"{redact(self._url)} is a repository, and there is no program git on this machine",
                code="git-missing",
                suggestions=("install git",),
            ) from error
        try:
            out, said = await process.communicate()
        except asyncio.CancelledError:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            raise
        return process.returncode or 0, out.decode("utf-8", "replace"), said.decode("utf-8", "replace")


def _variables(url: str, environ: Mapping[str, str], secrets: Iterable[str]) -> dict[str, str]:
    """Return the environment of git: it asks nobody at a terminal, and is led nowhere but by schemes that are known."""
    kept = {name: value for name, value in environ.items() if not _OF_ELSEWHERE.fullmatch(name)}
    schemes = ["https", "http", "ssh", "git", *(["file"] if url.startswith("file:") else [])]
    kept |= {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": ":".join(schemes),
        "LC_ALL": "C",
        "GIT_OPTIONAL_LOCKS": "0",
    }
    kept.setdefault("GIT_SSH_COMMAND", kept.get("GIT_SSH") or "ssh -oBatchMode=yes")
    said = [*_SAFE, *(_LFS if shutil.which("git-lfs", path=kept.get("PATH")) else _NO_LFS)]
    for number, (where, user, password) in enumerate(_logins(secrets)):
        names = f"THIS_GIT_USER_{number}", f"THIS_GIT_PASSWORD_{number}"
        kept |= dict(zip(names, (user, password), strict=True))
        told = " ".join(f'"{part}=${name}"' for part, name in zip(("username", "password"), names, strict=True))
        said.append((f"credential.{where}.helper", f'!f() {{ test "$1" != get || printf "%s\\n" {told}; }}; f'))
    before = int(kept.get("GIT_CONFIG_COUNT", "0") or 0)
    for number, (key, value) in enumerate(said, before):
        kept |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return {**kept, "GIT_CONFIG_COUNT": str(before + len(said))}


def _logins(secrets: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Yield hosts with their users and passwords."""
    for address in dict.fromkeys(secrets):
        parts = urlsplit(address)
        if parts.scheme in {"http", "https"} and parts.username:
            host = parts.netloc.rpartition("@")[2]
            yield f"{parts.scheme}://{host}", unquote(parts.username), unquote(parts.password or "")


def _failed(url: str, said: str) -> IndexUnavailable | ResolutionFailure | UsageError | IntegrityError:
    """Return what git's words mean."""
    lines = [redact(line.strip()) for line in said.splitlines() if line.strip() and not line.startswith("warning:")]
    causes, where = tuple(lines[-6:]), redact(url)
    if _WHO.search(said):
        return UsageError(
            f"{where} wants to know who asks, and git has no answer that it takes",
            code="source-auth",
            causes=causes,
            suggestions=(
                "have git ask by itself first: `git ls-remote URL` (a credential helper, netrc, or a key of ssh)",
            ),
        )
    if _NO_REF.search(said):
        return _missing(f"{where} does not have what is asked of it", *causes)
    if _NOT_THERE.search(said) and not _NETWORK.search(said):
        return _missing(f"{where} is no repository that can be read", *causes)
    if "transport" in said and "not allowed" in said:
        return IntegrityError(
            f"{where} leads where git may not go",
            code="source-malformed",
            causes=causes,
            suggestions=("a submodule names a place that only its author's machine has: ask its authors",),
        )
    if _NETWORK.search(said) or "unable to access" in said or "Could not read from remote" in said:
        return IndexUnavailable(f"{where} did not answer", code="source-unreachable", causes=causes)
    return IntegrityError(f"{where} cannot be checked out", code="source-malformed", causes=causes)


def _missing(message: str, *causes: str, is_locked: bool = True) -> ResolutionFailure:
    return ResolutionFailure(
        message,
        code="source-missing",
        causes=causes,
        suggestions=(
            "see which there are: `git ls-remote URL`",
            *(["a lock that names what is gone is made anew by `dataloader lock --upgrade`"] if is_locked else []),
        ),
        python_matters=False,
    )


def _check_links(folder: Path, url: str) -> None:
    """Refuse links that lead out of what was checked out: a build would take in files of this machine."""
    root = folder.resolve()
    for path, folders, files in os.walk(folder):
        for name in (*folders, *files):
            link = Path(path, name)
            if link.is_symlink() and not Path(os.path.realpath(link)).is_relative_to(root):
                raise IntegrityError(
                    f"{redact(url)} has a link that leads out of it",
                    code="source-malformed",
                    causes=(f"{link.relative_to(folder)} leads to {link.readlink()}",),
                )


def _refuse_pointers(folder: Path, url: str) -> None:
    """Refuse files of LFS where nothing fetches them: what stands for them would be built in."""
    found = [path for path in _small_files(folder) if _starts(path, _LFS_POINTER)] if _uses_lfs(folder) else []
    if found:
        shown = [str(path.relative_to(folder)) for path in sorted(found)]
        raise UsageError(
            f"{redact(url)} keeps files in LFS, and there is no program git-lfs on this machine",
            code="git-lfs-missing",
            causes=(some(shown, 4),),
            suggestions=("install git-lfs",),
        )


def _uses_lfs(folder: Path) -> bool:
    return any(b"filter=lfs" in path.read_bytes() for path in folder.rglob(".gitattributes") if path.is_file())


def _small_files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.stat().st_size < _LFS_MOST:
            yield path


def _starts(path: Path, beginning: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(beginning)) == beginning
