"""What pip's configuration files and environment variables say about indexes; no other settings of pip.

Order as in pip's documentation ("Configuration"): global files, the user's, ``PIP_CONFIG_FILE``, then variables; later
ones win, and [install] wins over [global].
"""

# ruff: noqa: PTH113, PTH118
# As dataloader.prefix.locate: a sync with nothing to do asks where these files are.

from __future__ import annotations

import os

TYPE_CHECKING = False  # typing takes 10 ms to import
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dataloader.base.reporter import Reporter

_SECTIONS = ("global", "install")
_KEYS = ("index-url", "extra-index-url", "find-links", "no-index", "cert", "client-cert", "trusted-host", "proxy")
_NUMBERS = ("timeout", "retries")


def pip_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Settings from ``PIP_*`` variables, by the names that the configuration files use.

    ``PIP_DEFAULT_TIMEOUT`` is the older spelling of ``PIP_TIMEOUT``.
    """
    found = {}
    for key in (*_KEYS, *_NUMBERS):
        value = environ.get("PIP_" + key.upper().replace("-", "_"))
        if value is not None and value.strip():
            found[key] = value
    if "timeout" not in found and environ.get("PIP_DEFAULT_TIMEOUT"):
        found["timeout"] = environ["PIP_DEFAULT_TIMEOUT"]
    return found


def read_pip_files(
    environ: Mapping[str, str], reporter: Reporter, keys: tuple[str, ...] = (*_KEYS, *_NUMBERS)
) -> dict[str, str]:
    """Settings from pip's configuration files, of some keys; a file that cannot be read is a warning."""
    found: dict[str, str] = {}
    paths = [path for path in pip_files(environ) if os.path.isfile(path)]
    if not paths:
        return found
    import configparser  # for those who have such files

    for path in paths:
        parser = configparser.RawConfigParser()
        try:
            if not parser.read(path, encoding="utf-8"):
                continue
        except (configparser.Error, UnicodeDecodeError) as error:
            reporter.warn(f"pip's configuration file {path} cannot be read and is not used: {type(error).__name__}")
            continue
        for section in _SECTIONS:
            if parser.has_section(section):
                found.update(
                    (key, value)
                    for key, value in ((key.replace("_", "-"), value) for key, value in parser.items(section))
                    if key in keys and value
                )
    return found


def pip_files(environ: Mapping[str, str]) -> Iterator[str]:
    """Where pip's configuration may be, in the order that it is read."""
    chosen = environ.get("PIP_CONFIG_FILE")
    # pip: "if set to os.devnull, the loading of all configuration files is disabled".
    if chosen == os.devnull:
        return
    for folder in environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":"):
        yield os.path.join(folder, "pip", "pip.conf")
    yield "/etc/pip.conf"
    home = environ.get("HOME")
    if home:
        yield os.path.join(home, ".pip", "pip.conf")
    if config := environ.get("XDG_CONFIG_HOME") or (f"{home}/.config" if home else ""):
        yield os.path.join(config, "pip", "pip.conf")
    if chosen:
        yield chosen
