"""Requirements files read as pip reads them: pip itself, over the same directory of wheels, is the judge."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.command import run_command
from tests.helpers.wheels import make_wheel

FILES = {
    "two lines": "demo<2\ndemo\n",
    "three that only meet in one": "demo>=1.0\ndemo<3\ndemo!=2.0\n",
    "extras on two lines": "fancy[one]\nfancy[two]\n",
    "a pin and an extra": "fancy==1.0\nfancy[one]\n",
    "markers that exclude each other": "demo==1.0 ; python_version < '3'\ndemo==2.0 ; python_version >= '3'\n",
    "a wheel by url with a marker": "{shelf}/demo-1.0-py3-none-any.whl ; sys_platform == 'linux'\n",
    "a wheel by path with an extra": "./fancy-1.0-py3-none-any.whl[one]\n",
    "version control for another system": "demo\nother @ git+https://example.org/o.git ; sys_platform == 'win32'\n",
    "a file that is not there, for another system": "demo\n./no-1-py3-none-any.whl ; sys_platform == 'win32'\n",
    "hashes by marker": "demo==1.0 ; python_version < '3' --hash=sha256:{other}\n"
    "demo==2.0 ; python_version >= '3' --hash=sha256:{demo}\n",
    "all hashed": "--require-hashes\ndemo==2.0 --hash=sha256:{demo}\n",
    "a constraint twice": "-c limits.txt\ndemo\ndemo>=1\n",
    # what pip refuses
    "a contradiction": "demo<2\ndemo>2\n",
    "hashes required and one missing": "--require-hashes\ndemo==2.0 --hash=sha256:{demo}\nfancy==1.0\n",
    "hashes required and no pin": "--require-hashes\ndemo --hash=sha256:{demo}\n",
    "hashes required of what others need": "--require-hashes\nneedy==1.0 --hash=sha256:{needy}\n",
    "a wrong hash": "demo==2.0 --hash=sha256:{other}\n",
    "version control for this system": "other @ git+https://nowhere.invalid/o.git ; sys_platform == 'linux'\n",
}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shelf")
    for version in ("1.0", "1.5", "2.0", "3.0"):
        make_wheel(folder, "demo", version)
    make_wheel(folder, "needy", "1.0", requires=["demo"])
    extras = ["demo ; extra == 'one'", "needy ; extra == 'two'"]
    for version in ("1.0", "2.0"):
        make_wheel(folder, "fancy", version, requires=extras, extras=["one", "two"])
    (folder / "limits.txt").write_text("demo<3\n")
    return folder


def of_pip(file: Path, shelf: Path) -> set[tuple[str, str]] | None:
    """What pip would install, or None where it refuses."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    command += ["--isolated", "--no-index", "--find-links", str(shelf), "-r", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=shelf)
    if done.returncode:
        return None
    return {(each["metadata"]["name"], each["metadata"]["version"]) for each in json.loads(done.stdout)["install"]}


def of_ours(file: Path, shelf: Path, folder: Path) -> set[tuple[str, str]] | None:
    words = ["lock", "-r", str(file), "--find-links", str(shelf), "--json", "--lockfile", str(folder / "lock")]
    environ = {**os.environ, "DATALOADER_CONDA": "never", "DATALOADER_INDEX_URL": (folder / "none").as_uri()}
    done = run_command(*words, env=environ)
    document = json.loads(done.stdout)
    assert done.returncode in {0, 1, 2, 4}, done.stderr
    if done.returncode:
        assert document["error"]["code"] != "unknown-package", document["error"]
        return None
    return {(each["name"], each["version"]) for each in document["packages"]}


@pytest.mark.slow
@pytest.mark.parametrize("text", FILES.values(), ids=FILES.keys())
def test_a_file_means_what_it_means_to_pip(text: str, shelf: Path, tmp_path: Path) -> None:
    import hashlib

    names = {"demo": "demo-2.0", "other": "demo-3.0", "needy": "needy-1.0"}
    hashes = {
        key: hashlib.sha256((shelf / f"{stem}-py3-none-any.whl").read_bytes()).hexdigest()
        for key, stem in names.items()
    }
    file = shelf / "requirements.txt"
    file.write_text(text.format(shelf=shelf.as_uri(), **hashes))

    assert of_ours(file, shelf, tmp_path) == of_pip(file, shelf)
