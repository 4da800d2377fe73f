"""Files as their formats' own documentation writes them: what each asks for, or what is said of it."""

# ruff: noqa: E501 -- files, each in a line or two

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from dataloader.base.errors import DataloaderError
from dataloader.formats.content import read_content
from dataloader.request.input_file import InputFile
from dataloader.request.manifests.manifest import Manifest
from dataloader.request.readers import read_file

H1, H2 = "a" * 64, "b" * 64
M1 = "c" * 32
ENVIRON = {"TOKEN": "s3", "HOST": "mirror.example"}
W = "https://files.example/demo-1.0-py3-none-any.whl"


class Case(NamedTuple):
    """A file, by any name, and what is read of it."""

    name: str
    text: str | bytes
    form: str
    asked: set[str]
    environment: str = "default"
    beside: Mapping[str, str] = {}
    notes: tuple[str, ...] = ()


REQUIREMENTS = [
    Case("r.txt", "docopt == 0.6.1\nkeyring >= 4.1.1\ncoverage != 3.5\nMopidy-Dirble ~= 1.1\n", "requirements.txt",
         {"docopt==0.6.1", "keyring>=4.1.1", "coverage!=3.5", "mopidy-dirble~=1.1"}),
    Case("a", "SomeProject >=1.2,\\\n  <2  # why\n\n# all\nb===x.y\n", "requirements.txt",
         {"someproject<2,>=1.2", "b===x.y"}),
    Case("m.txt", "SomeProject[foo, bar]\na==5.4 ; python_version < '3.8'\nb ; sys_platform == 'win32'\n",
         "requirements.txt", {"someproject[bar,foo]", 'a==5.4 ; python_version < "3.8"', 'b ; sys_platform == "win32"'}),
    Case("n.txt", "-r other.in\n--requirement=third.in\n-c limits.in\na\n", "requirements.txt", {"a", "o>1", "t"},
         beside={"other.in": "o>1\n", "third.in": "t\n", "limits.in": "x<2\n"}),
    Case("o.txt", "-i https://u:${TOKEN}@${HOST}/simple\n--extra-index-url https://e\n-f https://f\n--pre\na\n",
         "requirements.txt", {"a"}),
    Case("h.txt", f"--require-hashes\na==1 \\\n    --hash=sha256:{H1} \\\n    --hash=sha256:{H2}\n", "requirements.txt",
         {"a==1"}),
    Case("u.txt", f"{W}\nurllib3 @ https://h/urllib3-2.0-py3-none-any.whl#sha256={H1}\n", "requirements.txt",
         {f"pypi:demo @ {W}", "pypi:urllib3 @ https://h/urllib3-2.0-py3-none-any.whl"}),
    Case("v.txt", "git+https://git.example/MyProject.git@v1.0#egg=MyProject&subdirectory=pkg\n-e git+ssh://g@h/x@main\n",
         "requirements.txt", {"myproject @ git+https://git.example/MyProject.git@v1.0#subdirectory=pkg",
                              "x @ git+ssh://g@h/x@main"}),
    Case("e.txt", "-e .\n--editable ./sub[x]\n./tree\n./d/sdist-1.0.tar.gz\nhttps://h/a-2.zip\n", "requirements.txt",
         {"HERE @ .", "sub[x] @ ./sub", "tree @ ./tree", "sdist @ ./d/sdist-1.0.tar.gz", "a @ https://h/a-2.zip"}),
    Case("w.txt", b"\xff\xfe" + "numpy<2\n".encode("utf-16-le"), "requirements.txt", {"numpy<2"}),
    Case("c.txt", 'a --config-settings="--global-option=x" --global-option=y\n--no-binary :none:\n--prefer-binary\n',
         "requirements.txt", {"a"}, notes=("build options", "--prefer-binary")),
    Case("none.txt", "# nothing but a comment\n", "requirements.txt", set()),
    Case("b.txt", "\ufeffa\r\nb\r\n", "requirements.txt", {"a", "b"}),
    Case("loc.txt", "a @ file:///tmp/a\nb@git+https://h/b\n", "requirements.txt", {"a @ /tmp/a", "b @ git+https://h/b"}),
]  # fmt: skip

