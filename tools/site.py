"""``python -m tools.site [FOLDER]``: the site of docs/, built strictly: no link or anchor leads nowhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def main(arguments: list[str]) -> int:
    """Build from a copy, as mkdocs wants its settings outside of the pages; without a folder to see that it can be."""
    with tempfile.TemporaryDirectory(prefix="site-") as folder:
        shutil.copytree(DOCS, Path(folder) / "docs")
        settings = (Path(folder) / "docs" / "mkdocs.yml").rename(Path(folder) / "mkdocs.yml")
        site = Path(arguments[0]).absolute() if arguments else Path(folder) / "site"
        command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(settings), "-d", str(site)]
        # The theme tells of its own end in each build; that is no fault of the pages.
        return subprocess.run(command, check=False, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
