"""Each format is what its readers parse, whatever the names in it are."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest

from dataloader.verify.findings import Finding, Severity
from dataloader.verify.output import FORMATS, fails, to_github, to_json, to_junit, to_markdown, to_sarif, to_text
from dataloader.verify.report import VerifyReport, sort_findings

_HOSTILE = "lib/\x1b[31mred\n::error::|`<&>\udcff.so"


def report(*findings: Finding) -> VerifyReport:
    return VerifyReport(findings=sort_findings(findings), counts={"packages": 2, "files": 10, "libraries": 3})


def finding(severity: Severity = "error", path: str = "lib/libx.so", **changes: object) -> Finding:
    values: dict[str, object] = {
        "kind": "missing-library",
        "message": "needs liby.so, which is not found",
        "evidence": ("belongs to x 1.0",),
        "fix": "dataloader install y",
    }
    return Finding(severity=severity, path=path, **{**values, **changes})  # type: ignore[arg-type]


def test_worst_comes_first_and_equal_findings_once() -> None:
    found = report(finding("note"), finding("error"), finding("warning"), finding("error"))

    assert [each.severity for each in found.findings] == ["error", "warning", "note"]


@pytest.mark.parametrize(("severity", "ok"), [("error", False), ("warning", True), ("note", True)])
def test_only_errors_make_the_answer_no(severity: Severity, ok: bool) -> None:
    assert report(finding(severity)).ok is ok
    assert report(finding(severity)).to_dict()["status"] == ("ok" if ok else "error")


@pytest.mark.parametrize(
    ("severity", "fail_on", "expected"),
    [
        ("error", "error", True),
        ("warning", "error", False),
        ("warning", "warning", True),
        ("note", "warning", False),
        ("note", "note", True),
    ],
)
def test_fail_on_sets_the_bar(severity: Severity, fail_on: Severity, expected: bool) -> None:
    assert fails(report(finding(severity)), fail_on) is expected


def test_text_names_file_cause_and_fix() -> None:
    assert to_text(report(finding())).splitlines() == [
        "error: lib/libx.so: needs liby.so, which is not found [missing-library]",
        "    belongs to x 1.0",
        "    fix 1: dataloader install y",
        "1 error, 0 warnings, 0 notes; looked at 2 packages, 10 files, 3 libraries",
    ]


def test_json_has_the_promised_keys() -> None:
    document = json.loads(to_json(report(finding())))

    assert document["version"] == 1
    assert set(document["findings"][0]) == {
        "severity",
        "kind",
        "path",
        "message",
        "evidence",
        "fix",
        "alternatives",
        "files",
    }


def test_sarif_has_one_rule_for_each_kind_and_one_result_for_each_finding() -> None:
    document = json.loads(to_sarif(report(finding(), finding("warning"), finding(kind="file-changed"))))

    run = document["runs"][0]
    assert document["version"] == "2.1.0"
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["file-changed", "missing-library"]
    assert [each["level"] for each in run["results"]] == ["error", "error", "warning"]
    for each in run["results"]:
        assert run["tool"]["driver"]["rules"][each["ruleIndex"]]["id"] == each["ruleId"]


def test_junit_counts_failures_and_skipped() -> None:
    suite = ET.fromstring(to_junit(report(finding(), finding("warning"), finding("note"))))[0]

    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "1", "1")
    assert suite[0][0].tag == "failure"
    assert ET.fromstring(to_junit(report()))[0].get("failures") == "0"


def test_github_annotations_cannot_be_forged_by_a_name() -> None:
    lines = to_github(report(finding(path=_HOSTILE))).splitlines()

    assert [line.split("::")[1].split(" ")[0] for line in lines if line.startswith("::")] == ["error"]


def test_markdown_rows_hold_together() -> None:
    rows = [line for line in to_markdown(report(finding(path=_HOSTILE))).splitlines() if line.startswith("| error")]

    assert len(rows) == 1
    assert rows[0].replace("\\|", "").count("|") == 5


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_no_format_passes_control_characters_on(name: str) -> None:
    text = FORMATS[name](report(finding(path=_HOSTILE, message=_HOSTILE, evidence=(_HOSTILE,), fix=_HOSTILE)))

    assert "\x1b" not in text
    text.encode("utf-8")
