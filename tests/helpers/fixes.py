"""Which forms of fixes verify says of which findings. ``tests/data/fixes.txt`` names, for each, the case that runs it:
a test that provokes another one fails.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from dataloader.verify.findings import Finding
    from dataloader.verify.memory.memo import Verification
    from dataloader.verify.survey import Survey

_TABLE = Path(__file__).parents[1] / "data" / "fixes.txt"
_SPEC = re.compile(r"(?P<world>conda:)?(?:[\w.-]+::)?[\w.-]+(?:\[[^\]]*\])?(?P<bounds>.*)")

PROVOKED: list[Finding] = []
"""What verify found in this process since the test began, with fixes in dataloader's own words."""


class Form(NamedTuple):
    """One kind of fix."""

    kind: str
    """Of the finding."""
    fix: str
    """As :func:`form_of` has it."""


@cache
def listed() -> dict[Form, str]:
    """Form -> the case that runs it."""
    lines = [line for line in _TABLE.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    rows = [[word.strip() for word in line.split("|")] for line in lines]
    found = {Form(kind, fix): case for kind, fix, case in rows}
    assert len(found) == len(rows), "a form stands there twice"
    return found


def form_of(fix: str) -> str:
    """A fix in dataloader's own words without what is particular to one environment.

    >>> form_of("dataloader install 'numpy<2' pandas==2.1")
    'install NAME<V NAME==V'
    >>> form_of("dataloader remove conda:a && dataloader install --reinstall conda:f::b==1")
    'remove conda:NAME && install --reinstall conda:NAME==V'
    >>> form_of("export LD_PRELOAD='/a b'${LD_PRELOAD:+:$LD_PRELOAD}"), form_of("dataloader install --cuda=12.4")
    ('export LD_PRELOAD', 'install --cuda')
    """
    return " && ".join(map(_form_of_part, fix.split(" && ")))


def _form_of_part(part: str) -> str:
    words = shlex.split(part)
    if words[0] == "dataloader":
        plain = (word.partition("=")[0] if word.startswith("--") else _form_of_spec(word) for word in words[2:])
        return " ".join([words[1], *sorted(set(plain))])
    if words[0] in ("export", "unset"):
        return f"{words[0]} {words[1].partition('=')[0]}"
    return " ".join(words[:2])


def _form_of_spec(spec: str) -> str:
    match = _SPEC.fullmatch(spec)
    assert match, spec
    signs = [found[0] for bound in match["bounds"].split(",") if (found := re.match(r"\s*[<>=!~]+", bound))]
    return f"{match['world'] or ''}NAME{','.join(f'{sign.strip()}V' for sign in signs)}"


def fixes_of(finding: Finding) -> list[str]:
    """All that it says."""
    return [fix for fix in (finding.fix, *finding.alternatives) if fix]


def provoked() -> dict[Form, Finding]:
    """The forms of what was found since the test began, each with a finding that has it."""
    return {Form(each.kind, form_of(fix)): each for each in PROVOKED for fix in fixes_of(each)}


@contextmanager
def recorded() -> Iterator[None]:
    """Look at every report that is made in this process."""
    from dataloader.verify import run

    real = run._verification

    def recording(prefix: Path, seen: Survey) -> Verification:
        said = real(prefix, seen)
        PROVOKED.extend(each for report in said.reports for each in report.findings)
        return said

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "_verification", recording)
        yield
