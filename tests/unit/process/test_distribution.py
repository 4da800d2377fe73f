"""Advice names the distribution that is installed, whatever its name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import tomli

from dataloader.process.distribution import extra_command

ROOT = Path(__file__).parents[3]


def test_advice_names_the_distribution_that_brought_the_program(tmp_path: Path) -> None:
    for name in ("some-name", "another"):
        info = tmp_path / name / f"{name.replace('-', '_')}-1.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        (info / "entry_points.txt").write_text("[console_scripts]\ndataloader = dataloader.__main__:main\n")
        code = "from dataloader.process.distribution import extra_command as e; print(e('attestations', 'a', 'b'))"
        paths = [str(tmp_path / name), str(ROOT)]
        command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:0] = {paths}; {code}"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout == f"pip install '{name}[attestations]'\n"


def test_a_checkout_that_is_not_installed_names_the_projects() -> None:
    code = "from dataloader.process.distribution import extra_command as e; print(e('attestations', 'a', 'b'))"
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "pip install a b\n"


def test_no_page_or_message_relies_on_the_name_of_the_command() -> None:
    """``dataloader`` on PyPI is somebody else's."""
    own = tomli.loads((ROOT / "pyproject.toml").read_text())["project"]["name"]
    assert own != "dataloader"
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("dataloader/**/*.py")]
    lines = [
        line for page in pages for line in page.read_text().splitlines() if "pip install" in line or "uv tool" in line
    ]
    assert lines
    assert not [line for line in lines if "dataloader[" in line or "install dataloader" in line]
    assert any(f"'{own}[attestations]'" in line for line in lines)
    assert extra_command("attestations").startswith("pip install '")
