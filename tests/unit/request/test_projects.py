"""pyproject.toml of PEP 621, PEP 735, uv and Poetry: read as their own tools read them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet

from dataloader.base.errors import ManifestError, UsageError
from dataloader.formats.poetry_versions import specifier_of
from dataloader.request.manifests.manifest import Manifest, parse_manifest
from dataloader.request.manifests.new import new_manifest
from dataloader.request.readers.poetry import ABOUT
from dataloader.request.readers.uv import NOT_HEEDED, OF_UV


def read(text: str, folder: Path = Path("/p")) -> Manifest:
    return parse_manifest(text, folder / "pyproject.toml")


def asked(manifest: Manifest, environment: str = "default", *chosen: str) -> set[str]:
    return {str(r) for r in manifest.environment(environment, chosen=chosen).requirements}


STANDARD = """
[project]
name = "Ours"
requires-python = ">=3.10"
dependencies = ["a>=1", "b @ https://h/b-1-py3-none-any.whl"]
[project.optional-dependencies]
cpu = ["c"]
"Has_Odd.Name" = ["d ; sys_platform == 'linux'"]
all = ["ours[cpu,has-odd-name]", "e"]
[dependency-groups]
test = ["t", {include-group = "lint"}]
lint = ["l>=1"]
"""


def test_extras_and_groups_are_environments_and_choices() -> None:
    manifest = read(STANDARD)
    always = {"a>=1", "pypi:b @ https://h/b-1-py3-none-any.whl", "python>=3.10"}

    assert manifest.is_plain
    assert asked(manifest) == always
    assert asked(manifest, "test") == {*always, "t", "l>=1"}
    assert asked(manifest, "all") == {*always, "c", 'd ; sys_platform == "linux"', "e"}
    chosen = manifest.chosen(["cpu"], ["lint"], all_extras=False)
    assert asked(manifest, "default", *chosen) == {*always, "c", "l>=1"}
    everything = manifest.chosen([], [], all_extras=True)
    assert asked(manifest, "default", *everything) == {*always, "c", 'd ; sys_platform == "linux"', "e"}


@pytest.mark.parametrize(("extras", "groups"), [(["no"], []), ([], ["no"])])
def test_a_set_that_there_is_not_is_named_with_those_there_are(extras: list[str], groups: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        read(STANDARD).chosen(extras, groups, all_extras=False)

    assert caught.value.code == "group-unknown"
    assert ("lint" if groups else "has-odd-name") in caught.value.causes[0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('a = [{include-group = "b"}]\nb = [{include-group = "a"}]', "Cyclic"),
        ('a = [{include-group = "no"}]', "'no' not found"),
        ('a = ["=1"]', "Expected"),
        ("a = [{odd = 1}]", "Invalid dependency group item"),
        ('A-b = ["x"]\na_B = ["y"]', "Duplicate"),
    ],
)
def test_what_is_wrong_with_groups_is_told_with_its_line(text: str, told: str) -> None:
    with pytest.raises(ManifestError) as caught:
        read(f"[dependency-groups]\n{text}\n")

    assert told in caught.value.causes[0]
    assert re.match(r"pyproject.toml:\d", caught.value.causes[0])


def test_dependencies_in_files_are_read_from_them(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text("a\nb>=1\n")
    text = """
