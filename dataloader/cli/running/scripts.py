"""Scripts that say what they need (PEP 723): each such header is a project of its own, in the cache, with its lock."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dataloader.base.errors import DataloaderError, UsageError
from dataloader.base.files import replace_file
from dataloader.base.reporter import Reporter, Reporters
from dataloader.base.values import dataclass

_BLOCK = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")
"""The expression that PEP 723 gives."""
_KEYS = {"dependencies", "requires-python", "tool"}

FOLDER = "scripts"
"""Below the cache."""

_MANIFEST = "script.toml"
_FIX = re.compile(r"^.*--fix \d+\S*: ")
_BUILD = re.compile(r"^(?:.dataloader install )?--build ([^\s`]+)`? ")
_PLACE = re.compile(rf"{re.escape(_MANIFEST)}(:\d+)?(: \[project\])?")


def is_ours(folder: Path) -> bool:
    """Whether a folder beside those of scripts is one."""
    return (folder / _MANIFEST).is_file() and not folder.is_symlink()


@dataclass(frozen=True, slots=True)
class Wording:
    """Speaks of a script in the place of the manifest that its header stands for."""

    script: Path
    manifest: Path

    def __call__(self, text: str) -> str:
        """Put a sentence in words of the script."""
        text = text.replace(str(self.manifest), str(self.script))
        return _PLACE.sub(lambda found: f"{self.script.name}{':' if found[2] else ''}", text)

    def reword(self, error: DataloaderError) -> None:
        """Put an error in words of the script."""
        error.message, error.causes = self(error.message), tuple(map(self, error.causes))
        error.suggestions = tuple(_in_header(self(suggestion)) for suggestion in error.suggestions)


def _in_header(advice: str) -> str:
    """Return advice for a script, whose header says what options of other commands do."""
    advice = _FIX.sub("in its header: ", advice)
    advice = _BUILD.sub(r'in its header: [tool.dataloader.build] allow = ["\1"] ', advice)
    advice = advice.replace("`dataloader install --skip-unbuildable`", "--skip-unbuildable")
    return advice.replace("--skip-unbuildable", "[tool.dataloader.resolution] skip-unbuildable = true")


class ScriptReporter(Reporters):
    """Passes on what it hears, in words of the script."""

    def __init__(self, reporter: Reporter, wording: Wording) -> None:
        super().__init__((reporter,))
        self._wording = wording

    def info(self, message: str) -> None:
        """As Reporter."""
        super().info(self._wording(message))

    def warn(self, message: str) -> None:
        """As Reporter."""
        super().warn(self._wording(message))

    def debug(self, message: str) -> None:
        """As Reporter."""
        super().debug(self._wording(message))

    def refused(self, error: DataloaderError) -> None:
        """As Reporter."""
        self._wording.reword(error)
        super().refused(error)


@contextmanager
def told_of(script: Path, manifest: Path) -> Iterator[None]:
    """Let errors speak of the script, and not of the manifest that its header stands for."""
    try:
        yield
    except DataloaderError as error:
        Wording(script, manifest).reword(error)
        if error.code == "manifest-invalid":
            raise _invalid(script, "it asks for what cannot be read", *error.causes) from error
        raise


def header_of(script: Path) -> dict[str, Any] | None:
    """Read what a script says that it needs, paths from its folder; ``None`` for one that says nothing.

    Raises:
        UsageError: ``script-invalid``.
    """
    try:
        text = script.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None  # Python reads its encoding, and says what is wrong with it
    blocks = [found for found in _BLOCK.finditer(text.replace("\r\n", "\n")) if found["type"] == "script"]
    if not blocks:
        return None
    if len(blocks) > 1:
        raise _invalid(script, "it has several blocks of script metadata")
    lines = blocks[0]["content"].splitlines()
    header = _parsed(script, "".join(f"{line[2:] if line.startswith('# ') else line[1:]}\n" for line in lines))
    return {**header, **({"tool": _rooted(header["tool"], script.absolute().parent)} if "tool" in header else {})}


def _rooted(said: Any, folder: Path, key: str = "") -> Any:
    """Return tables of tools with the paths in them, which are relative to the script, from its ``folder``."""
    if isinstance(said, dict):
        return {name: _rooted(value, folder, name) for name, value in said.items()}
    if isinstance(said, list):
        return [_rooted(value, folder, key) for value in said]
    is_path = key in {"path", "find-links"} and isinstance(said, str) and "://" not in said
    return str(folder / said) if is_path else said


def _parsed(script: Path, text: str) -> dict[str, Any]:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        header = tomlkit.parse(text).unwrap()
    except TOMLKitError as error:
        raise _invalid(script, f"it is not TOML: {error}") from error
    if unknown := sorted(header.keys() - _KEYS):
        raise _invalid(script, f"there is no key {', '.join(unknown)} (known: {', '.join(sorted(_KEYS))})")
    return header


def _invalid(script: Path, why: str, *causes: str) -> UsageError:
    typed = shlex.quote(str(script))
    return UsageError(
        f"the header of {script} cannot be used: {why}",
        code="script-invalid",
        causes=causes,
        suggestions=(f"mend it (PEP 723 has the form), or run it as it is: `dataloader run -- python {typed}`",),
    )


def project_of(header: dict[str, Any], cache: Path) -> Path:
    """Write the manifest that a header stands for, if it is not there; return its path.

    Scripts with the same header share it, and so the environment.
    """
    import tomlkit

    project = {"name": "script", "version": "0", **{key: value for key, value in header.items() if key != "tool"}}
    text = tomlkit.dumps({"project": project, "tool": header.get("tool", {})})
    folder = cache / FOLDER / hashlib.sha256(text.encode()).hexdigest()
    path = folder / _MANIFEST
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(path, text.encode())
    return path
