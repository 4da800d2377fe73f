"""`.ci/Containerfile` builds, and what it builds runs as nobody in particular with a read-only root."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDED = ("buildah", "bwrap", "setpriv", "ldd")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.getuid() != 0, reason="buildah without a runtime needs root"),
    *(pytest.mark.skipif(not shutil.which(tool), reason=f"{tool} is not installed") for tool in NEEDED),
]


def libraries_of(program: Path) -> set[Path]:
    done = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    return {Path(word) for word in done.stdout.split() if word.startswith("/")}


def make_base(root: Path) -> None:
    """This machine's Python, a shell, and what both need: what a base image has."""
    prefix, version = Path(sys.base_prefix), "python{}.{}".format(*sys.version_info[:2])
    python = root / str(prefix).lstrip("/")  # its libraries are found by this path
    left_out = shutil.ignore_patterns("site-packages", "test", "tests", "__pycache__", "*.a", "tkinter", "idlelib")
    shutil.copytree(prefix, python, symlinks=True, ignore=left_out, ignore_dangling_symlinks=True)
    (python / "lib" / version / "site-packages").mkdir()
    programs = [Path(shutil.which(name) or name).resolve() for name in ("sh", "ln", "env")]
    needed = {
        library
        for path in [*programs, *python.rglob("*.so*"), python / "bin" / version]
        for library in libraries_of(path)
    }
    for library in needed:
        if library.exists() and not library.is_relative_to(prefix):
            target = root / str(library).lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, target)
    for folder in ("tmp", "bin", "usr/local/bin", "usr/bin", "etc", "proc", "dev", "sys", "run"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for program in programs:
        shutil.copy(program, root / "bin" / program.name)
    (root / "bin/sh").unlink(missing_ok=True)
    (root / "bin/sh").symlink_to(programs[0].name)
    (root / "usr/local/bin/python3").symlink_to(prefix / "bin" / version)
    for inner in (root, *(path for path in root.rglob("*") if path.is_dir() and not path.is_symlink())):
        inner.chmod(0o755)


def test_our_image_builds_and_runs_read_only(tmp_path: Path) -> None:
    context = tmp_path / "context"
    (context / "dist").mkdir(parents=True)
    dist = str(context / "dist")
    build = [sys.executable, "-m", "build", "--wheel", "--installer=uv", "-o", dist, str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    wheel = next((context / "dist").glob("dataloader_env-*.whl"))
    wheels = ["uvx", "--from", "pip", "pip", "download", "-q", "-d", dist, str(wheel)]
    if subprocess.run(wheels, capture_output=True, check=False).returncode:
        pytest.skip("no index serves what the program needs")
    base = tmp_path / "base"
    make_base(base)
    (base / "Containerfile").write_text("FROM scratch\nCOPY . /\n")
    storage = ["--storage-driver", "vfs", "--root", str(tmp_path / "storage"), "--runroot", str(tmp_path / "run")]

    def buildah(*words: str | Path) -> str:
        done = subprocess.run(["buildah", *storage, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    buildah("bud", "-q", "-t", "localhost/base", base)
    buildah(
        *("bud", "-q", "--isolation", "chroot", "--build-arg", "BASE=localhost/base"),
        *("--build-arg", "PIP_OPTIONS=--no-index", "-f", ROOT / ".ci/Containerfile", "-t", "localhost/dataloader"),
        context,
    )
    config = json.loads(buildah("inspect", "--type", "image", "localhost/dataloader"))["OCIv1"]["config"]
    assert (config["User"], config["Entrypoint"]) == ("65532:65532", ["dataloader"])
    root = buildah("mount", buildah("from", "localhost/dataloader"))
    for above in (Path(root), *Path(root).parents[:-2]):
        above.chmod(0o755)
    box = ["bwrap", "--ro-bind", root, "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
    box += ["--chmod", "1777", "/tmp", "--clearenv"]
    box += [word for line in config["Env"] for word in ("--setenv", *line.split("=", 1))]
    box += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--chdir", "/tmp"]

    def run(*words: str) -> str:
        drop = [shutil.which("setpriv") or "", "--reuid=65532", "--regid=65532", "--clear-groups"]
        copied = Path(root, "usr/bin/setpriv")
        shutil.copy(drop[0], copied)
        for library in libraries_of(copied):
            if not Path(root, str(library).lstrip("/")).exists():
                shutil.copy(library, Path(root, str(library).lstrip("/")))
        done = subprocess.run(
            [*box, "/usr/bin/setpriv", *drop[1:], *words], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("/usr/local/bin/dataloader", "--version").startswith("dataloader ")
    assert "linux-64" in run("/usr/local/bin/dataloader", "info", "--json")
    assert "--mount-path" in run("/usr/local/bin/data-loader", "--help")
    assert "There is no lockfile" in run("/usr/local/bin/dataloader", "help", "lockfile-missing")
