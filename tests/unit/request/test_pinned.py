"""What a lock of another tool pins, with -r: version, file, and the hash of the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataloader.formats.content import read_content
from dataloader.request.readers.locks import here, pinned
from dataloader.request.specs.requirements import CondaRequirement

ONE, TWO = "1" * 64, "2" * 64
WHEEL = "demo-1.0-py3-none-any.whl"
CONDA = "https://conda.example.org/main"

LOCKS = {
    "poetry.lock": f"""
[[package]]
name = "demo"
version = "1.0"
optional = false
python-versions = "*"
groups = ["main"]
files = [{{file = "{WHEEL}", hash = "sha256:{ONE}"}}, {{file = "demo-1.0.tar.gz", hash = "sha256:{TWO}"}}]
[metadata]
lock-version = "2.1"
python-versions = "*"
content-hash = "0"
""",
    "uv.lock": f"""
version = 1
requires-python = ">=3.8"
[[package]]
name = "ours"
version = "0"
source = {{ virtual = "." }}
dependencies = [{{ name = "demo" }}]
[[package]]
name = "demo"
version = "1.0"
source = {{ registry = "https://index.example.org/simple" }}
wheels = [{{ url = "https://files.example.org/{WHEEL}", hash = "sha256:{ONE}" }}]
""",
    "pylock.toml": f"""
lock-version = "1.0"
created-by = "x"
[[packages]]
name = "demo"
version = "1.0"
[[packages.wheels]]
name = "{WHEEL}"
url = "https://files.example.org/{WHEEL}"
hashes = {{ sha256 = "{ONE}" }}
""",
    "conda-lock.yml": f"""
version: 1
metadata:
  content_hash: {{linux-64: "0"}}
  channels: [{{url: {CONDA}, used_env_vars: []}}]
  platforms: [linux-64]
  sources: []
package:
- {{name: demo, version: "1.0", manager: conda, platform: linux-64, dependencies: {{}},
   url: {CONDA}/linux-64/demo-1.0-0.conda, hash: {{sha256: "{ONE}"}}, category: main, optional: false}}
- {{name: wheel, version: "1.0", manager: pip, platform: linux-64, dependencies: {{}},
   url: https://files.example.org/wheel-1.0-py3-none-any.whl, hash: {{sha256: "{ONE}"}}, category: main}}
""",
    "explicit.txt": f"@EXPLICIT\n{CONDA}/linux-64/demo-1.0-0.conda#{'3' * 32}\n",
}


@pytest.mark.parametrize("name", LOCKS)
def test_each_hash_is_kept(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(LOCKS[name])
    found = pinned(read_content(tmp_path / name), here("linux-64")).requirements
    assert found
    for one in found:
        if isinstance(one, CondaRequirement):
            assert one.sha256 == ONE or (one.sha256 is None and one.md5 == "3" * 32)
        else:
            assert one.hashes == (f"sha256:{ONE}",)


@pytest.mark.parametrize("source", [f'{{ url = "https://files.example.org/{WHEEL}" }}', f'{{ path = "dist/{WHEEL}" }}'])
def test_a_wheel_of_no_index_is_asked_for_by_its_address(source: str, tmp_path: Path) -> None:
    text = LOCKS["uv.lock"].replace('{ registry = "https://index.example.org/simple" }', source)
    if "path" in source:
        text = text.replace(f'url = "https://files.example.org/{WHEEL}", hash', f'filename = "{WHEEL}", hash')
    (tmp_path / "uv.lock").write_text(text)
    (one,) = pinned(read_content(tmp_path / "uv.lock"), here("linux-64")).requirements
    there = (tmp_path / "dist" / WHEEL).as_uri() if "path" in source else f"https://files.example.org/{WHEEL}"
    assert one.url == there  # type: ignore[union-attr]
