"""What somebody says of vulnerabilities in packages (VEX), read from OpenVEX or CycloneDX documents."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias
from urllib.parse import unquote

from dataloader.base.errors import UsageError
from dataloader.base.names import normalized

Status: TypeAlias = Literal["not_affected", "affected", "fixed", "under_investigation"]
"""In OpenVEX's words."""

STATES: Final[Mapping[Status, str]] = {
    "not_affected": "not_affected",
    "affected": "exploitable",
    "fixed": "resolved",
    "under_investigation": "in_triage",
}
"""OpenVEX's status -> CycloneDX's state of an analysis."""
_STATUSES: Final[Mapping[str, Status]] = {
    **{state: status for status, state in STATES.items()},
    "false_positive": "not_affected",
    "resolved_with_pedigree": "fixed",
}
JUSTIFICATIONS: Final = {
    "component_not_present": "requires_dependency",
    "vulnerable_code_not_present": "code_not_present",
    "vulnerable_code_not_in_execute_path": "code_not_reachable",
    "vulnerable_code_cannot_be_controlled_by_adversary": "protected_at_runtime",
    "inline_mitigations_already_exist": "protected_by_mitigating_control",
}
"""OpenVEX's justification -> CycloneDX's."""


class Statement(NamedTuple):
    """What is said of one vulnerability in one package."""

    vulnerability: str
    """Its number: ``CVE-2024-1``."""
    status: Status
    kind: str
    """Of its package URL: ``pypi``, ``conda``, or another, which no lock has."""
    package: str
    version: str | None
    """``None``: whichever."""
    justification: str | None
    """In OpenVEX's words, or CycloneDX's where OpenVEX has none."""
    detail: str | None


def read_statements(path: Path) -> tuple[Statement, ...]:
    """Read a VEX document.

    Raises:
        UsageError: ``vex-invalid``; it is of another format, or a statement names no status or package.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if "statements" in data:
            return tuple(_of_openvex(data["statements"]))
        if data.get("bomFormat") == "CycloneDX":
            return tuple(_of_cyclonedx(data))
    except OSError as error:
        raise _invalid(path, error.strerror or str(error)) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _invalid(path, f"{error!r}") from error
    raise _invalid(path, "it is neither OpenVEX nor CycloneDX")


def _of_openvex(statements: list[Mapping[str, Any]]) -> Iterator[Statement]:
    for statement in statements:
        said = statement["vulnerability"]
        number = said["name"] if isinstance(said, dict) else said
        if statement["status"] not in STATES:
            raise ValueError(f"there is no status {statement['status']}")
        detail = statement.get("impact_statement") or statement.get("action_statement") or statement.get("status_notes")
        for product in statement["products"]:
            for purl in _purls(product):
                yield Statement(number, statement["status"], *_parts(purl), statement.get("justification"), detail)


def _purls(product: str | Mapping[str, Any]) -> Iterator[str]:
    """Yield what a product is: the parts of it that are concerned, where they are named."""
    if isinstance(product, str):
        yield product
    elif parts := product.get("subcomponents"):
        for part in parts:
            yield from _purls(part)
    else:
        yield (product.get("identifiers") or {}).get("purl") or product["@id"]


def _of_cyclonedx(data: Mapping[str, Any]) -> Iterator[Statement]:
    components = {c["bom-ref"]: c.get("purl") for c in data.get("components", ()) if "bom-ref" in c}
    back = {theirs: ours for ours, theirs in JUSTIFICATIONS.items()}
    for vulnerability in data.get("vulnerabilities", ()):
        analysis = vulnerability["analysis"]
        why = analysis.get("justification")
        for affected in vulnerability["affects"]:
            purl = components.get(affected["ref"]) or affected["ref"].rpartition("#")[2]
            status = _STATUSES[analysis["state"]]
            yield Statement(vulnerability["id"], status, *_parts(purl), back.get(why, why), analysis.get("detail"))


def _parts(purl: str) -> tuple[str, str, str | None]:
    """Return kind, name and version of a package URL.

    >>> _parts("pkg:pypi/Foo_Bar@1.0?file_name=x"), _parts("pkg:conda/foo")
    (('pypi', 'foo-bar', '1.0'), ('conda', 'foo', None))
    """
    scheme, _, rest = purl.partition("/")
    kind = scheme.removeprefix("pkg:")
    if not scheme.startswith("pkg:") or not rest:
        raise ValueError(f"{purl} is no package URL")
    named, _, version = rest.partition("?")[0].partition("#")[0].rpartition("/")[2].partition("@")
    name = unquote(named)
    return kind, normalized(name) if kind == "pypi" else name, unquote(version) or None


def _invalid(path: Path, why: str) -> UsageError:
    return UsageError(
        f"{path} cannot be read as a VEX document: {why}",
        code="vex-invalid",
        suggestions=("OpenVEX, or CycloneDX with vulnerabilities, as JSON; products by their package URLs",),
    )
