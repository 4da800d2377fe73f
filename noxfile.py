"""The development manual: every check of this project by name. ``nox -l`` lists them; CI runs ``.ci/run``."""

from __future__ import annotations

import os

import nox

nox.options.sessions = ["lint", "types", "tests"]
nox.options.reuse_existing_virtualenvs = True
nox.needs_version = ">=2024.10"

PYTHONS = ["3.10", "3.11", "3.12", "3.13"]


def install(session: nox.Session) -> None:
    """The package, editable, and what development needs."""
    session.install("-e", ".", *nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "dev"))


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """What a developer runs all day: all but the slow ones, which .ci/run has too. Marked pypi: skipped offline."""
    install(session)
    session.run("pytest", "-m", "not e2e and not slow", "-n", "3", *session.posargs)


@nox.session
def e2e(session: nox.Session) -> None:
    """Large end-to-end runs: gigabytes of downloads, minutes."""
    install(session)
    session.run("pytest", "-m", "e2e", *session.posargs)


@nox.session
def judges(session: nox.Session) -> None:
    """What export writes, read by conda-lock and Poetry too: 150 MB, each in an environment of its own."""
    install(session)
    beside = f"{session.virtualenv.location}/judges"
    for judge in ("conda-lock", "poetry>=2"):  # together they are conda-lock and a Poetry of 2018
        where = f"{beside}/{judge.partition('>')[0]}"
        session.run("uv", "venv", "-q", "--clear", where, external=True)
        session.run("uv", "pip", "install", "-q", "--python", where, judge, external=True)
    path = f"{session.bin}:{beside}/conda-lock/bin:{beside}/poetry/bin:{os.environ['PATH']}"
    session.run("pytest", "tests/functional/test_export.py", *session.posargs, env={"PATH": path})


@nox.session
def builds(session: nox.Session) -> None:
    """Ten real sources of PyPI, one of each kind of backend, beside uv; an extension against torch's headers."""
    install(session)
    session.run("pytest", "-m", "e2e", "tests/e2e_builds", *session.posargs)


@nox.session
def reliability(session: nox.Session) -> None:
    """Kills, prunes, containers, full volumes, damage, by chance: ``-- --minutes 15``. Figures at the end."""
    install(session)
    session.run("python", "-m", "tests.reliability", *session.posargs)


@nox.session
def clients(session: nox.Session) -> None:
    """`cache serve` is killed while 50 peers fetch from it: nobody fails."""
    install(session)
    session.run("pytest", "tests/functional/test_cache_serve.py", "-k", "killed_while", env={"CLIENTS": "50"})


@nox.session
def worlds(session: nox.Session) -> None:
    """What holds over generated worlds, other ones each time: ``-- 1000 --hypothesis-seed=2`` of each property."""
    install(session)
    tests = ("tests/unit/locking/test_worlds.py", "tests/unit/locking/test_mixed_worlds.py")
    count, *more = session.posargs or ["300"]
    session.run("pytest", "-n", "3", *tests, *more, env={"WORLDS": count})


@nox.session
def platforms(session: nox.Session) -> None:
    """Real projects of PyPI locked for three platforms, each part beside a lock for it alone and beside uv."""
    install(session)
    session.install("uv")
    session.run("pytest", "tests/scenarios/test_platforms_beside_uv.py", *session.posargs, env={"PROJECTS": "all"})


@nox.session
def properties(session: nox.Session) -> None:
    """What holds whatever bytes, names and requests are thrown at it, with 1,000 examples of each: ``-- 5000``."""
    install(session)
    tests = (
        "tests/functional/test_verify_hostile.py",
        "tests/unit/install/test_holdings.py",
        "tests/unit/install/test_bounds.py",
        "tests/unit/request/test_joined.py",
    )
    session.run("pytest", "-n", "3", *tests, env={"EXAMPLES": session.posargs[0] if session.posargs else "1000"})


@nox.session
def packse(session: nox.Session) -> None:
    """packse's scenarios answered beside uv, and those that do not apply with the reason: ``-- DIR``, its scenarios."""
    install(session)
    session.install("uv")
    session.run("python", "-m", "tests.packse", *session.posargs)


@nox.session
def scenarios(session: nox.Session) -> None:
    """The mixed scenarios as any tool is asked them, by the command: ``-- NAME``; tests/scenarios/resolve/README.md."""
    install(session)
    session.run(
        "python",
        "-m",
        "tests.scenarios.runner",
        "--tool",
        "python -m tests.scenarios.tools dataloader",
        *session.posargs,
    )


@nox.session
def edits(session: nox.Session) -> None:
    """200 random edits of real projects, each move of a locked package judged: ``-- --edits 50 --seed 2``."""
    install(session)
    session.run("python", "-m", "tests.edits", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Rules and format (ruff), which way imports run (import-linter), what is imported is declared (deptry)."""
    install(session)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports", "--no-logo")
    session.run("deptry", ".")


@nox.session
def types(session: nox.Session) -> None:
    """mypy, strict."""
    install(session)
    session.run("mypy")


@nox.session
def docs(session: nox.Session) -> None:
    """The site, built strictly into build/site, and the pages' promises: error codes, commands, examples."""
    install(session)
    session.install(*nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "docs"))
    session.run("python", "-m", "tools.site", "build/site")
    tests = ("tests/unit/test_docs.py", "tests/unit/cli/test_commands_named.py", "tests/functional/test_pages_run.py")
    session.run("pytest", *tests, *session.posargs)


@nox.session
def powershell(session: nox.Session) -> None:
    """What is written for PowerShell, by a grammar of it: 190 MB."""
    install(session)
    session.install("tree-sitter-language-pack>=0.13,<1")  # later ones fetch their grammars from elsewhere
    session.run("pytest", "tests/functional/test_powershell.py", *session.posargs)


@nox.session
def sessions(session: nox.Session) -> None:
    """Every verb at a terminal of 80 and of 100 columns, typed again: docs/sessions."""
    install(session)
    session.install("pyte>=0.8.2")
    session.run("python", "-m", "tests.sessions", *session.posargs)


@nox.session
def matrix(session: nox.Session) -> None:
    """The compatibility matrix: each build planned where it fits and refused where it does not; what is stale."""
    install(session)
    session.run("python", "tools/matrix.py", *(session.posargs or ["coverage", "stale", "missing"]))


@nox.session
def bench(session: nox.Session) -> None:
    """Side by side with uv, medians of one run."""
    install(session)
    session.install("uv")
    session.run("python", "-m", "tests.bench", *session.posargs)


@nox.session
def demo(session: nox.Session) -> None:
    """The main job, as a new user types it: a CUDA environment of torch, installed, verified and run."""
    install(session)
    prefix = session.posargs[0] if session.posargs else f"{session.create_tmp()}/env"
    requirements = ["--cuda=12.1", "--torch=2.1.0", "transformers==4.36.0", "accelerate==0.25.0"]
    session.run("dataloader", "install", *requirements, "-p", prefix)
    session.run("dataloader", "verify", "-p", prefix)
    program = "import torch; print(torch.__version__, torch.version.cuda, torch.ones(2).numpy())"
    session.run("dataloader", "run", "-p", prefix, "--", "python", "-c", program)
