"""``verify --matrix``: the user's rules count as the matrix's own, whatever was verified before."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.functional.test_flow import Desk
from tests.helpers.wheels import make_wheel

RULE = """
[[rule]]
id = "ours"
when = "lib>={least}"
then = ["more<{below}"]
why = "tested by us"
source = "here"
date = "2026-11-21"
"""


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """An environment with lib 3 and more 3, as another tool would have made it."""
    found = tmp_path / "env"
    for name in ("lib", "more"):
        info = found / "lib" / "python3.11" / "site-packages" / f"{name}-3.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 3\n")
        (info / "RECORD").write_text(f"{info.name}/METADATA,,\n{info.name}/RECORD,,\n")
    return found


def test_rules_of_the_users_own_file_are_asked_and_forgotten_with_it(desk: Desk, prefix: Path) -> None:
    rng, rows = random.Random(17), desk.here / "rows.toml"
    for _ in range(8):
        least, below = rng.randint(1, 5), rng.randint(1, 5)
        rows.write_text(RULE.format(least=least, below=below))
        with_rows = rng.random() < 0.7
        done = desk.json("verify", "-p", str(prefix), *(["--matrix", "rows.toml"] if with_rows else []))
        broken = with_rows and least <= 3 and below <= 3
        assert [f["kind"] for f in done["findings"]] == (["matrix-rule"] if broken else []), (least, below, with_rows)


def test_rows_that_cannot_be_read_or_can_have_no_effect_are_refused(desk: Desk, prefix: Path) -> None:
    (desk.here / "bad.toml").write_text("[[rule]]\nid = 'ours'\n")
    (desk.here / "rows.toml").write_text(RULE.format(least=1, below=1))
    for name in ("gone.toml", "bad.toml"):
        desk.fails(2, "matrix-invalid", "verify", "-p", str(prefix), "--matrix", name)
    for more in (["--tree", "lib/x.so"], ["--contract", "nfd"]):
        desk.fails(2, "usage", "verify", "-p", str(prefix), "--matrix", "rows.toml", *more)
    desk.fails(2, "usage", "verify", str(desk.index.folder / "lib-1.0-py3-none-any.whl"), "--matrix", "rows.toml")


def test_rules_of_the_manifest_are_asked_too_whatever_was_said_before(desk: Desk, tmp_path: Path) -> None:
    for name in ("lib", "more"):
        make_wheel(desk.index.folder, name, "3", files={f"{name}.py": "\n"})
    manifest, plain = desk.here / "dataloader.toml", "[workspace]\nchannels = []\n"
    manifest.write_text(plain)
    desk.ok("add", "lib", "more")
    for _ in range(2):  # the second is the last report, said again
        assert desk.json("verify")["findings"] == []
    (desk.here / "rows.toml").write_text(RULE.format(least=1, below=2))
    manifest.write_text(f"{manifest.read_text()}[resolution]\nmatrix = 'rows.toml'\n")
    for words in ([], [".dataloader/envs/default"]):
        document = json.loads(desk.run("verify", *words, "--json").stdout)
        assert [f["kind"] for f in document["findings"]] == ["matrix-rule"]
    (tmp_path / "elsewhere").mkdir()
    done = Desk(tmp_path / "elsewhere", desk.index).run("verify", str(desk.here / ".dataloader/envs/default"))
    assert "matrix-rule" in done.stdout  # the manifest is the environment's own
