"""Directories as mirrors: rattler speaks HTTP to mirrors alone, so a directory is served to it, on this machine."""

from __future__ import annotations

import functools
import secrets
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


class _Quiet(SimpleHTTPRequestHandler):
    """Serves one directory to who knows the secret part of its address."""

    def __init__(self, *arguments: object, key: str, directory: str) -> None:
        self._key = key
        super().__init__(*arguments, directory=directory)  # type: ignore[arg-type]

    def translate_path(self, path: str) -> str:
        inside = path.removeprefix(f"/{self._key}/")
        return super().translate_path(f"/{inside}") if inside != path else "/dev/null/nothing"

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  (the base class's name)
        """Say nothing."""


@functools.cache
def served(location: str) -> str:
    """Return an address at which the directory of a ``file://`` URL is served as long as this process lives."""
    folder, key = Path(unquote(urlsplit(location).path)), secrets.token_urlsafe(16)
    handler = functools.partial(_Quiet, key=key, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, name=f"mirror {folder}", daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}/{key}/"
