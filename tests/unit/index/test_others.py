"""Each setting of pip and uv is heeded, told, or of what is theirs alone; the lists are their own help's."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dataloader.index.others import PIP, UV, unheeded
from dataloader.index.pip_config import pip_environment
from dataloader.index.settings import index_settings

OF_PIP = {
    "refresh-package", "break-system-packages", "cache-dir", "check-build-dependencies", "compile", "debug",
    "disable-pip-version-check", "dry-run", "exists-action", "force-reinstall", "help", "ignore-installed", "isolated",
    "keyring-provider", "log", "no-cache-dir", "no-clean", "no-color", "no-compile", "no-input", "no-proxy-env",
    "no-require-hashes", "no-warn-conflicts", "no-warn-script-location", "progress-bar", "python", "quiet", "report",
    "require-virtualenv", "resume-retries", "root-user-action", "src", "upgrade", "upgrade-strategy", "use-deprecated",
    "use-feature", "use-pep517", "user", "verbose",
}  # fmt: skip
"""Options of how pip goes about it, what it prints, and where it keeps things."""
OF_UV = {
    "UV_CACHE_DIR", "UV_COMPILE_BYTECODE", "UV_CONFIG_FILE", "UV_CUSTOM_COMPILE_COMMAND", "UV_KEYRING_PROVIDER",
    "UV_LINK_MODE", "UV_MANAGED_PYTHON", "UV_NO_CACHE", "UV_NO_CONFIG", "UV_NO_MANAGED_PYTHON", "UV_NO_PROGRESS",
    "UV_NO_SYNC", "UV_PROJECT", "UV_PYTHON_DOWNLOADS", "UV_SYSTEM_PYTHON", "UV_WORKING_DIR", "UV_BREAK_SYSTEM_PACKAGES",
    "UV_NATIVE_TLS", "UV_SYSTEM_CERTS", "UV_WORKING_DIRECTORY", "UV_PREVIEW", "UV_PREVIEW_FEATURES", "UV_OUTPUT_FILE",
    "UV_MALWARE_CHECK",
}  # fmt: skip
"""Variables of how uv goes about it, what it prints, and where it keeps things."""


def told(environ: dict[str, str]) -> list[str]:
    return list(unheeded(index_settings({}, {}, {"PIP_CONFIG_FILE": "/dev/null", **environ})))


def test_each_option_of_pip_is_heeded_told_or_its_own() -> None:
    done = subprocess.run([sys.executable, "-m", "pip", "install", "--help"], capture_output=True, text=True)
    if done.returncode:
        pytest.skip("no pip here")
    options = set(re.findall(r"^ +(?:-\w, )?--([a-z][a-z0-9-]+)", done.stdout, re.MULTILINE))
    heeded = {option for option in options if pip_environment({f"PIP_{option.upper().replace('-', '_')}": "1"})}

    assert len(options) > 50
    assert options - heeded - PIP.keys() - OF_PIP == set()
    assert heeded & PIP.keys() == set()


def test_each_variable_of_uv_is_told_or_its_own() -> None:
    if (uv := shutil.which("uv")) is None:
        pytest.skip("no uv here")
    commands = (["pip", "install"], ["pip", "compile"], ["sync"], ["lock"], ["add"])
    helps = [subprocess.run([uv, *each, "--help"], capture_output=True, text=True).stdout for each in commands]
    variables = {name for text in helps for name in re.findall(r"env: (UV_\w+)", text)}

    assert len(variables) > 30
    assert variables - UV.keys() - OF_UV == set()


@pytest.mark.parametrize("variable", [*UV, *(f"PIP_{option.upper().replace('-', '_')}" for option in PIP)])
def test_what_is_not_heeded_is_told_by_its_name(variable: str) -> None:
    assert [line.split()[0] for line in told({variable: "x"})] == [variable]
    assert told({variable: " "}) == []


def test_what_is_said_in_our_words_too_is_not_told() -> None:
    assert told({"UV_INDEX_URL": "https://h/s", "DATALOADER_INDEX_URL": "https://h/s"}) == []
    assert told({"UV_EXTRA_INDEX_URL": "https://h/s", "PIP_EXTRA_INDEX_URL": "https://h/s"}) == []


def test_a_configuration_file_of_pip_is_told_likewise(tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text("[install]\nconstraint = /c.txt\n[global]\nno_deps = yes\ntimeout = 3\n")
    lines = told({"PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "HOME": str(tmp_path), "XDG_CONFIG_DIRS": "/nowhere"})

    assert sorted(line.split()[0] for line in lines) == ["constraint", "no-deps"]