ENVIRONMENT = [
    Case("environment.yml", "name: stats\ndependencies:\n  - numpy\n  - pandas\n", "environment.yml",
         {"conda:numpy", "conda:pandas"}),
    Case("env", "name: s\nchannels:\n  - javascript\ndependencies:\n  - python=3.9\n  - bokeh=2.4.2\n  - nodejs=16.13.*\n"
         "  - pip\n  - pip:\n    - Flask-Testing\n    - -r more.txt\n    - --extra-index-url https://e\n", "environment.yml",
         {"conda:python[version='3.9.*']", "conda:bokeh[version='2.4.2.*']", "conda:nodejs[version='16.13.*']",
          "conda:pip", "flask-testing", "m"}, beside={"more.txt": "m\n"}),
    Case("e.yaml", "name: v\nvariables:\n  A: 1\n  B: two\nchannels: [conda-forge, nodefaults]\ndependencies: []\n",
         "environment.yml", set()),
    Case("c.yml", "dependencies:\n- conda-forge::a\n- pkgs/main/linux-64::b=1=h0\n- c[version='>=1',build=py*]\n- d >=1,<2\n"
         "- e ==1.0 h1_0\n- f=1.2\n", "environment.yml",
         {"conda:conda-forge::a", "conda:pkgs/main::b[version='1', build='h0', subdir='linux-64']",
          "conda:c[version='>=1', build='py*']", "conda:d[version='>=1,<2']", "conda:e[version='==1.0', build='h1_0']",
          "conda:f[version='1.2.*']"}),
    Case("s.yml", "dependencies:\n  - a  # [linux]\n  - b  # [win]\n  - c  # [not win]\n  - d  # [linux64]\n"
         "  - e  # [osx or aarch64]\n  - f  # keep\n", "environment.yml",
         {"conda:a", "conda:c", "conda:d", "conda:f"}),
    Case("p.yml", "name: p\nprefix: /home/me/x\ndependencies:\n- pip:\n  - -e git+https://h/g#egg=g\n  - ./local\n",
         "environment.yml", {"g @ git+https://h/g", "local @ ./local"}, notes=("prefix",)),
    Case("k.yml", "name: k\nplatforms: [linux-64, osx-64]\ncategory: dev\ndependencies: [a]\n", "environment.yml",
         {"conda:a"}, notes=("category", "platforms")),
]  # fmt: skip

LISTS = [
    Case("list.txt", "# packages in environment at /x:\n#\n# Name                    Version                   Build  Channel\n"
         "_libgcc_mutex             0.1                 conda_forge    conda-forge\nb  2.0  h1_0\n"
         "six  1.16.0  pypi_0  pypi\n", "export",
         {"conda:_libgcc_mutex[version='==0.1', build='conda_forge']", "conda:b[version='==2.0', build='h1_0']",
          "pypi:six==1.16.0"}),
    Case("env.json", '{"name": "x", "channels": ["c"], "dependencies": ["numpy", {"pip": ["six"]}]}', "environment.yml",
         {"conda:numpy", "six"}),
    Case("spec-file.txt", "# This file may be used to create an environment using:\n# platform: linux-64\n@EXPLICIT\n"
         f"https://c.example/main/linux-64/a-1.0-h0_0.conda#{M1}\nhttps://c.example/main/noarch/b-c-2-py_1.tar.bz2#{H1}\n",
         "explicit", {f"conda:a[version='==1.0', build='h0_0', md5='{M1}']", f"conda:b-c[version='==2', build='py_1', sha256='{H1}']"}),
    Case("package-list.txt", "# platform: linux-64\n_libgcc_mutex=0.1=main\nnumpy=1.26.4=py311h64a7726_0\nsix=1.16.0=pypi_0\n",
         "export", {"conda:_libgcc_mutex[version='==0.1', build='main']", "pypi:six==1.16.0",
                    "conda:numpy[version='==1.26.4', build='py311h64a7726_0']"}),
]  # fmt: skip

