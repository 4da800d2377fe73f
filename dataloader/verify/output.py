"""A report in the words of those who read it: people, CI systems, code scanners. Values in, text out.

SARIF 2.1.0 (OASIS), JUnit XML (as Jenkins and GitLab read it), workflow commands and Markdown of GitHub Actions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from dataloader import __version__
from dataloader.verify.findings import Finding, Severity
from dataloader.verify.report import VerifyReport, printable

_SARIF_LEVEL: Final[Mapping[Severity, str]] = {"error": "error", "warning": "warning", "note": "note"}
_GITHUB_COMMAND: Final[Mapping[Severity, str]] = {"error": "error", "warning": "warning", "note": "notice"}
_SARIF_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"


def summary(report: VerifyReport) -> str:
    """One line: what was looked at and how many findings there are of each severity."""
    counts = {level: sum(1 for finding in report.findings if finding.severity == level) for level in _SARIF_LEVEL}
    found = ", ".join(f"{number} {level}{'' if number == 1 else 's'}" for level, number in counts.items())
    looked = ", ".join(f"{number} {name}" for name, number in report.counts.items())
    judged = f"; judged with {printable(report.process)}" if report.process else ""
    return f"{found}; looked at {looked}{judged}"


def to_text(report: VerifyReport) -> str:
    """For a terminal or a log without colours: the worst first, evidence indented, then the command that mends it."""
    lines: list[str] = []
    numbers = {command: number for number, command in enumerate(commands(report), 1)}
    for finding in map(_clean, report.findings):
        lines.append(f"{finding.severity}: {finding.path}: {finding.message} [{finding.kind}]")
        lines += [f"    {line}" for line in finding.evidence]
        lines += [f"    fix {numbers[finding.fix]}: {finding.fix}"] if finding.fix else []
        lines += [f"    or {numbers[command]}: {command}" for command in finding.alternatives]
    return "\n".join([*lines, summary(report)]) + "\n"


def commands(report: VerifyReport) -> list[str]:
    """The fixes that a report names, as its text numbers them: a command that mends several findings has one number."""
    cleaned = map(_clean, report.findings)
    said = (command for finding in cleaned for command in (finding.fix, *finding.alternatives) if command)
    return list(dict.fromkeys(said))


def to_json(report: VerifyReport) -> str:
    """The document of ``--json``, sorted keys."""
    return json.dumps(report.to_dict(), indent=2, sort_keys=True) + "\n"


def to_sarif(report: VerifyReport) -> str:
    """SARIF 2.1.0 for code scanning; paths are relative to the prefix."""
    findings = [_clean(finding) for finding in report.findings]
    kinds = sorted({finding.kind for finding in findings})
    results = [
        {
            "ruleId": finding.kind,
            "ruleIndex": kinds.index(finding.kind),
            "level": _SARIF_LEVEL[finding.severity],
            "message": {"text": _sentence(finding)},
            "locations": [_location(finding.path)],
            "relatedLocations": [_location(path) for path in finding.files if path != finding.path],
        }
        for finding in findings
    ]
    driver = {
        "name": "dataloader verify",
        "version": _version(),
        "rules": [{"id": kind, "name": _camel(kind)} for kind in kinds],
    }
    document = {
        "$schema": _SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def _location(path: str) -> dict[str, object]:
    return {"physicalLocation": {"artifactLocation": {"uri": _uri(path), "uriBaseId": "PREFIX"}}}


# As html.escape() has it, whose module brings the names of 2,200 entities: 1 ms of each verify.
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})


def to_junit(report: VerifyReport) -> str:
    """JUnit XML: one test case for each finding, a failure where it is an error; one that passes where all is well."""
    cases: list[str] = []
    failures = skipped = 0
    for finding in map(_clean, report.findings):
        name = _quoted(f"{finding.kind}: {finding.path}")
        detail = "\n".join([*finding.evidence, *_fixes(finding)]).translate(_ENTITIES)
        message = _quoted(finding.message)
        if finding.severity == "error":
            failures += 1
            inner = f"<failure type={_quoted(finding.kind)} message={message}>{detail}</failure>"
        else:
            skipped += finding.severity == "warning"
            tag = "skipped" if finding.severity == "warning" else "system-out"
            inner = f"<skipped message={message}/>" if tag == "skipped" else f"<system-out>{message[1:-1]}</system-out>"
        cases.append(f'    <testcase classname="dataloader.verify" name={name}>{inner}</testcase>')
    if not cases:
        cases.append('    <testcase classname="dataloader.verify" name="everything loads"/>')
    head = f'  <testsuite name="dataloader verify" tests="{len(cases)}" failures="{failures}" skipped="{skipped}">'
    body = "\n".join([head, *cases, "  </testsuite>"])
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n{body}\n</testsuites>\n'


def _quoted(text: str) -> str:
    """The value of an XML attribute; it has no line ends."""
    return f'"{text.translate(_ENTITIES)}"'


def to_github(report: VerifyReport) -> str:
    """Workflow commands: each finding becomes an annotation of the run."""
    lines = [
        f"::{_GITHUB_COMMAND[finding.severity]} title={_property(finding.kind)}::"
        f"{_data(f'{finding.path}: {_sentence(finding)}')}"
        for finding in map(_clean, report.findings)
    ]
    return "\n".join([*lines, summary(report)]) + "\n"


def to_markdown(report: VerifyReport) -> str:
    """A summary for a pull request or ``$GITHUB_STEP_SUMMARY``."""
    verdict = "The environment can load." if report.ok else "The environment cannot load."
    lines = [f"### {verdict}", "", f"{summary(report)}.", ""]
    if report.findings:
        lines += ["| | File | Finding | Fix |", "| --- | --- | --- | --- |"]
        for finding in map(_clean, report.findings):
            fix = f"`{_cell(finding.fix)}`" if finding.fix else ""
            lines.append(f"| {finding.severity} | `{_cell(finding.path)}` | {_cell(finding.message)} | {fix} |")
    return "\n".join(lines) + "\n"


FORMATS: Final[Mapping[str, Callable[[VerifyReport], str]]] = {
    "text": to_text,
    "json": to_json,
    "sarif": to_sarif,
    "junit": to_junit,
    "github": to_github,
    "markdown": to_markdown,
}
"""Name of ``--format`` -> renderer."""


SEVERITIES: Final[Sequence[Severity]] = ("error", "warning", "note")
"""The worst first."""


def fails(report: VerifyReport, fail_on: Severity) -> bool:
    """Whether the command should exit with 1: a finding at least as bad as ``fail_on``."""
    return any(SEVERITIES.index(finding.severity) <= SEVERITIES.index(fail_on) for finding in report.findings)


def _clean(finding: Finding) -> Finding:
    """Names come from untrusted files: no control characters reach a terminal or a document."""
    return finding._replace(
        path=printable(finding.path).replace("\n", " "),
        message=printable(finding.message).replace("\n", " "),
        evidence=tuple(printable(line).replace("\n", " ") for line in finding.evidence),
        fix=finding.fix and printable(finding.fix).replace("\n", " "),
        alternatives=tuple(printable(command).replace("\n", " ") for command in finding.alternatives),
    )


def _fixes(finding: Finding) -> list[str]:
    """The command that mends it, and others that may, a line each."""
    return [f"fix: {finding.fix}"] * bool(finding.fix) + [f"or: {command}" for command in finding.alternatives]


def _sentence(finding: Finding) -> str:
    parts = [finding.message, *finding.evidence, *_fixes(finding)]
    return "; ".join(parts)


def _uri(path: str) -> str:
    from urllib.parse import quote

    return quote(path)


def _camel(kind: str) -> str:
    return "".join(part.capitalize() for part in kind.split("-"))


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("`", "'")


def _version() -> str:
    return __version__
