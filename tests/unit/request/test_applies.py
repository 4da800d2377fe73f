"""Which requirements can matter: packaging is the judge of markers."""

from __future__ import annotations

import pytest
from packaging.markers import Marker

from dataloader.base.errors import UsageError
from dataloader.base.markers import marker_environment
from dataloader.request.specs.applies import applying, may_apply
from dataloader.request.specs.spec import parse_pypi

MARKERS = [
    "sys_platform == 'win32'",
    "sys_platform == 'linux'",
    "python_version < '3.8'",
    "python_version >= '3.11' and platform_machine == 'aarch64'",
    "python_full_version >= '3.11.5' and python_full_version < '3.11.7'",
    "implementation_name == 'pypy' or os_name == 'posix'",
    "extra == 'test'",
    "platform_python_implementation != 'CPython'",
]


@pytest.mark.parametrize("marker", MARKERS)
@pytest.mark.parametrize("python", ["", ">=3.11,<3.12", "==3.7.*"])
@pytest.mark.parametrize("platform", ["linux-64", "linux-aarch64", "osx-arm64", "win-64"])
def test_a_marker_may_apply_where_it_holds_on_some_python(marker: str, python: str, platform: str) -> None:
    minors = {"": range(6, 20), ">=3.11,<3.12": [11], "==3.7.*": [7]}[python]
    versions = [f"3.{minor}.{patch}" for minor in minors for patch in range(12)]
    environments = [{**marker_environment(version, platform), "extra": ""} for version in versions]

    assert may_apply(marker, [platform], python) == any(Marker(marker).evaluate(each) for each in environments)


def test_what_the_kernel_decides_is_left_to_the_target() -> None:
    assert may_apply("platform_release >= '5'", ["linux-64"])


@pytest.mark.parametrize(
    "text",
    [
        "foo @ git+https://example.org/foo.git ; sys_platform == 'win32'",
        "git+https://example.org/foo.git ; sys_platform == 'win32'",
        "foo @ file:///nowhere/foo-1-py3-none-any.whl ; python_version < '3'",
        "./nowhere/foo-1-py3-none-any.whl ; python_version < '3'",
        "./foo ; sys_platform == 'darwin'",
    ],
)
def test_a_line_that_cannot_be_met_refuses_nothing_where_its_marker_does_not_hold(text: str) -> None:
    assert applying([parse_pypi(text), parse_pypi("bar")], ["linux-64"], "") == (parse_pypi("bar"),)


def test_a_line_that_cannot_be_met_is_refused_where_its_marker_holds() -> None:
    with pytest.raises(UsageError) as caught:
        applying([parse_pypi("foo @ git+https://example.org/foo.git ; sys_platform == 'linux'")], ["linux-64"], "")
    assert caught.value.code == "requirement-unsupported"


@pytest.mark.parametrize(
    ("text", "extras", "marker"),
    [
        ("https://h.example/six-1.16.0-py2.py3-none-any.whl ; sys_platform == 'linux'", (), 'sys_platform == "linux"'),
        ("https://h.example/six-1.16.0-py2.py3-none-any.whl; sys_platform == 'linux'", (), 'sys_platform == "linux"'),
        ("https://h.example/six-1.16.0-py2.py3-none-any.whl[a,B]", ("a", "b"), None),
        ("https://h.example/six-1.16.0-py2.py3-none-any.whl#sha256=ab ; os_name=='posix'", (), 'os_name == "posix"'),
        ("six[x] @ https://h.example/six-1.16.0-py2.py3-none-any.whl ; os_name=='posix'", ("x",), 'os_name == "posix"'),
    ],
)
def test_the_wheel_of_a_url_may_have_extras_and_a_marker(
    text: str, extras: tuple[str, ...], marker: str | None
) -> None:
    one = parse_pypi(text)
    assert (one.name, one.specifier, one.extras, one.marker) == ("six", "==1.16.0", extras, marker)
    assert one.url == "https://h.example/six-1.16.0-py2.py3-none-any.whl"
