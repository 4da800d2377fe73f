"""What is written into a manifest of another file is solved for as the file itself is: new, or added to one."""

from __future__ import annotations

import json
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from dataloader.cli.app import main
from dataloader.cli.line.options import CommonOptions
from dataloader.locking.asking import requirements_of
from dataloader.request.manifests.additions import joined, of_files
from dataloader.request.manifests.edit import add_to_manifest
from dataloader.request.manifests.new import new_manifest
from dataloader.request.readers.requirements_txt import read_requirements
from dataloader.request.request import Request, make_request
from dataloader.request.specs.joined import together
from tests.helpers.examples import examples

PIP = {"PIP_CONFIG_FILE": "/dev/null"}
CLAUSES = ("", ">=1", "<2", ">=1.0,<3", "!=1.1", "==1.*", "==2.0", "~=1.1", "===2.0", "<=2.1.3", ">1.0", "!=2.*")
MARKERS = ("", "", "", " ; python_version >= '3'", " ; os_name == 'nt'", " ; sys_platform == 'linux'")
HASH = f" --hash=sha256:{'0' * 64}"
OPTIONS = (
    "--pre",
    "--index-url https://example.org/simple",
    "--extra-index-url https://example.org/more",
    "--find-links https://example.org/links",
    "--no-binary aa",
    "--no-binary :all:",
    "--only-binary bb",
    "--no-index",
)


@st.composite
def files(draw: st.DrawFn) -> dict[str, str]:
    """A requirements file, one that it names, and limits."""
    requirement = st.builds(
        lambda name, extras, clause, marker, digest: (
            f"{name}{extras}{clause}{marker}{digest if clause[:2] == '==' else ''}"
        ),
        st.sampled_from(("aa", "Bb", "c.c")),
        st.sampled_from(("", "", "[x]", "[y,x]")),
        st.sampled_from(CLAUSES),
        st.sampled_from(MARKERS),
        st.sampled_from(("", "", HASH)),
    )
    limit = st.builds(lambda name, clause: f"{name}{clause}", st.sampled_from(("aa", "dd")), st.sampled_from(CLAUSES))
    lines = draw(st.lists(st.one_of(requirement, st.sampled_from(OPTIONS)), min_size=1, max_size=6))
    if "--no-binary aa" in lines or "--no-binary :all:" in lines:
        lines = [line for line in lines if not line.startswith("--only")]
    order = draw(st.permutations([*lines, "-r more.txt", "-c limits.txt"]))
    return {
        "asked.txt": "\n".join(order),
        "more.txt": "\n".join(draw(st.lists(requirement, max_size=2))),
        "limits.txt": "\n".join(draw(st.lists(limit, max_size=2))),
    }


def canonical(request: Request) -> dict[str, object]:
    """All that a lock of it is made from, clauses in order; less what only an environment without a manifest keeps."""
    asked = sorted(
        (r.name, *sorted(filter(None, r.specifier.split(","))), *r.extras, r.marker, r.constraint, r.only_pypi)
        for r in requirements_of(request)
    )
    hashes = sorted((r.name, r.hashes) for r in together(request.pypi) if r.hashes)
    rest = {key: value for key, value in request.inputs().items() if key not in ("channels", "requirements", "sources")}
    return {"asked": asked, "hashes": hashes, "links": request.settings.find_links, **rest}


@settings(max_examples=60)
@given(files())
def test_a_file_that_is_taken_over_asks_the_same(texts: dict[str, str]) -> None:
    with TemporaryDirectory() as source, TemporaryDirectory() as new, TemporaryDirectory() as old:
        for name, text in texts.items():
            Path(source, name).write_text(text + "\n")
        path = Path(source, "asked.txt")
        options = CommonOptions(requirements=(path,), conda="never")
        direct = canonical(make_request(options, (), None, environ=PIP, here=Path(source)))
        read = read_requirements(path)

        text = new_manifest(name="n", channels=(), platform="linux-64", inputs=[read])
        Path(new, "dataloader.toml").write_text(text)
        saved = make_request(CommonOptions(conda="never"), (), None, environ=PIP, here=Path(new))
        assert canonical(saved) == direct, text

        manifest = Path(old, "dataloader.toml")
        added = add_to_manifest('[pypi-dependencies]\naa = "<9"\n', manifest, of_files([read]))
        if "aa" not in {r.name for r in joined(read.requirements)}:
            added = added.replace('aa = "<9"\n', "")
        manifest.write_text(added)
        kept = make_request(CommonOptions(conda="never"), (), None, environ=PIP, here=Path(old))
        assert canonical(kept) == direct, added


CONDA = ("{}", "{} >=1.0,<3", "{}=1.2", "{} 1.0 py*", "other::{}", "{}[version='>=2',build='h*']")
CARETS = ("*", "^1.2", "~1.4", ">=1,<3", "1.2.*", "==2.0")