PROJECT = "[project]\nname = 'ours'\nversion = '1'\n"
PROJECTS = [
    Case("pyproject.toml", PROJECT + "dependencies = ['httpx', 'gidgethub[httpx]>4.0.0', \"django>2.1; os_name != 'nt'\"]\n"
         "requires-python = '>=3.8'\n", "pyproject.toml",
         {"httpx", "gidgethub[httpx]>4.0.0", 'django>2.1 ; os_name != "nt"', "python>=3.8"}),
    Case("p.toml", PROJECT + "[project.optional-dependencies]\ngui = ['PyQt5']\ncli = ['rich', 'click']\n",
         "pyproject.toml", {"pyqt5"}, "gui"),
    Case("x", "[dependency-groups]\ntest = ['pytest>7', 'coverage']\ntyping = ['mypy', 'types-requests']\n"
         "typing-test = [{include-group = 'typing'}, {include-group = 'test'}, 'useful-types']\n", "pyproject.toml",
         {"pytest>7", "coverage", "mypy", "types-requests", "useful-types"}, "typing-test"),
    Case("d.toml", PROJECT + "dynamic = ['dependencies', 'optional-dependencies']\n[tool.setuptools.dynamic]\n"
         "dependencies = {file = ['r.in']}\noptional-dependencies.x = {file = 'x.in'}\n", "pyproject.toml", {"r", "xx"}, "x",
         beside={"r.in": "r\n", "x.in": "xx\n"}),
    Case("uv.toml", PROJECT + "dependencies = ['torch']\n[tool.uv.sources]\ntorch = {index = 'pt'}\n[[tool.uv.index]]\n"
         "name = 'pt'\nurl = 'https://pt/cpu'\nexplicit = true\n", "pyproject.toml", {"pypi:torch"}),
    Case("uvm.toml", PROJECT + "dependencies = ['torch']\n[tool.uv.sources]\ntorch = [\n{index = 'a', marker = \"sys_platform "
         "== 'linux'\"},\n{index = 'b', marker = \"sys_platform != 'linux'\"}]\n[[tool.uv.index]]\nname = 'a'\nurl = 'https://a'\n"
         "[[tool.uv.index]]\nname = 'b'\nurl = 'https://b'\n", "pyproject.toml",
         {'pypi:torch ; sys_platform == "linux"', 'pypi:torch ; sys_platform != "linux"'}),
    Case("uvg.toml", PROJECT + "dependencies = ['httpx', 'foo', 'bar', 'w']\n[tool.uv.sources]\nhttpx = {git = 'https://h/x', "
         "rev = '326b943'}\nfoo = {path = './foo-1.0.tar.gz'}\nbar = {path = '../bar', editable = true}\n"
         f"w = {{url = '{W.replace('demo', 'w')}'}}\n", "pyproject.toml",
         {"httpx @ git+https://h/x@326b943", "foo @ ./foo-1.0.tar.gz", "bar @ ../bar", f"pypi:w @ {W.replace('demo', 'w')}"}),
    Case("uvd.toml", PROJECT + "[tool.uv]\ndev-dependencies = ['ruff==0.5.0']\nconstraint-dependencies = ['grpcio<1.65']\n"
         "override-dependencies = ['werkzeug==2.3.0']\n", "pyproject.toml", {"ruff==0.5.0"}),
    Case("uvx.toml", PROJECT + "[tool.uv]\nresolution = 'lowest'\nindex-strategy = 'unsafe-best-match'\n", "pyproject.toml",
         set(), notes=("tool.uv.resolution", "tool.uv.index-strategy")),
    Case("poetry.toml", "[tool.poetry]\nname = 'p'\nversion = '0'\n[tool.poetry.dependencies]\npython = '^3.9'\n"
         "requests = {version = '^2.13', extras = ['security']}\npathlib2 = {version = '^2.2', python = '<3.9'}\n"
         "tomli = {version = '^2', markers = \"python_version <= '3.11' or sys_platform == 'win32'\"}\n", "pyproject.toml",
         {"requests[security]<3.0,>=2.13", 'pathlib2<3.0,>=2.2 ; python_version < "3.9"', "python<4.0,>=3.9",
          'tomli<3,>=2 ; python_version <= "3.11" or sys_platform == "win32"'}),
    Case("poetrym.toml", "[tool.poetry]\n[tool.poetry.dependencies]\nfoo = [{version = '<=1.9', python = '>=3.6,<3.8'}, "
         "{version = '^2.0', python = '>=3.8'}]\n", "pyproject.toml",
         {'foo<=1.9 ; python_version >= "3.6" and python_version < "3.8"', 'foo<3.0,>=2.0 ; python_version >= "3.8"'}),
    Case("poetryg.toml", "[tool.poetry]\n[tool.poetry.group.docs]\noptional = true\n[tool.poetry.group.docs.dependencies]\n"
         "mkdocs = '*'\n[tool.poetry.group.test.dependencies]\npytest = '~8.1'\n", "pyproject.toml", {"pytest<8.2,>=8.1"}),
    Case("poetrye.toml", "[tool.poetry]\n[tool.poetry.dependencies]\npsycopg2 = {version = '^2.9', optional = true}\n"
         "[tool.poetry.extras]\npgsql = ['psycopg2']\n", "pyproject.toml", {"psycopg2<3.0,>=2.9"}, "pgsql"),
    Case("poetry2.toml", PROJECT + "dependencies = ['requests (>=2.13,<3)']\n[tool.poetry.dependencies]\nrequests = {source = "
         "'private'}\n[[tool.poetry.source]]\nname = 'private'\nurl = 'https://p/simple'\npriority = 'explicit'\n",
         "pyproject.toml", {"pypi:requests<3,>=2.13"}),
    Case("poetrys.toml", "[tool.poetry]\n[tool.poetry.dependencies]\nmy = {git = 'https://h/my.git', subdirectory = 'py', "
         "tag = '1'}\nl = {path = '../l/', develop = false}\nt = {file = 'd/t-1.tar.gz'}\n", "pyproject.toml",
         {"my @ git+https://h/my.git@1#subdirectory=py", "l @ ../l", "t @ ./d/t-1.tar.gz"}),
    Case("pdm.toml", PROJECT + "dependencies = ['a']\n[tool.pdm.dev-dependencies]\ntest = ['pytest']\n", "pyproject.toml",
         {"a"}, notes=("tool.pdm.dev-dependencies",)),
    Case("hatch.toml", PROJECT + "dependencies = ['a']\n[tool.hatch.envs.default]\ndependencies = ['b']\n", "pyproject.toml",
         {"a"}, notes=("tool.hatch.envs",)),
    Case("pixip.toml", PROJECT + "dependencies = ['a']\n[tool.pixi.workspace]\nchannels = ['conda-forge']\nplatforms = "
         "['linux-64']\n[tool.pixi.dependencies]\nnumpy = '>=1'\n[tool.pixi.feature.test.dependencies]\npytest = '*'\n"
         "[tool.pixi.environments]\ntest = ['test']\n", "pyproject.toml", {"a", "conda:numpy[version='>=1']", "conda:pytest"},
         "test"),
]  # fmt: skip

