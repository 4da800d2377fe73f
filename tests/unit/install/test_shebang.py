"""The first lines of scripts, by those who read them: the kernel, sh and Python itself."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from dataloader.install.tree.wheel import shebang

# What means something to a shell, to Python's parser or to the kernel; and bytes that are no text.
NAMES = st.text(
    st.sampled_from("ab é'\"\\$`!#%&*;|<>()[]{}~?\n\t\r\f\v\x1b\u2028=:,nNxuU0\udcff"), min_size=1, max_size=40
)


@settings(max_examples=40, deadline=None)
@given(NAMES.filter(lambda name: len(os.fsencode(name)) < 200))
@example("with space")
@example("two\nlines")
@example("a\\x")
@example("''' and \"\"\"")
@example("\udcff")
@example("$(touch here) `touch here`")
@example("l" * 150)
@example("%s\\%d")
def test_script_runs_wherever_it_lies(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, f"x{name}", "bin")
        place.mkdir(parents=True)
        (place / "python").symlink_to(sys.executable)
        script = place / "part"
        script.write_bytes(shebang(str(place / "python")) + b"import sys\nprint(sys.argv[1:])\n")
        script.chmod(0o755)

        done = subprocess.run([script, "a b", "c"], capture_output=True, text=True, cwd=folder)

        assert (done.stdout, done.stderr) == ("['a b', 'c']\n", "")
        assert [path.name for path in Path(folder).iterdir()] == [f"x{name}"]


def test_plain_path_needs_no_shell() -> None:
    assert shebang("/opt/env/bin/python") == b"#!/opt/env/bin/python\n"
