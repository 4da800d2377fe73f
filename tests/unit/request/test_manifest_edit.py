"""Adding to manifests, and writing new ones."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataloader.base.errors import UsageError
from dataloader.request.manifests.additions import Additions, joined
from dataloader.request.manifests.edit import add_to_manifest
from dataloader.request.manifests.manifest import parse_manifest
from dataloader.request.manifests.new import new_manifest
from dataloader.request.readers.environment_yml import read_environment
from dataloader.request.readers.requirements_txt import read_requirements
from dataloader.request.specs.joined import title
from dataloader.request.specs.requirements import PypiRequirement, Requirement
from dataloader.request.specs.spec import parse_spec

HERE = Path("/project")


def add(text: str, name: str, requirements: Iterable[Requirement] = (), stack: object = None, **more: object) -> str:
    values = {"requirements": tuple(requirements), "stack": stack or {}, **more}
    return add_to_manifest(text, name, Additions(**values))  # type: ignore[arg-type]


def test_comments_and_formatting_stay() -> None:
    text = '# mine\n[pypi-dependencies]\nnumpy   = "<2"   # ABI\n'

    added = add(text, "dataloader.toml", [parse_spec("torch==2.1.0")])

    assert added == text + 'torch = "==2.1.0"\n'


def test_what_is_there_is_replaced_in_its_own_spelling() -> None:
    added = add('[pypi-dependencies]\nTyping_Extensions = "*"\n', "pixi.toml", [parse_spec("typing-extensions>=4")])

    assert added == '[pypi-dependencies]\nTyping_Extensions = ">=4"\n'


def test_what_is_gone_is_taken_out() -> None:
    text = (
        '[pypi-dependencies]\nTyping_Extensions = "*"\na = "*"\n\n[dependencies]\nmkl = "*"\n\n[stack]\ncuda = "11.8"\n'
    )

    added = add(text, "dataloader.toml", (), gone=["typing-extensions", "conda:mkl", "stack:cuda", "b"])

    assert added == '[pypi-dependencies]\na = "*"\n\n[dependencies]\n\n[stack]\n'


@pytest.mark.parametrize("name", ["dataloader.toml", "pixi.toml", "pyproject.toml"])
@pytest.mark.parametrize(
    "spec",
    [
        "torch==2.1.0",
        "ray[tune]>=2 ; python_version < '3.12'",
        "numpy",
        "conda:cudnn=8.7",
        "conda:nvidia::cuda-nvcc",
        "conda:pytorch=2.1.0=*cuda*",
    ],
)
def test_what_was_added_is_read_back_the_same(name: str, spec: str) -> None:
    requirement = parse_spec(spec)

    text = add("", name, [requirement], {"cuda": "12.1", "torch": ""})
    environment = parse_manifest(text, HERE / name).environment()

    assert [str(found) for found in environment.requirements] == [str(requirement)]
    assert environment.stack == {"cuda": "12.1", "torch": ""}


@pytest.mark.parametrize("name", ["dataloader.toml", "pixi.toml"])
def test_insisting_on_pypi_is_kept_where_pixi_does_not_stumble_over_it(name: str) -> None:
    text = add("", name, [parse_spec("pypi:numpy")])

    manifest = parse_manifest(text, HERE / name)

    assert manifest.resolution.pypi_only == ("numpy",)
    assert 'numpy = "*"' in text


def test_a_new_manifest_reads_back_and_says_what_goes_where() -> None:
    for pixi in (False, True):
        text = new_manifest(name="x", channels=["conda-forge"], platform="linux-64", pixi=pixi)
        manifest = parse_manifest(text, HERE / ("pixi.toml" if pixi else "dataloader.toml"))

        assert (manifest.name, manifest.environment().channels) == ("x", ("conda-forge",))
        assert ("[tool.dataloader.stack]" in text) is pixi


def test_other_files_are_taken_over(tmp_path: Path) -> None:
    yml = tmp_path / "environment.yml"
    yml.write_text(
        "name: train\nchannels: [nvidia]\ndependencies:\n  - python=3.10\n  - pip:\n    - torch==2.1.0\n    - -f https://l.example/\n"
    )

    text = new_manifest(name="x", channels=["conda-forge"], platform="linux-64", inputs=[read_environment(yml)])
    manifest = parse_manifest(text, HERE / "dataloader.toml")
    environment = manifest.environment()

    assert (manifest.name, environment.channels) == ("train", ("nvidia",))
    assert [str(r) for r in environment.requirements] == ["conda:python[version='3.10.*']", "torch==2.1.0"]
    assert environment.pypi.find_links == ("https://l.example/",)


@pytest.mark.parametrize("name", ["pixi.toml", "pyproject.toml"])
def test_what_only_our_manifest_can_say_is_refused_in_others(name: str) -> None:
    hashed = PypiRequirement(name="a", specifier="==1", hashes=("sha256:00",))
    several = [parse_spec(f"a=={v} ; python_version {operator} '3.12'") for v, operator in ((1, "<"), (2, ">="))]

    with pytest.raises(UsageError, match="cannot hold the hashes of a"):
        add("", name, [hashed])
    with pytest.raises(UsageError, match="holds one requirement of a, and there are 2"):
        add("", name, several)

    for requirements in ([hashed], several):
        environment = parse_manifest(add("", "dataloader.toml", requirements), HERE / "dataloader.toml").environment()
        assert [(str(r), r.hashes) for r in environment.requirements if isinstance(r, PypiRequirement)] == [
            (str(r), r.hashes) for r in requirements if isinstance(r, PypiRequirement)
        ]


def test_a_line_of_the_project_itself_is_replaced_there() -> None:
    text = """[project]