WORKSPACE = "[workspace]\nchannels = ['conda-forge']\nplatforms = ['linux-64']\n"
PIXI = [
    Case("pixi.toml", WORKSPACE + "[dependencies]\npython = '3.11.*'\npkg = {version = '>=1', channel = 'c', build = 'h*'}\n",
         "pixi.toml", {"conda:python[version='3.11.*']", "conda:c::pkg[version='>=1', build='h*']"}),
    Case("old.toml", "[project]\nname = 'o'\nchannels = ['c']\nplatforms = ['linux-64']\n[dependencies]\na = '1.2'\n",
         "dataloader.toml", {"conda:a[version='1.2']"}),
    Case("pixi.toml", WORKSPACE + "[pypi-dependencies]\nflask = {version = '==3', extras = ['async']}\nx = {git = 'https://h/x', "
         "branch = 'main'}\ny = {path = './y', editable = true}\nz = {url = 'https://h/z-1-py3-none-any.whl'}\n", "pixi.toml",
         {"flask[async]==3", "x @ git+https://h/x@main", "y @ ./y", "pypi:z @ https://h/z-1-py3-none-any.whl"}),
    Case("pixi.toml", WORKSPACE + "[dependencies]\na = '*'\n[feature.cuda.dependencies]\nb = '*'\n[feature.cuda.target.linux-64."
         "dependencies]\nc = '1'\n[feature.test.pypi-dependencies]\nd = '*'\n[environments]\ncuda = ['cuda']\ntest = {features = "
         "['cuda', 'test'], solve-group = 'g', no-default-feature = true}\n", "pixi.toml",
         {"conda:b", "conda:c[version='1']", "d"}, "test", notes=()),
    Case("pixi.toml", WORKSPACE + "[target.linux-64.dependencies]\na = '2'\n[target.win.dependencies]\nb = '*'\n[dependencies]\n"
         "a = '1'\n", "pixi.toml", {"conda:a[version='2']"}),
    Case("pixi.toml", WORKSPACE + "[pypi-options]\nindex-url = 'https://i'\ndependency-overrides = {numpy = '>=2'}\n"
         "[pypi-dependencies]\na = '*'\n", "pixi.toml", {"a"}),
    Case("pixi.toml", WORKSPACE + "[system-requirements]\ncuda = '12'\nlibc = {family = 'glibc', version = '2.28'}\n[tasks]\n"
         "t = 'echo'\n[activation]\nenv = {A = '1'}\nscripts = ['a.sh']\n", "pixi.toml", set()),
    Case("dataloader.toml", "[workspace]\nchannels = []\n[stack]\ncuda = '12.1'\n[pypi-dependencies]\na = [{version = '<2', "
         "env-markers = \"python_version < '3.10'\"}, {version = '>=2', env-markers = \"python_version >= '3.10'\"}]\n",
         "dataloader.toml", {'a<2 ; python_version < "3.10"', 'a>=2 ; python_version >= "3.10"'}),
]  # fmt: skip

