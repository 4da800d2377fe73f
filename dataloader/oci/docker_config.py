"""Who we are to a registry, from where Docker, Podman and Kubernetes keep it: files, helpers, mounted secrets."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dataloader.base.reporter import Reporter

_HELPER_SECONDS = 60.0
_HUB_KEY = "https://index.docker.io/v1/"
_BY_TOKEN = ("<token>", "00000000-0000-0000-0000-000000000000")
"""User names that say that the secret is an identity token."""


class Login(NamedTuple):
    """What a registry is told."""

    user: str
    secret: str
    is_token: bool = False
    """The secret is an identity token (OAuth2's refresh token)."""

    @property
    def basic(self) -> str:
        """The value of Authorization."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.secret}".encode()).decode()


def places(environ: Mapping[str, str]) -> list[Path]:
    """The files that are looked into, in their order: of ``DOCKER_CONFIG`` both Docker's own and a Secret's."""
    found = []
    if chosen := environ.get("REGISTRY_AUTH_FILE"):
        found.append(Path(chosen))
    home = environ.get("HOME")
    folder = environ.get("DOCKER_CONFIG") or (f"{home}/.docker" if home else None)
    if folder:
        found += [Path(folder, "config.json"), Path(folder, ".dockerconfigjson")]
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        found.append(Path(runtime, "containers/auth.json"))
    if home:
        found.append(Path(home, ".config/containers/auth.json"))
    return found


def find_login(host: str, repository: str, environ: Mapping[str, str], reporter: Reporter) -> Login | None:
    """The login for a repository; ``None`` where nobody knows one. What cannot be read is told, and passed over."""
    for path in places(environ):
        config = _read(path, reporter)
        if config is not None and (found := _login(config, host, repository, environ, reporter)) is not None:
            return found
    return None


def _read(path: Path, reporter: Reporter) -> Mapping[str, Any] | None:
    try:
        config = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        reporter.warn(f"{path} cannot be read and is not used: {getattr(error, 'strerror', None) or error}")
        return None
    return config if isinstance(config, dict) else None


def _login(
    config: Mapping[str, Any], host: str, repository: str, environ: Mapping[str, str], reporter: Reporter
) -> Login | None:
    helpers, store = config.get("credHelpers") or {}, config.get("credsStore")
    for key in _keys(host, repository):
        helper = helpers.get(key) if isinstance(helpers, dict) else None
        if helper and (found := _ask(helper, key, environ, reporter)):
            return found
    entries = config.get("auths") or {}
    for key in _keys(host, repository):
        entry = entries.get(key) if isinstance(entries, dict) else None
        if isinstance(entry, dict) and (found := _entry(entry)):
            return found
    if isinstance(store, str) and store:
        return _ask(store, _HUB_KEY if host == "docker.io" else host, environ, reporter)
    return None


def _keys(host: str, repository: str) -> Iterator[str]:
    """What an entry may be called, the closest first."""
    parts = repository.split("/")
    for depth in range(len(parts), 0, -1):
        yield f"{host}/{'/'.join(parts[:depth])}"
    yield from (host, f"https://{host}", f"http://{host}", f"https://{host}/v1/", f"https://{host}/v2/")
    if host == "docker.io":
        yield from (_HUB_KEY, "index.docker.io", "registry-1.docker.io")


def _entry(entry: Mapping[str, Any]) -> Login | None:
    if token := entry.get("identitytoken"):
        return Login("<token>", str(token), is_token=True)
    if entry.get("username") and entry.get("password"):
        return Login(str(entry["username"]), str(entry["password"]))
    try:
        user, colon, secret = base64.b64decode(str(entry.get("auth") or "")).decode().partition(":")
    except ValueError:
        return None
    return Login(user, secret.rstrip("\0")) if colon else None


def _ask(helper: str, server: str, environ: Mapping[str, str], reporter: Reporter) -> Login | None:
    """What ``docker-credential-HELPER get`` says."""
    try:
        done = subprocess.run(
            [f"docker-credential-{helper}", "get"],
            input=server,
            capture_output=True,
            text=True,
            env=dict(environ),
            timeout=_HELPER_SECONDS,
            check=False,
        )
        answer = json.loads(done.stdout) if done.returncode == 0 else {}
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        reporter.warn(f"docker-credential-{helper} cannot be asked about {server}: {type(error).__name__}")
        return None
    user, secret = (answer.get("Username"), answer.get("Secret")) if isinstance(answer, dict) else (None, None)
    if not isinstance(user, str) or not isinstance(secret, str) or not secret:
        return None
    return Login(user, secret, is_token=user in _BY_TOKEN)