[project]
name = "x"
dynamic = ["version", "dependencies"]
[tool.setuptools.dynamic]
dependencies = {file = ["r.txt"]}
"""
    assert asked(read(text, tmp_path)) == {"a", "b>=1"}
    (note,) = read('[project]\nname = "x"\ndynamic = ["dependencies"]\n').notes
    assert "pyproject.toml:3" in note


UV = """
[project]
name = "ours"
dependencies = ["torch>=2", "a", "g", "w", "tree", "sub"]
[project.optional-dependencies]
cpu = ["torch"]
cu = ["torch"]
[dependency-groups]
dev = ["d"]
more = ["m"]
[tool.uv]
constraint-dependencies = ["a<2"]
override-dependencies = ["b==1", "c ; sys_platform == 'never'"]
exclude-dependencies = ["z"]
dev-dependencies = ["old"]
default-groups = ["dev", "more"]
environments = ["sys_platform == 'linux'"]
conflicts = [[{extra = "cpu"}, {extra = "cu"}], [{extra = "cpu"}, {group = "more"}]]
no-binary-package = ["nb"]
no-build-package = ["ob"]
prerelease = "allow"
exclude-newer = "2026-01-01"
find-links = ["./links"]
managed = true
[tool.uv.dependency-groups]
more = {requires-python = ">=3.12"}
[tool.uv.sources]
torch = [
  {index = "pt", marker = "sys_platform == 'linux'", extra = "cu"},
  {index = "pt-cpu", extra = "cpu"},
]
a = [{index = "pt", marker = "python_version < '3.12'"}, {index = "pt-cpu", marker = "sys_platform == 'win32'"}]
g = {git = "https://h/g", tag = "v1", subdirectory = "py"}
w = {url = "https://h/w-1-py3-none-any.whl"}
tree = {path = "tree", editable = true}
sub = {workspace = true}
[tool.uv.workspace]
members = ["members/*"]
[[tool.uv.index]]
name = "pt"
url = "https://pt/cu"
explicit = true
[[tool.uv.index]]
name = "pt-cpu"
url = "https://pt/cpu"
[[tool.uv.index]]
url = "https://mine/simple"
default = true
[[tool.uv.index]]
url = "https://pages/flat"
format = "flat"
"""


def test_every_part_of_a_uv_project_is_read(tmp_path: Path) -> None:
    (tmp_path / "members/sub").mkdir(parents=True)
    (tmp_path / "members/sub/pyproject.toml").write_text('[project]\nname = "sub"\n')
    manifest = read(UV, tmp_path)
    one = manifest.environment()

    assert manifest.environments["default"] == ("default", "group:dev", "group:more")
    assert {"d", "m", "old"} <= asked(manifest)
    assert [str(r) for r in manifest.resolution.constraints] == ["a<2"]
    assert [r.name for r in manifest.resolution.overrides] == ["b", "c", "z"]
    assert (one.pypi.index_url, one.pypi.extra_index_urls) == ("https://mine/simple", ("https://pt/cpu",))
    assert one.pypi.find_links == (str(tmp_path / "links"), "https://pages/flat")
    assert (one.pypi.no_binary, one.pypi.only_binary, one.pypi.prerelease) == (("nb",), ("ob",), True)
    assert manifest.resolution.exclude_newer == "2026-01-01"
    assert "python>=3.12" in asked(manifest)
    sources = {r.name: str(r.source) for r in one.requirements if r.source}
    assert sources == {
        "g": "git+https://h/g@v1#subdirectory=py",
        "tree": str(tmp_path / "tree"),
        "sub": str(tmp_path / "members/sub"),
    }
    assert manifest.notes == ()


def test_an_index_serves_where_its_marker_and_its_extra_say() -> None:
    manifest = read(UV)
    cu = manifest.features["extra:cu"].requirements
    own = [r for r in manifest.features["default"].requirements if r.name == "a"]

    assert [(getattr(r, "index", ""), getattr(r, "marker", "")) for r in cu] == [
        ("https://pt/cu", 'sys_platform == "linux"'),
        (None, 'sys_platform != "linux"'),
    ]
    assert [(getattr(r, "index", ""), getattr(r, "marker", "")) for r in own] == [
        ("https://pt/cu", 'python_version < "3.12"'),
        ("https://pt/cpu", 'python_version >= "3.12" and sys_platform == "win32"'),
        (None, 'python_version >= "3.12" and sys_platform != "win32"'),
    ]


def test_conflicting_extras_are_refused_together() -> None:
    manifest = read(UV)

    with pytest.raises(UsageError, match=r"extra c\w+ and extra c\w+ do not go together") as caught:
        manifest.environment("default", chosen=manifest.chosen([], [], all_extras=True))
    assert caught.value.code == "groups-conflict"


@pytest.mark.skipif(not shutil.which("uv"), reason="uv is not installed")
def test_each_key_that_uv_knows_is_used_named_or_about_uv(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "0"\n[tool.uv]\nzzz = 1\n')
    told = subprocess.run(["uv", "lock", "--offline"], cwd=tmp_path, capture_output=True, text=True, check=False).stderr
    known = set(re.findall(r"`([a-z-]+)`", told.partition("expected one of")[2].partition("\n")[0]))
    assert len(known) > 60
    for key in sorted(known):
        if key in NOT_HEEDED:
            manifest = read(f'[project]\nname = "x"\n[tool.uv]\n{key} = []\n')
            assert any(f"[tool.uv.{key}]" in note for note in manifest.notes), key
        elif key not in OF_UV:
            # read: a value of the wrong type is a mistake, or it is there in the manifest
            with pytest.raises(ManifestError, match="cannot be read"):
                read(f'[project]\nname = "x"\n[tool.uv]\n{key} = {{odd = 1979-05-27, x = [1]}}\n')


POETRY_1 = """
[tool.poetry]
name = "ours"
version = "0.1.0"
description = ""
authors = []
[tool.poetry.dependencies]
python = "~3.10 || ^3.12"
caret = "^1.2.3"
zero = "^0.2.3"
tilde = "~1.2"
wild = "1.2.*"
any = "*"
exact = "2.0"
two = ">=1,<2 || >=3,<4"
table = {version = "^2", extras = ["X_y"], markers = "sys_platform == 'linux'", python = ">=3.11"}
several = [{version = "^1", python = "<3.11"}, {version = "^2", python = ">=3.11"}]
opt = {version = "^1", optional = true}
idx = {version = "*", source = "pt"}
g = {git = "https://h/g.git", branch = "main"}
p = {path = "./p", develop = true}
w = {url = "https://h/w-1-py3-none-any.whl"}
mac = {version = "*", platform = "darwin"}
[tool.poetry.extras]
more = ["opt"]
[tool.poetry.dev-dependencies]
pytest = "^8"
[tool.poetry.group.docs]
optional = true
[tool.poetry.group.docs.dependencies]
sphinx = "^7"
[tool.poetry.group.all]
include-groups = ["docs"]
[[tool.poetry.source]]
name = "pt"
url = "https://pt/cpu"
priority = "explicit"
[[tool.poetry.source]]
name = "mirror"
url = "https://mine/simple"
priority = "supplemental"
[build-system]
requires = ["poetry-core"]
build-backend = "poetry.core.masonry.api"
"""


def test_a_project_of_poetry_1_is_read() -> None:
    manifest = read(POETRY_1)
    specs = {r.name: r.specifier for r in manifest.environment().requirements if hasattr(r, "specifier")}

    assert specs["python"] == "!=3.11.*,<4.0,>=3.10"
    assert (specs["caret"], specs["zero"], specs["tilde"]) == ("<2.0.0,>=1.2.3", "<0.3.0,>=0.2.3", "<1.3,>=1.2")
    assert (specs["wild"], specs["any"], specs["exact"]) == ("==1.2.*", "", "==2.0")
    assert specs["two"] == "!=2.*,<4,>=1"
    lines = asked(manifest)
    assert 'table[x-y]<3,>=2 ; sys_platform == "linux" and python_version >= "3.11"' in lines
    assert {'several<2,>=1 ; python_version < "3.11"', 'several<3,>=2 ; python_version >= "3.11"'} <= lines
    assert 'mac ; sys_platform == "darwin"' in lines
    assert "opt" not in specs
    assert asked(manifest, "more") >= {"opt<2,>=1"}
    assert manifest.environments["default"] == ("default", "group:all", "group:dev")
    assert {"pytest<9,>=8", "sphinx<8,>=7"} <= lines
    assert next(r for r in manifest.environment().requirements if r.name == "idx").index == "https://pt/cpu"  # type: ignore[union-attr]
    assert manifest.environment().pypi.extra_index_urls == ("https://mine/simple",)
    assert {r.name for r in manifest.environment().requirements if r.source} == {"g", "p"}
    assert manifest.notes == ()


def test_a_project_of_poetry_2_says_more_of_what_it_needs() -> None:
    manifest = read(
        """