WHEEL = f'{{url = "https://h/a-1.0-py3-none-any.whl", hash = "sha256:{H1}", size = 1}}'
LOCKS = [
    Case("pylock.toml", 'lock-version = "1.0"\ncreated-by = "x"\nrequires-python = ">=3.8"\n[[packages]]\nname = "a"\n'
         f'version = "1.0"\nindex = "https://pypi.org/simple"\nwheels = [{{url = "https://h/a-1.0-py3-none-any.whl", hashes = '
         f'{{sha256 = "{H1}"}}}}]\n[[packages]]\nname = "b"\nversion = "2"\nmarker = "sys_platform == \'win32\'"\n'
         f'sdist = {{url = "https://h/b-2.tar.gz", hashes = {{sha256 = "{H2}"}}}}\n', "pylock.toml", {"pypi:a==1.0"}),
    Case("pylock.x.toml", 'lock-version = "1.0"\ncreated-by = "x"\nextras = ["e"]\ndefault-groups = ["d"]\n'
         'dependency-groups = ["d"]\n[[packages]]\nname = "a"\nversion = "1.0"\nmarker = "\'d\' in dependency_groups"\n'
         f'wheels = [{{name = "a-1.0-py3-none-any.whl", path = "w/a-1.0-py3-none-any.whl", hashes = {{sha256 = "{H1}"}}}}]\n'
         f'[[packages]]\nname = "b"\nversion = "1.0"\nmarker = "\'e\' in extras"\narchive = {{url = '
         f'"https://h/b-1.0-py3-none-any.whl", hashes = {{sha256 = "{H1}"}}}}\n', "pylock.toml", {"pypi:a @ ./w/a-1.0-py3-none-any.whl"}),
    Case("uv.lock", 'version = 1\nrevision = 3\nrequires-python = ">=3.8"\n[[package]]\nname = "a"\nversion = "1.0"\nsource = '
         f'{{registry = "https://pypi.org/simple"}}\nwheels = [{WHEEL}]\n[[package]]\nname = "ours"\nversion = "0"\nsource = '
         '{virtual = "."}\ndependencies = [{name = "a"}, {name = "w", marker = "sys_platform == \'win32\'"}]\n[[package]]\n'
         'name = "w"\nversion = "1"\nsource = {registry = "https://pypi.org/simple"}\n', "uv.lock", {"pypi:a==1.0"}),
    Case("u", 'version = 1\nrevision = 1\nrequires-python = ">=3.8"\n[[package]]\nname = "ours"\nversion = "0"\nsource = {editable'
         ' = "."}\ndependencies = [{name = "a", version = "1.0", source = {registry = "https://i"}, marker = "extra != '
         '\'extra-4-ours-x\'"}]\n[package.optional-dependencies]\nx = [{name = "a", version = "2.0"}]\n[[package]]\nname = "a"\n'
         f'version = "1.0"\nsource = {{registry = "https://i"}}\nwheels = [{WHEEL}]\n[[package]]\nname = "a"\nversion = "2.0"\n'
         'source = {registry = "https://j"}\n', "uv.lock", {"pypi:a==1.0"}, notes=("ours is left out",)),
    Case("poetry.lock", f'[[package]]\nname = "A"\nversion = "1.0"\noptional = false\ngroups = ["main"]\nfiles = [{{file = '
         f'"a-1.0-py3-none-any.whl", hash = "sha256:{H1}"}}]\n[metadata]\nlock-version = "2.1"\npython-versions = "^3.8"\n'
         'content-hash = "x"\n', "poetry.lock", {"pypi:a==1.0"}),
    Case("poetry-1.lock", '[[package]]\nname = "a"\nversion = "1.0"\ncategory = "main"\noptional = false\npython-versions = "*"\n'
         '[package.dependencies]\nb = {version = "*", markers = "sys_platform == \\"win32\\""}\n[[package]]\nname = "b"\nversion = '
         '"1.0"\ncategory = "main"\noptional = false\npython-versions = "*"\n[metadata]\nlock-version = "1.1"\npython-versions = '
         f'"^3.8"\ncontent-hash = "x"\n[metadata.files]\na = [{{file = "a-1.0-py3-none-any.whl", hash = "sha256:{H1}"}}]\n'
         f'b = [{{file = "b-1.0-py3-none-any.whl", hash = "sha256:{H1}"}}]\n', "poetry.lock", {"pypi:a==1.0"}),
    Case("conda-lock.yml", "version: 1\nmetadata: {}\npackage:\n- {name: a, version: '1', manager: conda, platform: linux-64, "
         f"dependencies: {{}}, url: 'https://c/noarch/a-1-h0_0.conda', hash: {{sha256: {H1}}}, category: main, optional: false}}\n"
         f"- {{name: b, version: '1', manager: pip, platform: linux-64, dependencies: {{}}, url: '{W.replace('demo', 'b')}', "
         f"hash: {{sha256: {H2}}}, category: dev, optional: true}}\n- {{name: w, version: '1', manager: conda, platform: win-64, "
         "dependencies: {}, url: 'https://c/win-64/w-1-0.conda', hash: {}, category: main, optional: false}\n",
         "conda-lock.yml", {f"conda:a[version='==1', build='h0_0', sha256='{H1}']", "pypi:b==1"}),
]  # fmt: skip


