"""The scripts ``bin/activate`` of an environment, for each kind of shell, and their ``deactivate``. Pure.

What they change is what ``Activation`` says; each variable's value before is kept, and put back.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from dataloader.prefix.activate import Activation, quote_csh, quote_fish, quote_powershell

_KEPT = "_OLD_DATALOADER_"
"""Prefix of the variables that keep what was there before."""


class _Change(NamedTuple):
    """What becomes of one variable."""

    name: str
    before: tuple[str, ...] = ()
    """Folders that come before what is there."""
    value: str | None = None
    """What takes the place of what is there; None beside no folders: it is unset."""


def activators(active: Activation, scripts: Sequence[str] = (), leaving: Sequence[str] = ()) -> dict[str, bytes]:
    """Return the files by their paths.

    Args:
        active: What is changed.
        scripts: Scripts of conda packages that are sourced last, of any shell: each reads those that it can.
        leaving: Those that are sourced first when it is left.
    """
    changes = [
        *(_Change(name) for name in active.unset),
        *(_Change(name, value=value) for name, value in sorted(active.variables.items())),
        _Change("PATH", active.path),
        *([_Change("LD_LIBRARY_PATH", active.library_path)] if active.library_path else []),
    ]
    place = active.prefix
    name = place.parents[2].name if place.name == "default" and len(place.parents) > 2 else place.name
    return {
        path: os.fsencode(
            make(
                changes, f"({name}) ", [s for s in scripts if s.endswith(end)], [s for s in leaving if s.endswith(end)]
            )
        )
        for path, (make, end) in _MAKERS.items()
    }


def _posix(changes: Sequence[_Change], prompt: str, scripts: Sequence[str], leaving: Sequence[str]) -> str:
    keep, put, back = [], [], []
    for name, before, value in changes:
        kept = f"{_KEPT}{name}"
        keep.append(f'if [ -n "${{{name}+set}}" ]; then {kept}="${name}"; else unset {kept}; fi')
        back.append(
            f'    if [ -n "${{{kept}+set}}" ]; then export {name}="${kept}"; unset {kept}; else unset {name}; fi'
        )
        if before:
            put.append(f'export {name}={shlex.quote(os.pathsep.join(before))}"${{{name}:+:${name}}}"')
        else:
            put.append(f"unset {name}" if value is None else f"export {name}={shlex.quote(value)}")
    return "\n".join(
        [
            "# Activates this environment: `. bin/activate` in sh, bash or zsh; `deactivate` leaves it.",
            'case "$(type deactivate 2>/dev/null)" in *function*) deactivate ;; esac',
            "deactivate () {",
            *(f"    . {shlex.quote(script)}" for script in leaving),
            *back,
            f'    if [ -n "${{{_KEPT}PS1+set}}" ]; then PS1="${_KEPT}PS1"; unset {_KEPT}PS1; fi',
            "    hash -r 2>/dev/null",
            "    unset -f deactivate",
            "}",
            *keep,
            *put,
            'if [ -z "${VIRTUAL_ENV_DISABLE_PROMPT:-}" ] && [ -n "${PS1:-}" ]; then',
            f'    {_KEPT}PS1="$PS1"',
            f'    PS1={shlex.quote(prompt)}"$PS1"',
            "fi",
            *(f". {shlex.quote(script)}" for script in scripts),
            "hash -r 2>/dev/null",
            "",
        ]
    )


def _fish(changes: Sequence[_Change], prompt: str, scripts: Sequence[str], leaving: Sequence[str]) -> str:
    keep, put, back = [], [], []
    for name, before, value in changes:
        kept = f"{_KEPT}{name}"
        keep.append(f"if set -q {name}; set -g {kept} ${name}; else; set -e {kept}; end")
        back.append(f"    if set -q {kept}; set -gx {name} ${kept}; set -e {kept}; else; set -e {name}; end")
        if before:
            put.append(f"set -gx {name} {' '.join(map(quote_fish, before))} ${name}")
        else:
            put.append(f"set -e {name}" if value is None else f"set -gx {name} {quote_fish(value)}")
    return "\n".join(
        [
            "# Activates this environment: `source bin/activate.fish`; `deactivate` leaves it.",
            "functions -q deactivate; and deactivate",
            "function deactivate -d 'Leave the environment'",
            *(f"    source {quote_fish(script)}" for script in leaving),
            *back,
            "    if functions -q _dataloader_prompt",
            "        functions -e fish_prompt; functions -c _dataloader_prompt fish_prompt",
            "        functions -e _dataloader_prompt",
            "    end",
            "    functions -e deactivate",
            "end",
            *keep,
            *put,
            'if test -z "$VIRTUAL_ENV_DISABLE_PROMPT"; and functions -q fish_prompt',
            "    functions -c fish_prompt _dataloader_prompt",
            f"    function fish_prompt; echo -n {quote_fish(prompt)}; _dataloader_prompt; end",
            "end",
            *(f"source {quote_fish(script)}" for script in scripts),
            "",
        ]
    )


def _csh(changes: Sequence[_Change], prompt: str, scripts: Sequence[str], leaving: Sequence[str]) -> str:
    keep, put, back = [], [], []
    for name, before, value in changes:
        kept = f"{_KEPT}{name}"
        # In a block, for csh looks up the variables of a line before it decides whether to carry it out.
        keep += [f"if ( $?{name} ) then", f'    set {kept}="${name}:q"', "endif"]
        back.append(f'test $?{kept} != 0 && setenv {name} "${kept}:q" || unsetenv {name}; unset {kept}')
        if before:
            folders = os.pathsep.join(before)
            put += [
                f"if ( $?{name} ) then",
                f'    setenv {name} {quote_csh(folders + os.pathsep)}"${name}:q"',
                "else",
                f"    setenv {name} {quote_csh(folders)}",
                "endif",
            ]
        else:
            put.append(f"unsetenv {name}" if value is None else f"setenv {name} {quote_csh(value)}")
    sourced = [f"source {quote_csh(script)}" for script in leaving]
    restored = f'test $?{_KEPT}prompt != 0 && set prompt="${_KEPT}prompt:q" && unset {_KEPT}prompt'
    leave = "; ".join([*sourced, *back, restored, "rehash", "unalias deactivate"])
    return "\n".join(
        [
            "# Activates this environment: `source bin/activate.csh` in csh or tcsh; `deactivate` leaves it.",
            f"if ( $?{_KEPT}PATH || $?_OLD_VIRTUAL_PATH ) then",  # ours, or that of a venv
            "    deactivate",
            "endif",
            *keep,
            f"alias deactivate {quote_csh(leave)}",
            *put,
            "if ( $?prompt && ! $?VIRTUAL_ENV_DISABLE_PROMPT ) then",
            f'    set {_KEPT}prompt="$prompt:q"',
            f'    set prompt={quote_csh(prompt)}"$prompt:q"',
            "endif",
            *(f"source {quote_csh(script)}" for script in scripts),
            "rehash",
            "",
        ]
    )


def _powershell(changes: Sequence[_Change], prompt: str, scripts: Sequence[str], leaving: Sequence[str]) -> str:
    keep, put, back = [], [], []
    for name, before, value in changes:
        kept, now = f"$global:{_KEPT}{name}", f"${{env:{name}}}"
        gone = f"Remove-Item -ErrorAction Ignore Env:{name}"
        keep.append(f"{kept} = {now}")
        back.append(f"    if ($null -ne {kept}) {{ {now} = {kept} }} else {{ {gone} }}")
        if before:
            folders = quote_powershell(os.pathsep.join(before))
            put.append(f"{now} = {folders} + $(if ({now}) {{ [IO.Path]::PathSeparator + {now} }})")
        else:
            put.append(gone if value is None else f"{now} = {quote_powershell(value)}")
    return "\n".join(
        [
            "# Activates this environment: `. bin/Activate.ps1` in PowerShell; `deactivate` leaves it.",
            "if (Test-Path function:deactivate) { deactivate }",
            "function global:deactivate {",
            *(f"    . {quote_powershell(script)}" for script in leaving),
            *back,
            f"    if ($global:{_KEPT}PROMPT) {{ Set-Item function:prompt $global:{_KEPT}PROMPT }}",
            "    Remove-Item function:deactivate",
            "}",
            *keep,
            *put,
            "if (-not $env:VIRTUAL_ENV_DISABLE_PROMPT) {",
            f"    $global:{_KEPT}PROMPT = $function:prompt",
            f"    function global:prompt {{ {quote_powershell(prompt)} + (& $global:{_KEPT}PROMPT) }}",
            "}",
            *(f". {quote_powershell(script)}" for script in scripts),
            "",
        ]
    )


_MAKERS: Mapping[str, tuple[Callable[..., str], str]] = {
    "bin/activate": (_posix, ".sh"),
    "bin/activate.fish": (_fish, ".fish"),
    "bin/activate.csh": (_csh, ".csh"),
    "bin/Activate.ps1": (_powershell, ".ps1"),
}
FILES = tuple(_MAKERS)
"""Where they are, below the prefix; as venv has them."""
ENDS = tuple(end for _, end in _MAKERS.values())
"""Of the names of the scripts that they source."""
