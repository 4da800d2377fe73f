"""Bills of materials read by their formats' own libraries: what is inside packages, what is said of vulnerabilities."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_python_model import v3_0_1 as spdx3
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from dataloader.base.errors import UsageError
from dataloader.export.formats import ExportOptions, Verified, export_lock
from dataloader.export.vex import JUSTIFICATIONS, STATES, Statement, Status, read_statements
from dataloader.lockfile.model import Build, CondaPackage, PypiPackage
from dataloader.prefix.contents import Declared, InnerLibrary
from tests.helpers.locks import lock_of

WHEEL = PypiPackage(
    name="app",
    version="1.0",
    url="https://files.test/app-1.0-py3-none-any.whl",
    sha256="a" * 64,
    requires_dist=("tool",),
    index="https://pypi.org/simple",
)
CONDA = CondaPackage(
    name="tool",
    version="2.0",
    build="h0_0",
    build_number=0,
    subdir="linux-64",
    url="https://c.test/conda-forge/linux-64/tool-2.0-h0_0.conda",
    channel="https://c.test/conda-forge/",
    sha256="b" * 64,
    license="Odd Licence",
)
LOCK = lock_of(WHEEL, CONDA, requested=["app"])
BUNDLED = InnerLibrary("pypi", "app", "app.libs/libz-0a1b2c3d.so.1.2", "libz", "1.2", "c" * 64, (), False, True)
CUDA = InnerLibrary(
    "conda", "tool", "lib/libgpu.so.12", "libgpu", "12", None, ("sm_90", "compute_90 (PTX 8.4)"), False, False
)
ORIGIN = Declared("pypi", "app", "app.dist-info/sboms/a.cdx.json", "zlib", "1.2-3", "pkg:deb/debian/zlib@1.2-3")
SAID: tuple[tuple[Status, str | None, str | None], ...] = (
    ("not_affected", "vulnerable_code_not_present", None),
    ("not_affected", None, "never called"),
    ("not_affected", None, None),
    ("affected", None, "upgrade"),
    ("affected", None, None),
    ("fixed", None, None),
    ("under_investigation", None, "soon"),
)

FULL = ExportOptions(
    name="env",
    lock_sha256="d" * 64,
    libraries=(BUNDLED, CUDA),
    declared=(ORIGIN,),
    licences={"app": "MIT"},
    verdict=Verified({"libraries": 2}, (("error", "missing-library", "lib/libgpu.so.12", "libx.so is missing"),)),
    statements=tuple(
        Statement(f"CVE-2024-{number}", status, "pypi", "app", "1.0", why, detail)
        for number, (status, why, detail) in enumerate(SAID)
    ),
)


def graph(options: ExportOptions) -> spdx3.SHACLObjectSet:
    """SPDX 3 as its own model reads it: each property of the type that it must have, none missing."""
    read = spdx3.SHACLObjectSet()
    text = export_lock(LOCK, "spdx-3", options)
    spdx3.JSONLDDeserializer().read(io.BytesIO(text.encode()), read)
    written = io.BytesIO()
    spdx3.JSONLDSerializer().write(read, written)  # which looks whether anything is missing
    return read


@pytest.mark.parametrize("options", [ExportOptions(), FULL], ids=["lock", "inside"])
def test_each_bill_is_valid(options: ExportOptions, tmp_path: Path) -> None:
    bill = export_lock(LOCK, "cyclonedx", options)
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(bill) is None
    (tmp_path / "bom.spdx.json").write_text(export_lock(LOCK, "spdx", options))
    document = parse_file(str(tmp_path / "bom.spdx.json"))
    assert [message.validation_message for message in validate_full_spdx_document(document)] == []
    read = graph(options)
    assert not read.missing_ids
    versions = {p.software_packageVersion for p in read.foreach_type(spdx3.software_Package)}
    assert versions >= {"1.0", "2.0"}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("file:///here/tree#editable=true", ""),
        (f"git+https://h.test/a.git@{'c' * 40}", f"?vcs_url=git%2Bhttps://h.test/a.git%40{'c' * 40}"),
        ("https://h.test/app-1.0.tar.gz", "?file_name=app-1.0.tar.gz"),
    ],
)
def test_a_source_is_named_as_what_it_is(url: str, said: str, tmp_path: Path) -> None:
    build = Build(key="e" * 64, python="3.11", platform="linux-64")
    lock = lock_of(replace(WHEEL, url=url, sha256="", index=None, build=build))

    bill = export_lock(lock, "cyclonedx", ExportOptions())
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(bill) is None
    assert json.loads(bill)["components"][0]["purl"] == f"pkg:pypi/app@1.0{said}"
    (tmp_path / "bom.spdx.json").write_text(export_lock(lock, "spdx", ExportOptions()))
    document = parse_file(str(tmp_path / "bom.spdx.json"))
    assert [message.validation_message for message in validate_full_spdx_document(document)] == []
    assert {package.file_name for package in document.packages} <= {None, "app-1.0.tar.gz"}


def test_what_is_inside_is_in_each() -> None:
    bill = {c["name"]: c for c in json.loads(export_lock(LOCK, "cyclonedx", FULL))["components"]}
    assert [(c["name"], c.get("version"), c.get("purl")) for c in bill["app"]["components"]] == [
        ("libz", "1.2", None),
        ("zlib", "1.2-3", "pkg:deb/debian/zlib@1.2-3"),
    ]
    said = [(p["name"], p["value"]) for p in bill["tool"]["components"][0]["properties"]]
    assert said == [("dataloader:gpu-code", "sm_90"), ("dataloader:gpu-code", "compute_90 (PTX 8.4)")]
    assert bill["app"]["licenses"] == [{"expression": "MIT"}]
    assert {p["name"] for p in json.loads(export_lock(LOCK, "spdx", FULL))["packages"]} == {
        "app", "tool", "libz", "libgpu", "zlib"
    }  # fmt: skip
    files = {f.name: f.comment for f in graph(FULL).foreach_type(spdx3.software_File)}
    assert files == {BUNDLED.path: None, CUDA.path: "GPU code: sm_90, compute_90 (PTX 8.4)"}
    for form in ("markdown", "html"):
        text = export_lock(LOCK, form, FULL)
        assert all(
            each in text for each in ("libz", "sm_90", "pkg:deb/debian/zlib@1.2-3", "missing-library", "1 error")
        )


def test_what_is_said_of_vulnerabilities_is_in_the_bill() -> None:
    found = json.loads(export_lock(LOCK, "cyclonedx", FULL))["vulnerabilities"]
    assert [(each["id"], each["analysis"]) for each in found][:2] == [
        ("CVE-2024-0", {"state": "not_affected", "justification": "code_not_present"}),
        ("CVE-2024-1", {"state": "not_affected", "detail": "never called"}),
    ]
    relations = list(graph(FULL).foreach_type(spdx3.security_VexVulnAssessmentRelationship, match_subclass=True))
    assert len(relations) == len(FULL.statements)


OPEN = {
    "@context": "https://openvex.dev/ns/v0.2.0",
    "statements": [
        {
            "vulnerability": {"name": "CVE-2024-1"},
            "products": [{"@id": "pkg:pypi/App@1.0"}, "pkg:conda/tool"],
            "status": "not_affected",
            "justification": "inline_mitigations_already_exist",
        },
        {
            "vulnerability": "GHSA-x",
            "products": [{"@id": "pkg:oci/i", "subcomponents": [{"identifiers": {"purl": "pkg:pypi/app@1.0?a=b"}}]}],
            "status": "affected",
            "action_statement": "upgrade",
        },
    ],
}


def test_openvex_is_read(tmp_path: Path) -> None:
    (tmp_path / "v.json").write_text(json.dumps(OPEN))
    assert read_statements(tmp_path / "v.json") == (
        Statement("CVE-2024-1", "not_affected", "pypi", "app", "1.0", "inline_mitigations_already_exist", None),
        Statement("CVE-2024-1", "not_affected", "conda", "tool", None, "inline_mitigations_already_exist", None),
        Statement("GHSA-x", "affected", "pypi", "app", "1.0", None, "upgrade"),
    )


@pytest.mark.parametrize("status", STATES)
@pytest.mark.parametrize("why", [None, *JUSTIFICATIONS])
def test_a_bill_is_read_as_what_it_was_made_of(status: Status, why: str | None, tmp_path: Path) -> None:
    said = Statement("CVE-1", status, "pypi", "app", "1.0", why, "because")
    (tmp_path / "v.json").write_text(export_lock(LOCK, "cyclonedx", replace(FULL, statements=(said,))))

    assert read_statements(tmp_path / "v.json") == (said,)


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"statements": [{}]},
        {"statements": [{"vulnerability": "C", "status": "odd", "products": []}]},
        {"statements": [{"vulnerability": "C", "status": "fixed", "products": ["app"]}]},
        {"bomFormat": "CycloneDX", "vulnerabilities": [{"id": "C"}]},
    ],
)
def test_what_is_no_vex_document_is_refused(document: Any, tmp_path: Path) -> None:
    (tmp_path / "v.json").write_text(json.dumps(document))
    with pytest.raises(UsageError) as caught:
        read_statements(tmp_path / "v.json")
    assert caught.value.code == "vex-invalid"
