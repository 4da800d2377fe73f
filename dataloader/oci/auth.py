"""Tokens for registries (the distribution project's token authentication), found when a registry first says 401."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dataloader.base.redaction import redact
from dataloader.base.reporter import Reporter
from dataloader.index.settings import IndexSettings
from dataloader.index.web.clients import Clients, short_answer
from dataloader.index.web.credentials import Credentials
from dataloader.oci.docker_config import Login, find_login, places
from dataloader.oci.reference import Reference

if TYPE_CHECKING:
    import httpx

_FRESH = 30.0
"""Seconds for which an answer stands: a token that is refused sooner did not run out."""


class RegistryCredentials(Credentials):
    """Finds the Authorization header for a repository.

    Order: what Docker and Podman keep (files, helpers, a mounted Secret), then netrc. Without any, an anonymous token.
    """

    def __init__(self, settings: IndexSettings, reporter: Reporter, wanted: Iterable[tuple[Reference, str]]) -> None:
        """``wanted`` are repositories, and what is done to each: ``pull``, or ``pull,push``."""
        super().__init__((), settings.environ, reporter)
        self._settings, self._reporter = settings, reporter
        self._wanted = {reference.base: (reference, actions) for reference, actions in wanted}
        self._clients: Clients | None = None
        self._headers: dict[str, str] = {}
        self._asked: dict[str, float] = {}
        self._lock = threading.Lock()

    def header(self, url: str) -> str | None:
        """What was found for the repository of ``url``; netrc's for its host."""
        base = self._base_of(url)
        return self._headers[base] if base in self._headers else super().header(url)

    def ask_keyring(self, url: str) -> str | None:
        """Ask for a token, or find a login, after a 401; blocking. None where there is none.

        Of several threads that learn at once that one is needed, the first asks.
        """
        base = self._base_of(url)
        if base is None:
            return None
        with self._lock:
            asked = self._asked.get(base)
            if asked is None or time.monotonic() - asked > _FRESH:
                found = self._find(*self._wanted[base])
                self._asked[base] = time.monotonic()
                self._headers.pop(base, None)
                if found is not None:
                    self._headers[base] = found
            return self._headers.get(base)

    def _find(self, reference: Reference, actions: str) -> str | None:
        login = find_login(reference.host, reference.repository, self._settings.environ, self._reporter)
        kind, facts = self._challenge(reference)
        if kind == "bearer" and facts.get("realm"):
            if login and reference.origin.startswith("https:") and not facts["realm"].lower().startswith("https:"):
                where = redact(facts["realm"])
                self._reporter.warn(f"{reference.host} wants its login sent to {where}, unencrypted; it is not")
                login = None
            return self._token(facts, f"repository:{reference.repository}:{actions}", login)
        return login.basic if login and not login.is_token else super().header(f"{reference.base}/")

    def places(self) -> str:
        """Where credentials are looked for."""
        files = ", ".join(map(str, places(self._settings.environ)))
        return f"{files}, the helpers that those name, and netrc"

    def advice(self, host: str) -> str:
        """What to do."""
        return f"docker login {host}, or mount a Secret of it and set DOCKER_CONFIG to the folder."

    def close(self) -> None:
        """Close connections."""
        if self._clients is not None:
            self._clients.blocking().close()

    def _base_of(self, url: str) -> str | None:
        return next((base for base in self._wanted if url.startswith(f"{base}/")), None)

    def _challenge(self, reference: Reference) -> tuple[str, Mapping[str, str]]:
        """What the registry wants: the scheme in small letters, and its parameters."""
        for address in (f"{reference.origin}/v2/", f"{reference.base}/tags/list?n=1"):
            said = short_answer(self._client(), "GET", address).headers.get("WWW-Authenticate", "")
            if said:
                return said.partition(" ")[0].lower(), dict(re.findall(r'(\w+)="([^"]*)"', said))
        return "", {}

    def _token(self, facts: Mapping[str, str], scope: str, login: Login | None) -> str | None:
        realm, service = facts["realm"], facts.get("service", "")
        if urlsplit(realm).scheme not in {"http", "https"}:
            return None
        asked: dict[str, Any] = {"service": service, "scope": scope}
        if login is not None and login.is_token:
            form = {**asked, "grant_type": "refresh_token", "refresh_token": login.secret, "client_id": "dataloader"}
            # To follow a redirect would take the token along, wherever that leads.
            answer = short_answer(self._client(), "POST", realm, data=form, follow_redirects=False)
        else:
            signed = {"Authorization": login.basic} if login else {}
            answer = short_answer(self._client(), "GET", realm, params=asked, headers=signed)
        try:
            content = answer.json() if answer.status_code == 200 else {}
        except ValueError:
            return None
        token = content.get("token") or content.get("access_token") if isinstance(content, dict) else None
        return f"Bearer {token}" if isinstance(token, str) and token else None

    def _client(self) -> httpx.Client:
        if self._clients is None:
            self._clients = Clients(self._settings)
        return self._clients.blocking()