@st.composite
def projects(draw: st.DrawFn) -> tuple[str, str]:
    """A file of a format with tables, and its name."""
    clause = st.sampled_from([clause for clause in CLAUSES if "===" not in clause])
    wheels = {name: draw(clause) for name in draw(st.sets(st.sampled_from(("aa", "bb", "cc"))))}
    marked = {name: draw(st.sampled_from(MARKERS)) for name in wheels}
    lines = [f"{name}{said}{marked[name]}" for name, said in wheels.items()]
    form = draw(st.sampled_from(("environment.yml", "PEP 621", "uv", "Poetry", "pixi")))
    if form == "environment.yml":
        specs = [draw(st.sampled_from(CONDA)).format(name) for name in draw(st.sets(st.sampled_from(("xx", "yy"))))]
        variables = draw(st.sampled_from(({}, {"ONE": "1", "TWO": "b c"})))
        dependencies: list[object] = ["python >=3.10", *specs, *([{"pip": lines}] if lines else [])]
        return form, json.dumps({"channels": ["one", "two"], "dependencies": dependencies, "variables": variables})
    if form in ("PEP 621", "uv"):
        table = {"name": "x", "version": "1", "dependencies": lines}
        table |= draw(st.sampled_from(({}, {"requires-python": ">=3.10"})))
        table["optional-dependencies"] = draw(st.sampled_from(({}, {"more": ["dd>1"]})))
        document: dict[str, object] = {"project": table}
        if form == "uv":
            uv: dict[str, object] = draw(
                st.fixed_dictionaries(
                    {},
                    optional={
                        "constraint-dependencies": st.just(["ee<5"]),
                        "override-dependencies": st.just(["ff==1"]),
                        "prerelease": st.just("allow"),
                        "exclude-newer": st.just("2024-01-31T00:00:00Z"),
                        "no-binary-package": st.just(["aa"]),
                        "index": st.just([{"name": "i", "url": "https://example.org/more", "default": True}]),
                    },
                )
            )
            document["tool"] = {"uv": uv}
        return "pyproject.toml", tomlkit.dumps(document)
    if form == "Poetry":
        asked = {name: draw(st.sampled_from(CARETS)) for name in wheels}
        poetry = {
            "name": "x",
            "dependencies": {"python": "^3.10", **asked},
            "group": {"dev": {"dependencies": {"dd": "*"}}},
        }
        return "pyproject.toml", tomlkit.dumps({"tool": {"poetry": poetry}})
    workspace = {"name": "x", "channels": ["one", "two"], "platforms": ["linux-64"]}
    tables: dict[str, object] = draw(
        st.fixed_dictionaries(
            {"workspace": st.just(workspace)},
            optional={
                "dependencies": st.just(
                    {"python": ">=3.10", "xx": {"version": "1.*", "build": "h*", "channel": "two"}}
                ),
                "pypi-options": st.just({"index-url": "https://example.org/simple", "no-binary": ["aa"]}),
                "constraints": st.just({"openssl": "<3"}),
                "activation": st.just({"env": {"ONE": "1"}}),
                "system-requirements": st.just({"libc": "2.28", "cuda": "12"}),
                "feature": st.just({"more": {"dependencies": {"yy": ">2"}}}),
                "environments": st.just({"more": []}),
            },
        )
    )
    tables["pypi-dependencies"] = {name: said or "*" for name, said in wheels.items()}
    return "pixi.toml", tomlkit.dumps(tables)


def everything(request: Request) -> dict[str, object]:
    """All that a lock of it is made from, of both worlds."""
    asked = sorted((r.name, r.marker or "", *sorted(filter(None, r.specifier.split(",")))) for r in request.pypi)
    left = ("requirements", "conda", "sources", "project", "stack")
    rest = {key: value for key, value in request.inputs().items() if key not in left}
    python = [*(r.version for r in request.conda if r.name == "python"), request.stack.get("python")]
    return {
        "asked": asked,
        # A project's file says it of the stack, a manifest among conda packages, where other tools read it too.
        "python": sorted(clause for said in python for clause in (said or "").split(",") if clause),
        "conda": sorted(r.match_spec for r in request.conda if r.name != "python"),
        "limits": sorted(str(r) for r in (*request.limits, *request.constraints)),
        "overrides": sorted(map(str, request.overrides)),
        "variables": dict(request.variables),
        "stack": {axis: said for axis, said in request.stack.items() if axis != "python"},
        "channels": request.channels,
        "index": (request.settings.index_url, request.settings.extra_index_urls, dict(request.settings.index_for)),
        **rest,
    }


@settings(max_examples=examples(60), deadline=None)
@given(projects())
def test_a_project_that_is_taken_over_asks_the_same(project: tuple[str, str]) -> None:
    with TemporaryDirectory() as source, TemporaryDirectory() as new:
        name, text = project
        path = Path(source, name)
        path.write_text(text)
        itself = CommonOptions(files=(path,)) if name == "environment.yml" else CommonOptions(manifest=path)
        direct = make_request(itself, (), None, environ=PIP, here=Path(new))
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            assert main(["init", new, "--from", str(path)]) == 0
        saved = make_request(CommonOptions(), (), None, environ=PIP, here=Path(new))

        assert everything(saved) == everything(direct), Path(new, "dataloader.toml").read_text()
        if name != "environment.yml":
            listed = make_request(
                CommonOptions(requirements=(path,)), (), None, environ=PIP, here=Path(source, "other")
            )
            less = {key for key, value in everything(direct).items() if everything(listed)[key] != value}
            assert not less or any("is not taken over from a file named with -r" in note for note in listed.notes), less