[project]
name = "ours"
requires-python = ">=3.10"
dependencies = ["torch (>=2.1,<3.0)", "a"]
[project.optional-dependencies]
x = ["b>=1"]
[tool.poetry]
package-mode = false
[tool.poetry.dependencies]
python = ">=3.10,<3.13"
torch = {source = "pt"}
a = {git = "https://h/a"}
[[tool.poetry.source]]
name = "pt"
url = "https://pt/cpu"
priority = "explicit"
[tool.poetry.group.test.dependencies]
pytest = "^8"
"""
    )
    by_name = {r.name: r for r in manifest.environment().requirements}

    assert str(by_name["torch"]) == "pypi:torch<3.0,>=2.1"
    assert by_name["torch"].index == "https://pt/cpu"  # type: ignore[union-attr]
    assert str(by_name["a"].source) == "git+https://h/a"
    assert str(by_name["python"]) == "python<3.13,>=3.10"
    assert "pytest" in by_name


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('a = "latest"', "Could not parse version constraint"),
        ('a = "<1.5 || >2.5,<2.7"', "several ranges"),
        ("a = 1", "expected a constraint"),
        ('a = {version = "1", odd = 1}', "no such key as odd"),
        ('a = {version = "1", source = "no"}', "no [[tool.poetry.source]]"),
    ],
)
def test_what_poetry_lines_cannot_say_is_told_with_their_line(line: str, told: str) -> None:
    with pytest.raises(ManifestError) as caught:
        read(f"[tool.poetry]\nname = 'x'\n[tool.poetry.dependencies]\n{line}\n")

    assert told in caught.value.causes[0]
    assert "pyproject.toml:4" in caught.value.causes[0]


NUMBERS = st.lists(st.integers(0, 4), min_size=1, max_size=3).map(lambda parts: ".".join(map(str, parts)))
CLAUSES = st.builds(
    lambda operator, number: operator + number, st.sampled_from(["^", "~", "", ">=", "<", "!="]), NUMBERS
)
ROWS = [f"{a}.{b}.{c}" for a in range(6) for b in range(6) for c in (0, 1, 4)]


@example("^0 || ^2,!=2")
@example("<=1 || >=3")
@given(st.lists(st.lists(CLAUSES, min_size=1, max_size=2).map(",".join), min_size=1, max_size=3).map(" || ".join))
def test_versions_mean_what_they_mean_to_poetry(text: str) -> None:
    from poetry.core.constraints.version import Version, parse_constraint

    constraint = parse_constraint(text)
    try:
        ours = SpecifierSet(specifier_of(constraint))
    except ValueError:
        assert constraint.is_empty() or "||" in str(constraint)
        return
    assert [v for v in ROWS if v in ours] == [v for v in ROWS if constraint.allows(Version.parse(v))]


def test_keys_of_poetry_are_read_or_named() -> None:
    text = "[tool.poetry]\nname = 'x'\nodd-key = 1\n" + "".join(f"{key} = []\n" for key in sorted(ABOUT - {"name"}))

    assert [note.partition("]")[0] for note in read(text).notes] == ["[tool.poetry.odd-key"]


def test_the_keys_of_poetrys_own_schema_are_known() -> None:
    import json
    from importlib.resources import files

    schema = json.loads((files("poetry.core") / "json/schemas/poetry-schema.json").read_text())
    tables = {"dependencies", "dev-dependencies", "extras", "group"}
    assert set(schema["properties"]) <= {*ABOUT, *tables}

    values = {"python": "'>=3.9'", "optional": "true", "develop": "true", "extras": "['x']", "version": "'^1'"}
    values |= {"markers": "\"os_name == 'posix'\"", "platform": "'linux'", "source": "'pt'", "git": "'https://h/g'"}
    values |= {"file": "'f-1.tar.gz'", "path": "'p'", "url": "'https://h/u-1.tar.gz'", "subdirectory": "'s'"}
    values |= dict.fromkeys(("rev", "tag", "branch"), "'r'") | {
        "allow-prereleases": "true",
        "allows-prereleases": "true",
    }
    for name, kind in schema["definitions"].items():
        if not name.endswith("-dependency") or "properties" not in kind:
            continue
        for key in kind["properties"]:
            required = next(
                (f"{k} = {values[k]}, " for k in ("git", "file", "path", "url") if k in name and k != key), ""
            )
            line = f"[tool.poetry.dependencies]\na = {{{required}{key} = {values[key]}}}\n"
            manifest = read(f"[tool.poetry]\n{line}[[tool.poetry.source]]\nname = 'pt'\nurl = 'https://pt'\n")
            asked_for = [r for f in manifest.features.values() for r in f.requirements]
            assert len(asked_for) == (0 if key == "optional" else 1), (name, key)
            assert bool(manifest.notes) is ("prereleases" in key)


def test_what_an_override_excludes_is_not_asked_for(tmp_path: Path) -> None:
    from dataloader.cli.line.options import CommonOptions
    from dataloader.request.request import make_request

    (tmp_path / "pyproject.toml").write_text(
        "[project]\nname = 'x'\ndependencies = ['a', 'b @ git+https://h/b', 'c']\n"
        "[tool.uv]\noverride-dependencies = ['b==3']\nexclude-dependencies = ['c']\n"
    )
    request = make_request(CommonOptions(), (), None, environ={}, here=tmp_path)

    assert [str(r) for r in request.pypi] == ["a", "b==3"]
    assert [r.name for r in request.overrides] == ["b", "c"]


def test_a_project_named_with_r_asks_for_its_sets(tmp_path: Path) -> None:
    from dataloader.cli.line.options import CommonOptions
    from dataloader.request.request import make_request

    there = tmp_path / "there"
    there.mkdir()
    (there / "any.name").write_text(STANDARD)

    def asked_for(**said: object) -> set[str]:
        options = CommonOptions(requirements=(there / "any.name",), **said)  # type: ignore[arg-type]
        return {r.name for r in make_request(options, (), None, environ={}, here=tmp_path).pypi}

    assert asked_for() == {"a", "b"}
    assert asked_for(extra=("cpu",), group=("lint",)) == {"a", "b", "c", "l"}
    assert asked_for(all_extras=True) == {"a", "b", "c", "d", "e"}
    with pytest.raises(UsageError, match="has no extra no"):
        asked_for(extra=("no",))
    with pytest.raises(UsageError, match="there is no pyproject"):
        make_request(CommonOptions(extra=("cpu",)), ("a",), None, environ={}, here=tmp_path)


def test_tasks_and_environments_of_a_workspace_are_taken_over() -> None:
    text = """
