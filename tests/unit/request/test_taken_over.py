"""What is written into a manifest of a requirements file is solved for as the file itself is: new, or added to one."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from dataloader.cli.line.options import CommonOptions
from dataloader.locking.asking import requirements_of
from dataloader.request.manifests.additions import joined, of_files
from dataloader.request.manifests.edit import add_to_manifest
from dataloader.request.manifests.new import new_manifest
from dataloader.request.readers.requirements_txt import read_requirements
from dataloader.request.request import Request, make_request
from dataloader.request.specs.joined import together

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
