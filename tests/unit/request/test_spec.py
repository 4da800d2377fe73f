"""Specs as people type them."""

from __future__ import annotations

import doctest
from contextlib import suppress
from pathlib import Path

import pytest
import rattler
from hypothesis import given
from hypothesis import strategies as st

from dataloader.base.errors import UsageError
from dataloader.request.specs import spec
from dataloader.request.specs.requirements import PypiRequirement
from dataloader.request.specs.spec import axis_mistake, parse_conda, parse_pypi, parse_spec
from tests.helpers.wheels import make_wheel


def test_examples_of_the_docstrings_hold() -> None:
    assert doctest.testmod(spec).failed == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("torch==2.1.0", "torch==2.1.0"),
        ("Typing_Extensions", "typing-extensions"),
        ("ray[Tune,default] >=2.9, <3", "ray[default,tune]<3,>=2.9"),
        ("numpy<2 ; python_version < '3.9'", 'numpy<2 ; python_version < "3.9"'),
        ("pypi:numpy", "pypi:numpy"),
    ],
)
def test_pep508_is_read_and_normalised(text: str, expected: str) -> None:
    requirement = parse_spec(text)

    assert isinstance(requirement, PypiRequirement)
    assert str(requirement) == expected


def test_pypi_prefix_insists_on_pypi_and_a_plain_spec_does_not() -> None:
    insisting, plain = parse_pypi("numpy", world="pypi"), parse_pypi("numpy")

    assert (insisting.world, plain.world) == ("pypi", "any")


@pytest.mark.parametrize(
    ("text", "name", "version", "build"),
    [
        ("cudnn=8.7", "cudnn", "8.7.*", None),
        ("cudnn=8.7.*", "cudnn", "8.7.*", None),
        ("numpy==1.26", "numpy", "==1.26", None),
        ("numpy 1.26.*", "numpy", "1.26.*", None),
        ("python >=3.10,<3.12", "python", ">=3.10,<3.12", None),
        ("python>=3.10|2.7.*", "python", ">=3.10|2.7.*", None),
        ("pytorch=2.1.0=*cuda11.8*", "pytorch", "2.1.0", "*cuda11.8*"),
        ("pytorch 2.1.0 *cuda11.8*", "pytorch", "2.1.0", "*cuda11.8*"),
        ("libblas=*=*mkl", "libblas", None, "*mkl"),
        ("blas>=1=*mkl", "blas", ">=1", "*mkl"),
        ("Foo *", "foo", None, None),
        ("foo[version='>=1|2.*', build=py*]", "foo", ">=1|2.*", "py*"),
        ("foo[version='=1.2']", "foo", "1.2.*", None),
        ("__cuda >=12", "__cuda", ">=12", None),
    ],
)
def test_match_specs_are_read_as_conda_reads_them(text: str, name: str, version: str | None, build: str | None) -> None:
    requirement = parse_conda(text)

    assert (requirement.name, requirement.version, requirement.build) == (name, version, build)
    assert rattler.MatchSpec(requirement.match_spec) is not None


@pytest.mark.parametrize(
    ("text", "channel", "subdir"),
    [
        ("nvidia::cuda-nvcc", "nvidia", None),
        ("conda-forge/linux-64::foo=1", "conda-forge", "linux-64"),
        ("https://example.org/channel/noarch::foo", "https://example.org/channel", "noarch"),
        ("file:///srv/channel::foo", "file:///srv/channel", None),
    ],
)
def test_a_match_spec_may_name_its_channel(text: str, channel: str, subdir: str | None) -> None:
    requirement = parse_conda(text)

    assert (requirement.name[:3], requirement.channel, requirement.subdir) == (
        text.split("::")[1][:3],
        channel,
        subdir,
    )