[workspace]
channels = ["conda-forge"]
platforms = ["linux-64"]
[system-requirements]
cuda = 12
libc = 2.28
[tasks]
one = "echo 1"
two = {cmd = ["echo", "2"], depends-on = ["one"], env = {A = "b"}, cwd = "d"}
[feature.f.tasks]
three = "echo 3"
[feature.f.target.linux-64.tasks]
four = "echo 4"
[feature.f.target.linux-64.dependencies]
x = "*"
[environments]
e = {features = ["f"], solve-group = "g", no-default-feature = true}
d = {features = ["f"], solve-group = "g"}
"""
    manifest = parse_manifest(text, Path("/p/pixi.toml"))
    made = new_manifest(name="n", channels=[], platform="linux-64", manifests=[manifest])
    again = parse_manifest(made, Path("/p/dataloader.toml"))

    assert (manifest.environment().system.cuda, manifest.environment().system.libc) == ("12", "2.28")
    for name in ("default", "e", "d"):
        one, other = manifest.environment(name), again.environment(name)
        assert {n: (t.command, t.depends_on, t.env, t.cwd) for n, t in one.tasks.items()} == {
            n: (t.command, t.depends_on, t.env, t.cwd) for n, t in other.tasks.items()
        }
        assert list(map(str, one.requirements)) == list(map(str, other.requirements))
        assert (one.system, one.channels) == (other.system, other.channels)
    assert again.solve_groups == manifest.solve_groups == {"e": "g", "d": "g"}


@pytest.mark.parametrize("text", [STANDARD, UV, POETRY_1], ids=["standard", "uv", "poetry"])
def test_a_project_that_is_taken_over_asks_for_the_same(text: str) -> None:
    manifest = read(text)
    made = new_manifest(name="n", channels=["c"], platform="linux-64", manifests=[manifest])
    again = parse_manifest(made, Path("/p/dataloader.toml"))

    def plain(one: Manifest, environment: str) -> set[str]:
        return {s.removeprefix("conda:").split("[version")[0] if "python[" in s else s for s in asked(one, environment)}

    names = [name for name in manifest.environments if name not in ("cpu", "cu")]
    assert set(names) <= set(again.environments)
    for name in names:
        before = {re.sub(r"^python.*", "python", s) for s in plain(manifest, name)}
        assert {re.sub(r"^python.*", "python", s) for s in plain(again, name)} == before
    assert again.environment().pypi == manifest.environment().pypi or again.resolution.prerelease == "allow"
    assert [str(o) for o in again.resolution.overrides] == [str(o) for o in manifest.resolution.overrides]