name = "x"
dependencies = [
    "Six<2",  # old
    "b",
]
[tool.dataloader.stack]
"""
    added = add(text, "pyproject.toml", [parse_spec("six[x]>=2"), parse_spec("c")])

    assert '"six[x]>=2"' in added
    assert "# old" in added
    manifest = parse_manifest(added, HERE / "pyproject.toml")
    assert sorted(map(str, manifest.environment().requirements)) == ["b", "c", "six[x]>=2"]


requirements = st.lists(
    st.builds(
        lambda name, extras, version, marker: parse_spec(
            f"{name}{extras}{version}" + (f" ; python_version {marker} '3.11'" if marker else "")
        ),
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["", "[x]", "[x,y]"]),
        st.sampled_from(["", "<2", "==1.*,>=1.2", "!=3"]),
        st.sampled_from(["", "<", ">="]),
    )
    | st.builds(
        lambda name, version: parse_spec(f"conda:{name}{version}"),
        st.sampled_from(["a", "q"]),
        st.sampled_from(["", "=1", "=1.2=*x", " >=1,<2"]),
    ),
    max_size=6,
)
words = st.lists(st.sampled_from(["one", "two", "three"]), unique=True, max_size=3).map(tuple)
everything = st.builds(
    lambda said, channels, links, urls, no_binary, stack, resolution, variables, limits: Additions(
        requirements=joined(said),
        channels=channels or None,
        find_links=tuple(f"https://{word}.example/links" for word in links),
        extra_index_urls=tuple(f"https://{word}.example/simple" for word in urls),
        no_binary=no_binary,
        stack=stack,
        resolution=resolution,
        variables=variables,
        constraints=tuple(PypiRequirement(name=word, specifier="<9") for word in limits),
    ),
    requirements,
    words,
    words,
    words,
    words,
    st.dictionaries(st.sampled_from(["cuda", "torch", "python"]), st.sampled_from(["", "12.1", ">=3,<4"])),
    st.fixed_dictionaries(
        {},
        optional={
            "conda": st.sampled_from(["auto", "never"]),
            "prerelease": st.just("allow"),
            "exclude-newer": st.just("2024-01-31"),
            "require-hashes": st.booleans(),
            "no-index": st.booleans(),
        },
    ),
    st.dictionaries(st.sampled_from(["A", "B"]), st.text("xyz =#'", max_size=5)),
    words,
)


@settings(max_examples=50, deadline=None)
@given(st.lists(everything, min_size=1, max_size=3), st.sampled_from(["default", "more"]))
def test_all_that_is_added_is_read_back_whatever_was_there_before(said: list[Additions], feature: str) -> None:
    text = '[workspace]\n[feature.more.dependencies]\n[environments]\nmore = ["more"]\n'
    for one in said:
        text = add_to_manifest(text, "dataloader.toml", one, feature=feature)
    manifest = parse_manifest(text, HERE / "dataloader.toml")
    environment, last = manifest.environment(feature), said[-1]

    insisted = manifest.resolution.pypi_only
    found = {str(r).removeprefix("pypi:") for r in environment.requirements}
    assert {str(r).removeprefix("pypi:") for r in last.requirements} <= found
    assert {r.name for r in last.requirements if isinstance(r, PypiRequirement) and r.world == "pypi"} <= set(insisted)
    names = {title(r) for one in said for r in one.requirements}
    assert {title(r) for r in environment.requirements} == names
    assert environment.stack == {axis: value for one in said for axis, value in one.stack.items()}
    assert environment.variables == {key: value for one in said for key, value in one.variables.items()}
    for got, wanted in (
        (environment.channels or (), last.channels or ()),
        (environment.pypi.find_links, last.find_links),
        (environment.pypi.extra_index_urls, last.extra_index_urls),
        (environment.pypi.no_binary, last.no_binary),
        (tuple(r.name for r in manifest.resolution.constraints), tuple(r.name for r in last.constraints)),
    ):
        assert set(wanted) <= set(got)
    saved = manifest.resolution
    for key, value in last.resolution.items():
        assert getattr(saved, key.replace("-", "_")) == value


def test_a_new_manifest_leaves_out_what_cannot_be_met_and_need_not_be(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("a\n./no-1-py3-none-any.whl ; sys_platform == 'win32'\nc ; sys_platform == 'win32'\n")
    text = new_manifest(name="x", channels=[], platform="linux-64", inputs=[read_requirements(file)])
    environment = parse_manifest(text, HERE / "dataloader.toml").environment()
    assert [str(r) for r in environment.requirements] == ["a", 'c ; sys_platform == "win32"']

    file.write_text("./no-1-py3-none-any.whl ; sys_platform == 'linux'\n")
    with pytest.raises(UsageError, match="there is no file"):
        new_manifest(name="x", channels=[], platform="linux-64", inputs=[read_requirements(file)])


PROJECT = '[project]\nname = "app"\nversion = "1"\ndependencies = ["old", "other"]\n'


@pytest.mark.parametrize(
    "said", ["file:///project/lib", "file:///project/lib-1-py3-none-any.whl", "file:///beside/lib"]
)
@pytest.mark.parametrize("feature", ["default", "extra"])
def test_a_path_in_a_project_goes_with_its_folder(said: str, feature: str) -> None:
    text = PROJECT + "[project.optional-dependencies]\nextra = []\n"
    asked = parse_spec(f"lib[fast] @ {said} ; python_version > '3'")

    added = add_to_manifest(text, HERE / "pyproject.toml", Additions(requirements=(asked,)), feature=feature)

    assert "/project" not in added
    assert "'lib[fast] ; python_version > \"3\"'" in added or 'lib[fast] ; python_version > \\"3\\"' in added
    manifest = parse_manifest(added, HERE / "pyproject.toml")
    environment = manifest.environment(chosen=() if feature == "default" else ("extra:extra",))
    (read,) = (r for r in environment.requirements if r.name == "lib" and isinstance(r, PypiRequirement))
    assert isinstance(asked, PypiRequirement)
    assert (read.source, read.url, read.extras) == (asked.source, asked.url, ("fast",))


def test_where_a_project_is_from_goes_with_its_last_requirement() -> None:
    sources = '[tool.uv.sources]\nOld = { path = "old" }\nother = { path = "other" }\n'
    text = f'{PROJECT}[dependency-groups]\ndev = ["other", {{ include-group = "more" }}]\nmore = []\n{sources}'

    left = add(text, "pyproject.toml", gone=("old", "other"))

    assert "Old" not in left
    assert 'other = { path = "other" }' in left  # the group asks for it still
    moved = add(text, "pyproject.toml", [parse_spec("other @ git+https://h.test/other.git@v1")])
    assert 'other = { path = "other" }' not in moved  # uv heeds the table, whatever the requirement says


def test_a_path_in_a_project_of_poetry_stays_a_url() -> None:
    added = add(PROJECT + "[tool.poetry]\n", "pyproject.toml", [parse_spec("lib @ file:///project/lib")])

    assert "lib @ /project/lib" in added or "lib @ file:///project/lib" in added
    assert "uv" not in added


def test_what_is_taken_over_goes_with_its_folder(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("-e ./lib\n./other\n-e git+https://h.test/a.git@v1#egg=a\n")

    text = new_manifest(
        name="app",
        channels=[],
        platform="linux-64",
        inputs=[read_requirements(tmp_path / "requirements.txt")],
        folder=tmp_path,
    )

    assert 'lib = {path = "./lib", editable = true}' in text
    assert 'other = {path = "./other"}' in text
    assert 'a = {git = "https://h.test/a.git", rev = "v1", editable = true}' in text
    asked = {r.name: r for r in parse_manifest(text, tmp_path / "dataloader.toml").environment().requirements}
    assert isinstance(asked["lib"], PypiRequirement)
    assert asked["lib"].source
    assert asked["lib"].source.location == str(tmp_path / "lib")