@pytest.mark.parametrize(
    "text", ["", "[x]", "a[foo=1]", "a[version]", "numpy>=", "numpy >=1,,2", "a/b", "na me::", "x >>1"]
)
def test_what_is_no_match_spec_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_conda(text)

    assert caught.value.code == "match-spec-invalid"
    assert "cudnn=8.7" in caught.value.suggestions[0]


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("numpy=1.26", "`numpy==1.26` for the Python distribution"),
        ("nvidia::cuda-nvcc", "`conda:nvidia::cuda-nvcc` for the conda package"),
        ("numpy 1.26", "give the version with an operator: `numpy==1.26`"),
    ],
)
def test_a_slip_is_answered_with_what_was_meant(text: str, suggestion: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_spec(text)

    assert caught.value.code == "requirement-invalid"
    assert suggestion in caught.value.suggestions


@pytest.mark.parametrize(
    ("text", "way"),
    [
        ("git+https://example.org/a.git", "--build a "),
        ("./project", "--build project "),
        ("a @ git+ssh://example.org/a", "--build a "),
        ("x-1.0.tar.gz", "--build x "),
        ("a @ hg+https://example.org/a", "build a wheel first"),
    ],
)
def test_sources_are_read_and_refused_with_the_way_to_go(text: str, way: str) -> None:
    read = parse_spec(text)

    assert read.source is not None
    assert read.refusal is not None
    assert read.refusal.code == "requirement-unsupported"
    assert way in read.refusal.suggestions[0]


def test_a_wheel_is_meant_by_its_path(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "Demo.Pkg", "1.5")

    bare = parse_pypi(wheel.name if "/" in wheel.name else f"./{wheel.name}", base=tmp_path)
    named = parse_pypi(f"demo-pkg[x] @ {wheel.as_uri()}")

    assert (bare.name, bare.specifier, bare.url) == ("demo-pkg", "==1.5", wheel.as_uri())
    assert (named.url, named.extras) == (wheel.as_uri(), ("x",))


def test_a_wheel_of_another_project_is_refused(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "demo", "1.5")

    with pytest.raises(UsageError, match="is a wheel of demo, not of other"):
        parse_pypi(f"other @ {wheel.as_uri()}")


def test_a_wheel_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        parse_pypi("./demo-1.0-py3-none-any.whl", base=tmp_path)


def test_the_hash_of_a_wheels_url_is_kept() -> None:
    requirement = parse_pypi("https://example.org/demo-1.0-py3-none-any.whl#sha256=" + "0" * 64)

    assert requirement.hashes == ("sha256:" + "0" * 64,)
    assert requirement.url == "https://example.org/demo-1.0-py3-none-any.whl"


@pytest.mark.parametrize(
    ("axis", "value"), [("cuda", "eleven"), ("torch", "none"), ("torch", "newest"), ("cuda", "12,13")]
)
def test_a_stack_value_that_cannot_be_read_is_said(axis: str, value: str) -> None:
    assert "expected a version" in (axis_mistake(axis, value) or "")


@pytest.mark.parametrize("text", ["~\0", "./a\0.whl", "file:///a%00.whl", "x @ file:///a%00", "x @ git+./\0"])
def test_what_can_be_no_path_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_spec(text, base=Path("/tmp"))


@given(st.text(max_size=40))
def test_any_text_is_a_requirement_or_a_usage_error(text: str) -> None:
    for parse in (parse_pypi, parse_conda):
        with suppress(UsageError):
            assert parse(text).name


blanks = st.sampled_from(["", " ", "  "])
versions = st.sampled_from(["1", "1.2", "3.10", "2.0.1", "2022.1.2", "1!2.0", "1.2rc1"])
clauses = st.builds(
    lambda operator, blank, version, star: f"{operator}{blank if operator else ''}{version}{star}",
    st.sampled_from(["", ">=", "<=", "<", ">", "==", "!=", "~="]),
    blanks,
    versions,
    st.just(""),
) | st.builds("{}.*".format, versions)
several = st.lists(st.tuples(clauses, st.sampled_from([",", "|"]), blanks, blanks), min_size=1, max_size=3)


@given(several, blanks, st.sampled_from(["", " py3*", "=py3*"]))
def test_match_specs_mean_what_rattler_reads(parts: list[tuple[str, str, str, str]], blank: str, build: str) -> None:
    """Rattler is the judge, of blanks in every place above all."""
    version = "".join(clause + before + joiner + after for clause, joiner, before, after in parts[:-1]) + parts[-1][0]
    text = f"a {blank}{version}{build}"
    try:
        judge = rattler.MatchSpec(text)
    except Exception as error:  # rattler raises its own for what it cannot read
        if type(error).__module__.partition(".")[0] not in {"rattler", "exceptions"}:
            raise
        return

    ours = rattler.MatchSpec(parse_conda(text).match_spec)

    assert (str(ours.version), str(ours.build)) == (str(judge.version), str(judge.build)), parse_conda(text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [("a=>1", "a>=1"), ("a =< 1.2", "a<=1.2"), ("a[x]=>1", "a[x]>=1"), ("a,", "a"), ("a 1.2", "a==1.2")],
)
def test_what_was_meant_is_a_requirement(text: str, meant: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_spec(text)
    assert f"`{meant}`" in caught.value.suggestions[0]
    parse_spec(meant)


@pytest.mark.parametrize(("name", "option"), [("requirements.txt", "-r"), ("environment.yml", "-f"), ("uv.lock", "-r")])
def test_a_file_is_no_package(name: str, option: str, tmp_path: Path) -> None:
    assert parse_spec("ruamel.yaml", base=tmp_path).name == "ruamel-yaml"
    (tmp_path / name).write_text("")
    with pytest.raises(UsageError, match="is a file") as caught:
        parse_spec(name, base=tmp_path)
    assert f"`{option} {name}`" in caught.value.suggestions[0]