def pixi(version: int) -> Case:
    """The same lock in each of pixi's formats."""
    conda, wheel = "https://c.example/main/noarch/a-1.0-h0_0.conda", "https://h/b-2.0-py3-none-any.whl"
    head = f"version: {version}\n"
    platform = "linux-64"
    if version == 7:
        head += "platforms:\n- name: linux-64\n"
    head += "environments:\n  default:\n    channels:\n    - url: https://c.example/main/\n    packages:\n"
    head += f"      {platform}:\n      - conda: {conda}\n      - pypi: {wheel}\npackages:\n"
    if version < 6:
        head += f"- kind: conda\n  name: a\n  version: '1.0'\n  build: h0_0\n  subdir: noarch\n  url: {conda}\n  sha256: {H1}\n"
        head += f"- kind: pypi\n  name: b\n  version: '2.0'\n  url: {wheel}\n  sha256: {H2}\n"
    else:
        head += f"- conda: {conda}\n  sha256: {H1}\n- pypi: {wheel}\n  name: b\n  version: '2.0'\n  sha256: {H2}\n"
    asked = {f"conda:a[version='==1.0', build='h0_0', sha256='{H1}']", "pypi:b==2.0"}
    return Case("pixi.lock", head, "pixi.lock", asked)


CASES = [*REQUIREMENTS, *ENVIRONMENT, *LISTS, *PROJECTS, *PIXI, *LOCKS, *map(pixi, (4, 5, 6, 7))]


def test_there_are_many() -> None:
    assert len(CASES) >= 60


def told(text: str, folder: Path) -> str:
    """A requirement, with places below the folder as they were written."""
    up = str(folder.parent)
    text = (
        text.replace("@ file:///", "@ /")
        .replace(f"@ {folder}/", "@ ./")
        .replace(f"@ {up}/{folder.name}", "@ .")
        .replace(f"@ {up}/", "@ ../")
    )
    return text.replace(f"{folder.name} @", "HERE @")


