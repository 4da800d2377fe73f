"""Every test has a clean world: its own home and cache, a fixed width, and none of the settings of who runs it."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says what else the machine is doing.
settings.register_profile("anywhere", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("anywhere")

_FOREIGN = ("PIP_", "CONDA_", "DATALOADER_", "UV_", "PIXI_", "MAMBA_", "XDG_")
_ALSO = {
    "NO_COLOR",
    "FORCE_COLOR",
    "CI",
    "TERM",
    "VIRTUAL_ENV",
    "PYTHONPATH",
    "NETRC",
    "LD_LIBRARY_PATH",
    "PYTHONDONTWRITEBYTECODE",
}
# What a network needs to be reached at all (SSL_CERT_FILE, proxies) stays.


@pytest.fixture(autouse=True)
def clean_world(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of one test."""
    home = tmp_path_factory.mktemp("home")
    pyenv = os.environ.get("PYENV_ROOT") or str(Path("~/.pyenv").expanduser())
    for name in os.environ:
        if name.startswith(_FOREIGN) or name in _ALSO:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PYENV_ROOT", pyenv)
    monkeypatch.setenv("DATALOADER_CACHE_DIR", str(home / "cache"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "dumb")
    return home


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what mostly waits: at the end it would be waited for alone."""
    items.sort(key=lambda item: item.get_closest_marker("waits") is None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give tests that share what their module built to one process, else it is built in each; all others one by one."""
    from xdist.scheduler.loadscope import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.partition("::")[0]
            return path if _shares(path) else nodeid

    return Scheduling(config, log)


@cache
def _shares(path: str) -> bool:
    """Whether a file of tests has fixtures that are built once."""
    return 'scope="module"' in (Path(__file__).parents[1] / path).read_text(encoding="utf-8")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a package index where none can be reached."""
    if item.get_closest_marker("pypi") and (reason := _unreachable("https://pypi.org/simple/")):
        pytest.skip(reason)


@cache
def _unreachable(url: str) -> str | None:
    """Why the host of ``url`` cannot be reached; ``None`` when it can."""
    parts = urlsplit(url)
    assert parts.hostname
    try:
        socket.create_connection((parts.hostname, parts.port or 443), timeout=5).close()
    except OSError as error:
        return f"{parts.hostname} cannot be reached: {error}"
    return None
