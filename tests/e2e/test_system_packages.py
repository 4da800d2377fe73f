"""The commands that bring libraries of the system: each is run as it stands, in a root of its own.

The root is this machine's with a layer of memory on top, in a mount namespace: nothing is installed here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from dataloader.verify.tables import load_tables

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.pypi,
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("apt-get") is None, reason="needs root on Debian"),
]

_SCRIPT = """set -e
mount -t tmpfs none "$1" && cd "$1" && mkdir up work root
mount -t overlay overlay -o lowerdir=/,upperdir=up,workdir=work root
mount -t proc proc root/proc && mount --rbind /dev root/dev
chroot root bash -c 'yes | { %s; } >/dev/null 2>/tmp/told || { cat /tmp/told; exit 1; }; ldconfig -p'
"""


@pytest.mark.parametrize("soname", sorted(load_tables().system_packages))
def test_the_package_of_the_system_has_the_library(soname: str, tmp_path: Path) -> None:
    command = load_tables().system_packages[soname]
    script = _SCRIPT % command
    done = subprocess.run(
        ["unshare", "-m", "bash", "-c", script, "bash", str(tmp_path)], capture_output=True, text=True, check=False
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip("needs a mount namespace")

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{soname} (" in done.stdout
