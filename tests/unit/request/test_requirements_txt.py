"""requirements.txt, in pip's grammar."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

from dataloader.base.errors import ManifestError
from dataloader.request.input_file import InputFile
from dataloader.request.readers import requirements_txt
from dataloader.request.readers.requirements_txt import read_requirements
from dataloader.request.specs.requirements import PypiRequirement


def read(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> InputFile:
    path = tmp_path / "requirements.txt"
    path.write_text(text)
    return read_requirements(path, environ=environ or {})


def wanted(file: InputFile) -> list[str]:
    return [str(requirement) for requirement in file.requirements]


def test_examples_of_the_docstrings_hold() -> None:
    assert doctest.testmod(requirements_txt).failed == 0


def test_comments_blank_lines_and_continuations(tmp_path: Path) -> None:
    file = read(tmp_path, "# all\nnumpy<2  # ABI\n\ntorch \\\n  ==2.1.0\nurl#name\n".replace("url#name\n", ""))

    assert wanted(file) == ["numpy<2", "torch==2.1.0"]


def test_each_requirement_knows_its_line(tmp_path: Path) -> None:
    file = read(tmp_path, "\nnumpy\ntorch \\\n ==2\nscipy\n")

    assert [r.origin.rsplit(":", 1)[1] for r in file.requirements] == ["2", "3", "5"]


def test_variables_in_capitals_are_expanded_where_set(tmp_path: Path) -> None:
    file = read(tmp_path, "--index-url https://${TOKEN}@example.org/${other}\n", {"TOKEN": "t", "other": "no"})

    assert file.index_url == "https://t@example.org/${other}"


def test_hashes_stay_with_their_requirement(tmp_path: Path) -> None:
    file = read(tmp_path, "a==1 \\\n  --hash=sha256:00ff \\\n  --hash sha256:11ff\nb==2\n")

    assert [getattr(r, "hashes", None) for r in file.requirements] == [("sha256:00ff", "sha256:11ff"), ()]


def test_options_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    text = (
        "-i https://one.example/simple\n--extra-index-url=https://two.example/simple\n-f wheels\n--pre\n"
        "--only-binary :all:\n--no-binary=a,b\n--require-hashes\n--trusted-host one.example\n--no-index\n"
    )

    file = read(tmp_path, text)

    assert (file.index_url, file.extra_index_urls) == ("https://one.example/simple", ("https://two.example/simple",))
    assert file.find_links == (str((tmp_path / "wheels").resolve()),)
    assert (file.prerelease, file.require_hashes, file.no_index) == (True, True, True)
    assert (file.only_binary, file.no_binary) == ((":all:",), ("a", "b"))
    assert file.trusted_hosts == ("one.example",)


def test_other_files_are_read_relative_to_this_one(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "base.txt").write_text("-r deeper.txt\nbase\n")
    (tmp_path / "more" / "deeper.txt").write_text("deeper\n")
    (tmp_path / "limits.txt").write_text("numpy<2\n-r more/deeper.txt\n")

    file = read(tmp_path, "-r more/base.txt\n-c limits.txt\ntop\n")

    assert wanted(file) == ["deeper", "base", "top"]
    assert [str(constraint) for constraint in file.constraints] == ["numpy<2", "deeper"]


def test_a_file_that_names_itself_is_said_once(tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as caught:
        read(tmp_path, "-r requirements.txt\n")

    assert "names itself" in caught.value.causes[0]


def test_all_mistakes_are_reported_together_with_their_lines(tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as caught:
        read(
            tmp_path, "numpy=1\nfine\n--odd .\n--unknown\na==1 --hash=x\n-r missing.txt\n-r https://example.org/r.txt\n"
        )

    error = caught.value
    assert error.code == "requirements-invalid"
    assert [cause.split("requirements.txt:")[1].split(":")[0] for cause in error.causes if "missing" not in cause] == [
        "1",
        "3",
        "4",
        "5",
        "7",
    ]
    assert "missing.txt: No such file or directory" in error.causes[4]


@pytest.mark.parametrize(
    "data",
    [
        "\ufeffnumpy\n".encode(),
        b"\xff\xfe" + "numpy\n".encode("utf-16-le"),
        "# -*- coding: latin-1 -*-\n# é\nnumpy\n".encode("latin-1"),
    ],
)
def test_encodings_that_pip_reads(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "requirements.txt"
    path.write_bytes(data)

    assert wanted(read_requirements(path)) == ["numpy"]


def test_bytes_that_are_no_text_are_said(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_bytes(b"\x80abc")

    with pytest.raises(ManifestError, match="cannot be read as a requirements file"):
        read_requirements(path)


@pytest.mark.parametrize(
    ("line", "name", "extras", "marker"),
    [
        ('-e ./lib ; python_version < "3.9"', "lib", (), 'python_version < "3.9"'),
        ("-e './lib' ; python_version < '3.9'", "lib", (), 'python_version < "3.9"'),
        ("-e \"./lib ; python_version < '3.9'\"", "lib", (), 'python_version < "3.9"'),
        ('--editable=./lib[a]; sys_platform == "win32"', "lib", ("a",), 'sys_platform == "win32"'),
        ("--editable ./lib", "lib", (), None),
        ("-e./lib", "lib", (), None),
        ('-e git+https://h/l.git@v1#egg=lib ; python_version<"3"', "lib", (), 'python_version < "3"'),
        ("-e lib[a] @ git+https://h/other.git", "lib", ("a",), None),
        ("-e 'lib @ ./other' ; os_name == 'nt'", "lib", (), 'os_name == "nt"'),
    ],
)
def test_what_is_edited_has_a_name_and_a_marker(
    tmp_path: Path, line: str, name: str, extras: tuple[str, ...], marker: str | None
) -> None:
    (found,) = read(tmp_path, f"{line}\n").requirements

    assert isinstance(found, PypiRequirement)
    assert (found.name, found.extras, found.marker) == (name, extras, marker)
    assert found.source is not None
    assert found.source.editable


def test_what_is_edited_is_no_constraint(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text("-e ./lib ; os_name == 'nt'\n")
    with pytest.raises(ManifestError) as caught:
        read(tmp_path, "numpy\n-c c.txt\n")

    assert "c.txt:1: -e is no constraint" in caught.value.causes[0]


@pytest.mark.parametrize("line", ["-e ./lib ; bogus", "-e ./lib --config-settings a=b", "-e ./lib more"])
def test_what_cannot_be_read_behind_what_is_edited_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(ManifestError) as caught:
        read(tmp_path, f"{line}\n")

    assert line.rsplit(maxsplit=1)[-1] in caught.value.causes[0]