@pytest.mark.parametrize("case", CASES, ids=[f"{at}-{case.form}-{case.name}" for at, case in enumerate(CASES)])
def test_a_file_is_told_by_what_it_holds_and_read(case: Case, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    for name, text in case.beside.items():
        (folder / name).write_text(text)
    data: bytes = case.text if isinstance(case.text, bytes) else str(case.text).encode()
    path = folder / case.name
    path.write_bytes(data)

    assert read_content(path).form == case.form
    found = read_file(path, environ=ENVIRON, platform="linux-64")

    if isinstance(found, Manifest):
        requirements, notes = found.environment(case.environment).requirements, (*found.notes, *found.unused)
    else:
        assert isinstance(found, InputFile)
        requirements, notes = found.requirements, found.notes
    assert {told(str(one), folder) for one in requirements} == case.asked
    assert len(notes) >= len(case.notes)
    assert [word for word in case.notes if not any(word in note for note in notes)] == []
    if not case.notes and case.form != "pixi.toml":
        assert notes == ()


UNKNOWN = {
    "Pipfile": ("[[source]]\nurl = 'https://i'\n[packages]\na = '*'\n", "Pipfile"),
    "Pipfile.lock": ('{"_meta": {}, "default": {}, "develop": {}}', "Pipfile.lock"),
    "pdm.lock": ("[metadata]\nstrategy = []\ncontent_hash = 'x'\n[[package]]\nname = 'a'\n", "pdm.lock"),
    "meta.yaml": ("package: {name: a}\nrequirements: {run: [b]}\n", "conda recipe"),
    "setup.py": ("from setuptools import setup\n\nsetup(\n    name='x',\n    install_requires=['a'],\n)\n", "Python"),
    "setup.cfg": ("[metadata]\nname = x\n[options]\ninstall_requires =\n    a\n", "setup.cfg"),
    "data.yml": ("foo: 1\nbar: 2\n", "keys bar, foo"),
    "binary": (b"\x7fELF\0\0\0", "not text"),
    "page.html": ("<!DOCTYPE html>\n" + "<p>\n" * 500, "web page"),
    "poem.txt": ("the woods are lovely\n" * 500, "of its 500 lines"),
    "uv.lock": ("version = 1\n[[package]]\nname = a\n", "not TOML any more (Invalid"),
    "pixi.lock": ("version: 6\n<<<<<<< ours\na: 1\n=======\na: 2\n>>>>>>> theirs\n", "line 2 is the mark of a merge"),
    "requirements.txt": ("a\n||||||| base\nb\n", "line 2 is the mark of a merge"),
    "pip.txt": ("Package    Version\n---------- -------\nnumpy      1.26.4\n", "list of pip's"),
    "mamba.txt": ("List of packages\n\n  Name  Version  Build  Channel\n----\n  a  1  h0  c\n", "mamba's"),
    "facts.json": ('{"numbers": [1], "other": 2}', "keys numbers, other"),
    "list.json": ('[{"name": "numpy", "version": "1"}]', "list in JSON"),
    "unified.yml": ("a:\n" * 2 + "- {: broken\n" + "x\n" * 13_950, "YAML"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_read_is_named_in_one_line(name: str, tmp_path: Path) -> None:
    data, word = UNKNOWN[name]
    (tmp_path / name).write_bytes(data if isinstance(data, bytes) else str(data).encode())

    with pytest.raises(DataloaderError) as caught:
        read_file(tmp_path / name, environ={})

    assert word in caught.value.message
    assert len(caught.value.causes) <= 1
    assert "\n" not in caught.value.message


def test_a_variable_that_is_not_set_is_named(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text("numpy==${VERSION}\nscipy\n")

    with pytest.raises(DataloaderError) as caught:
        read_file(tmp_path / "r.txt", environ={})

    (cause,) = caught.value.causes
    assert cause.endswith("r.txt:1: 'numpy==${VERSION}' is not a requirement; the variable VERSION is not set")
    assert read_file(tmp_path / "r.txt", environ={"VERSION": "1.0"})
