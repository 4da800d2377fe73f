"""`push` and `pull` against a true registry, judged by skopeo, umoci and a program that runs from what they unpack."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from dataloader.cli.app import main
from tests.helpers.command import run_command
from tests.helpers.conda import index_channel, make_conda_package, make_python_package
from tests.helpers.elf import make_library, needs_gcc
from tests.helpers.fatbin import cubin, fatbin_source, ptx
from tests.helpers.registry import Proxy, get_attached, get_json, needs_registry, running_registry
from tests.helpers.schemas import check_document
from tests.helpers.volumes import volume

pytestmark = [needs_registry, pytest.mark.slow]

LARGE = 1_200_000
"""Bytes of a package that has a layer of its own."""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten packages of which each is a tenth, and small ones."""
    folder = tmp_path_factory.mktemp("channel")
    for number in range(10):
        for version in ("1.0", "2.0") if number == 3 else ("1.0",):
            data = random.Random(f"{number} {version}").randbytes(LARGE)  # which cannot be packed
            make_conda_package(folder, f"big{number}", version, files={f"share/big{number}.bin": data})
    text = "#!/opt/placeholder/bin/python\n"
    make_conda_package(
        folder,
        "tool",
        "1.0",
        files={"bin/tool": text, "share/ü": "u", "lib/libtool.so.1": "x"},
        links={"lib/libtool.so": "libtool.so.1"},
        executable=["bin/tool"],
        placeholders={"bin/tool": "/opt/placeholder"},
    )
    index_channel(folder)
    return folder


class Site:
    """A machine: its cache, its working directory, the commands that are run there."""

    def __init__(self, here: Path, channel: Path) -> None:
        self.here, self.channel = here, channel
        here.mkdir(parents=True, exist_ok=True)
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DATALOADER")},
            "DATALOADER_CACHE_DIR": str(here / "cache"),
            "DOCKER_CONFIG": str(here / "docker"),
            "HOME": str(here),
        }

    def run(self, *words: str, code: int = 0) -> str:
        out, err = self._run(words, code)
        return out + err

    def run_apart(self, *words: str, code: int = 0) -> str:
        """In a process of its own: where one of several downloads fails, the others end when it does."""
        done = run_command(*words, cwd=self.here, env=self.environ)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def json(self, *words: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self._run((*words, "--json"), 0)[0])
        check_document(words[0], document)
        return document

    def _run(self, words: Sequence[str], code: int) -> tuple[str, str]:
        """Run a command line in this process, as if it stood on this machine."""
        out, err, before, here = io.StringIO(), io.StringIO(), dict(os.environ), Path.cwd()
        os.environ.clear()
        os.environ.update(self.environ)
        os.chdir(self.here)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                ended = main(words)
        finally:
            os.chdir(here)
            os.environ.clear()
            os.environ.update(before)
        assert ended == code, out.getvalue() + err.getvalue()
        return out.getvalue(), err.getvalue()

    def install(self, *specs: str, prefix: str = "env") -> Path:
        self.run("install", *specs, "-c", self.channel.as_uri(), "-p", prefix)
        return self.here / prefix


TEN = [f"conda:big{number}" for number in range(10) if number != 3]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, channel: Path) -> Site:
    """A machine with an environment."""
    made = Site(tmp_path_factory.mktemp("site"), channel)
    made.install(*TEN, "conda:big3=1.0", "conda:tool")
    return made


def files_of(prefix: Path) -> dict[str, tuple[object, bool]]:
    """Content and mode of each file, links as links; of conda's records what is not the machine's."""
    found: dict[str, tuple[object, bool]] = {}
    for path in sorted(prefix.rglob("*")):
        name = path.relative_to(prefix).as_posix()
        if name.startswith(".dataloader") or (path.is_dir() and not path.is_symlink()):
            continue
        content: object = str(path.readlink()) if path.is_symlink() else path.read_bytes()
        if name.startswith("conda-meta/") and name.endswith(".json"):
            record = json.loads(path.read_bytes())
            content = {key: record[key] for key in record if key not in ("extracted_package_dir", "link")}
        found[name] = content, path.is_symlink() or os.access(path, os.X_OK)
    return found


def test_two_pushes_of_one_lock_are_one_image_and_the_second_sends_nothing(
    site: Site, registry: str, tmp_path: Path, channel: Path
) -> None:
    first = site.json("push", f"{registry}/one/env:1", "-p", "env")
    again = site.json("push", f"{registry}/one/env:2", "-p", "env")
    elsewhere = Site(tmp_path / "elsewhere", channel)
    shutil.copy(site.here / "dataloader.lock", elsewhere.here)
    elsewhere.run("sync", "--root", "r", "--name", "n")
    target = str(site.here / "env")
    other = elsewhere.json("push", f"{registry}/one/env:3", "--root", "r", "--name", "n", "--target-prefix", target)

    assert first["digest"] == again["digest"] == other["digest"]
    assert first["sent_bytes"] > 10 * LARGE
    assert (again["sent_bytes"], other["sent_bytes"]) == (0, 0)
    if shutil.which("skopeo"):
        command = ["skopeo", "inspect", "--tls-verify=false", f"docker://{registry}/one/env:2"]
        seen = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        assert seen["Digest"] == first["digest"]
        assert seen["Layers"] == [layer["digest"] for layer in first["layers"]]
        assert f"CONDA_PREFIX={target}" in seen["Env"]


def test_an_environment_that_shares_nine_tenths_sends_a_tenth(site: Site, registry: str) -> None:
    whole = site.json("push", f"{registry}/tenth/env:1", "-p", "env")
    site.install(*TEN, "conda:big3=2.0", "conda:tool", prefix="other")
    # Files name where they are: the same place in the image, the same layers.
    target = str(site.here / "env")
    changed = site.json("push", f"{registry}/tenth/env:2", "-p", "other", "--target-prefix", target)
    site.install(*TEN, "conda:big3=1.0", "conda:tool")  # the lock of the working directory, for other tests

    assert LARGE < changed["sent_bytes"] < whole["sent_bytes"] * 0.11
    assert changed["sent_layers"] <= 2


def test_pull_into_an_empty_root_equals_the_original_file_by_file(
    site: Site, registry: str, tmp_path: Path, channel: Path
) -> None:
    site.run("push", f"{registry}/equal/env:1", "-p", "env")
    other = Site(tmp_path / "other", channel)

    pulled = other.json("pull", f"{registry}/equal/env:1", "--root", "root", "--name", "train")

    assert files_of(other.here / "root/train") == files_of(site.here / "env")
    assert pulled["downloaded_bytes"] > 10 * LARGE
    assert not other.json("pull", f"{registry}/equal/env:1", "--root", "root", "--name", "train")["changed"]
    # A second environment of the same layers costs no download; a plain prefix is made as well.
    warm = other.json("pull", f"{registry}/equal/env:1", "-p", "plain", "--lockfile", "got.lock")
    assert warm["downloaded_bytes"] == 0
    assert files_of(other.here / "plain") == files_of(site.here / "env")
    assert (other.here / "got.lock").read_bytes() == (site.here / "dataloader.lock").read_bytes()
    assert "0 removed" in other.run("cache", "verify")
    assert "kept" in other.run("cache", "prune")


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("umoci") or not shutil.which("skopeo"), reason="umoci or skopeo is not installed")
def test_what_umoci_unpacks_runs_read_only_at_the_target_prefix(
    registry: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    channel = tmp_path_factory.mktemp("python-channel")
    make_python_package(channel)
    make_conda_package(channel, "mod", "1", noarch="python", files={"site-packages/mod.py": "V = 5\n"},
                       entry_points=["mod = mod:__doc__"], depends=["python"])  # fmt: skip
    index_channel(channel)
    site = Site(tmp_path / "site", channel)
    site.install("conda:python", "conda:mod")
    prefix = tmp_path / "where it is mounted"
    reference = f"{registry}/run/env:1"

    site.run("push", reference, "-p", "env", "--target-prefix", str(prefix), "--compression", "gzip")

    subprocess.run(["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{reference}", f"oci:{tmp_path}/oci:e"],
                   check=True)  # fmt: skip
    umoci = ["umoci", "unpack", "--image", f"{tmp_path}/oci:e", f"{tmp_path}/bundle"]
    subprocess.run([*umoci, *([] if os.getuid() == 0 else ["--rootless"])], check=True, capture_output=True)
    unpacked = tmp_path / "bundle/rootfs" / str(prefix).lstrip("/")
    assert (unpacked / "bin/mod").read_text().find(str(prefix)) > 0
    if not shutil.which("bwrap"):
        pytest.skip("bwrap is not installed")
    prefix.mkdir()
    box = ["bwrap", "--dev-bind", "/", "/", "--ro-bind", str(unpacked), str(prefix)]
    if os.getuid() == 0 and shutil.which("setpriv"):
        for above in (tmp_path, *tmp_path.parents[:-2]):
            above.chmod(0o755)
        box += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        box += ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"]
    done = subprocess.run([*box, str(prefix / "bin/python"), "-c", "import mod, sys; print(mod.V, sys.prefix)"],
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert (done.returncode, done.stdout) == (0, f"5 {prefix}\n"), done.stderr


def corrupt(request: BaseHTTPRequestHandler, body: bytes, status: int) -> bool:
    """One bit of each large blob is another."""
    if "/blobs/sha256" not in request.path or len(body) < LARGE:
        return False
    Proxy.answer(request, 200, body[:1000] + bytes([body[1000] ^ 1]) + body[1001:], {})
    return True


def cut_off(request: BaseHTTPRequestHandler, body: bytes, status: int) -> bool:
    """The connection ends after a tenth of what is left of each large blob."""
    if "/blobs/sha256" not in request.path or len(body) < LARGE // 10:
        return False
    request.send_response(status)
    request.send_header("Content-Length", str(len(body)))
    if status == 206:
        request.send_header("Content-Range", f"bytes {LARGE - len(body)}-")
    request.end_headers()
    request.wfile.write(body[: len(body) // 10])
    request.close_connection = True
    return True


def lie(request: BaseHTTPRequestHandler, body: bytes, status: int) -> bool:
    """The manifest is another than its digest says."""
    if request.command != "GET" or "/manifests/" not in request.path:
        return False
    Proxy.answer(request, 200, body + b" ", {"Docker-Content-Digest": "sha256:" + "0" * 64})
    return True


def vanish(request: BaseHTTPRequestHandler, body: bytes, status: int) -> bool:
    """Blobs are gone, manifests stay."""
    if "/blobs/sha256" not in request.path:
        return False
    Proxy.answer(request, 404, b"{}", {})
    return True


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [(corrupt, 4, "hash-mismatch"), (cut_off, 3, "download-"), (lie, 4, "hash-mismatch"), (vanish, 3, "push")],
)
def test_of_a_registry_that_lies_nothing_is_installed(
    fault: Any, code: int, words: str, site: Site, registry: str, tmp_path: Path, channel: Path
) -> None:
    site.run("push", f"{registry}/faults/env:1", "-p", "env")
    other = Site(tmp_path / "other", channel)
    other.environ["DATALOADER_RETRIES"] = "1"
    with Proxy(registry) as proxy:
        proxy.fault = fault
        said = other.run_apart("pull", f"{proxy.host}/faults/env:1", "--root", "root", "--name", "train", code=code)
        assert words in said
        assert not (other.here / "root/train").exists()
        assert not list(other.here.glob("root/.generations/train/[!.]*-*"))
        assert not [path for path in other.here.glob("cache/layers/*/*") if path.name.startswith(".")]

        proxy.fault = None  # what came whole is used, the rest fetched
        other.run("pull", f"{proxy.host}/faults/env:1", "--root", "root", "--name", "train")
    assert files_of(other.here / "root/train") == files_of(site.here / "env")


def test_a_registry_that_stumbles_is_survived(site: Site, registry: str, tmp_path: Path, channel: Path) -> None:
    stumbled: set[str] = set()

    def stumble(request: BaseHTTPRequestHandler, body: bytes, status: int) -> bool:
        """The first request of each kind is refused for now, or its answer cut off."""
        key = f"{request.command} {request.path.partition('?')[0].rpartition('/')[0]}"
        if key in stumbled:
            return False
        stumbled.add(key)
        if request.command == "GET" and len(body) > LARGE:
            return cut_off(request, body, status)
        Proxy.answer(request, 429 if request.command == "GET" else 503, b"{}", {"Retry-After": "0"})
        return True

    with Proxy(registry) as proxy:
        proxy.fault = stumble
        site.run("push", f"{proxy.host}/stumble/env:1", "-p", "env")
        other = Site(tmp_path / "other", channel)
        other.run("pull", f"{proxy.host}/stumble/env:1", "-p", "env")
    assert files_of(other.here / "env") == files_of(site.here / "env")
    assert len(stumbled) > 3


def test_logins_come_from_files_and_helpers(site: Site, registry: str, tmp_path: Path, channel: Path) -> None:
    config = site.here / "docker"
    config.mkdir(exist_ok=True)
    (config / "config.json").unlink(missing_ok=True)
    with Proxy(registry) as proxy:
        proxy.token = ("me", "s3cret-word")
        reference = f"{proxy.host}/login/env:1"
        said = site.run_apart("push", reference, "-p", "env", code=2)
        assert "index-auth" in said
        assert "docker login" in said

        (config / "config.json").write_text(json.dumps({"auths": {proxy.host: {"auth": "bWU6czNjcmV0LXdvcmQ="}}}))
        assert "s3cret-word" not in site.run("push", reference, "-p", "env", "-vv")
        assert proxy.seen["token repository:login/env:pull,push"] == 2  # one for nobody, one for four uploads at once
        (config / "config.json").unlink()

        other = Site(tmp_path / "other", channel)
        tools = tmp_path / "tools"
        tools.mkdir()
        helper = tools / "docker-credential-ours"
        helper.write_text(
            '#!/bin/sh\nread host\necho \'{"ServerURL":"\'$host\'","Username":"me","Secret":"s3cret-word"}\'\n'
        )
        helper.chmod(0o755)
        (other.here / "docker").mkdir()
        mounted = other.here / "docker/.dockerconfigjson"  # as a Secret is mounted
        mounted.write_text(json.dumps({"credHelpers": {proxy.host: "ours"}}))
        other.environ["PATH"] = f"{tools}:{other.environ['PATH']}"
        other.run("pull", reference, "-p", "env")
        assert proxy.seen["token repository:login/env:pull"] == 1

        proxy.token, proxy.basic = None, ("me", "s3cret-word")
        other.run("pull", reference, "-p", "again")
        mounted.write_text("{")
        assert "index-auth" in other.run("pull", reference, "-p", "third", code=2)


def test_lock_report_and_bill_of_materials_refer_to_the_image(site: Site, registry: str) -> None:
    pushed = site.json("push", f"{registry}/refer/env:1", "-p", "env")
    site.json("push", f"{registry}/refer/env:1", "-p", "env")

    index = get_json(registry, f"/v2/refer/env/manifests/{pushed['digest'].replace(':', '-')}")
    kinds = sorted(each["artifactType"] for each in index["manifests"])
    assert kinds == [
        "application/vnd.cyclonedx+json",
        "application/vnd.dataloader.lock.v1+yaml",
        "application/vnd.dataloader.verify.v1+json",
        "application/vnd.pixi.lock.v1+yaml",
    ]
    for each in index["manifests"]:
        artefact = get_json(registry, f"/v2/refer/env/manifests/{each['digest']}")
        assert artefact["subject"]["digest"] == pushed["digest"]
        (layer,) = artefact["layers"]
        assert layer["mediaType"] == each["artifactType"]
    manifest = get_json(registry, "/v2/refer/env/manifests/1")
    assert manifest["annotations"]["dev.dataloader.prefix"] == str(site.here / "env")


def test_a_registry_that_keeps_referrers_keeps_them_alone(site: Site, registry: str) -> None:
    with Proxy(registry) as proxy:
        proxy.referrers = {}
        pushed = site.json("push", f"{proxy.host}/referrers/env:1", "-p", "env")
        site.json("push", f"{proxy.host}/referrers/env:1", "-p", "env")

        listed = get_json(proxy.host, f"/v2/referrers/env/referrers/{pushed['digest']}")
        assert sorted(get_attached(proxy.host, "referrers/env", listed)) == [
            "application/vnd.cyclonedx+json",
            "application/vnd.dataloader.lock.v1+yaml",
            "application/vnd.dataloader.verify.v1+json",
            "application/vnd.pixi.lock.v1+yaml",
        ]
        assert get_json(registry, "/v2/referrers/env/tags/list")["tags"] == ["1"]  # none that stands for a list


@needs_gcc
@pytest.mark.slow
def test_what_nodes_must_have_and_what_is_read_first_refer_to_the_image(
    registry: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A framework with code for GPUs, which opens a library of its own; and a library that nobody opens."""
    channel, here = tmp_path_factory.mktemp("gpu-channel"), tmp_path / "made"
    make_python_package(channel)
    make_conda_package(channel, "cuda-cudart", "12.4.127", files={"lib/libcudart.so.12": "x"})
    source = fatbin_source(cubin(80), ptx(80, (8, 4))) + "int kernels(void){return 1;}"
    kernels = make_library(here / "libkernels.so", source, soname="libkernels.so")
    idle = make_library(here / "libidle.so", "int idle(void){return 2;}")
    tag = f"cpython-{sys.version_info[0]}{sys.version_info[1]}-x86_64-linux-gnu"
    module = make_library(
        here / f"_c.{tag}.so", "extern int kernels(void); int PyInit__c(void){return kernels();}", needs=[kernels],
        runpath="$ORIGIN",
    )  # fmt: skip
    files: dict[str, str | bytes | Path] = {
        f"site-packages/frame/{each.name}": each for each in (kernels, idle, module)
    }
    files |= {"site-packages/frame/__init__.py": "from . import _c\n"}
    info = "site-packages/frame-1.0.dist-info"
    files |= {f"{info}/METADATA": "Metadata-Version: 2.1\nName: frame\nVersion: 1.0\n", f"{info}/INSTALLER": "conda"}
    files |= {f"{info}/RECORD": "".join(f"{name.partition('/')[2]},,\n" for name in files)}
    make_conda_package(channel, "frame", "1.0", noarch="python", files=files, depends=["python", "cuda-cudart"])
    index_channel(channel)
    site = Site(tmp_path / "site", channel)
    env = site.install("conda:frame", "conda:cuda-cudart", "--no-verify")

    pushed = site.json("push", f"{registry}/gpu/env:1", "-p", "env", "--target-prefix", "/opt/env")

    listed = get_json(registry, f"/v2/gpu/env/manifests/{pushed['digest'].replace(':', '-')}")
    attached = get_attached(registry, "gpu/env", listed)
    kind, node = attached["application/vnd.nfd.image-compatibility.v1alpha1"]
    assert kind == "application/vnd.nfd.image-compatibility.spec.v1alpha1+yaml"
    assert node.decode() == site.json("verify", "-p", str(env), "--contract", "nfd")["contract"]
    mapped = attached["application/vnd.dataloader.mapped.v1+text"][1].decode().splitlines()
    inside = "/opt/env/lib/python{}.{}/site-packages/frame/".format(*sys.version_info[:2])
    assert [path for path in mapped if "frame" in path] == [f"{inside}_c.{tag}.so", f"{inside}libkernels.so"]
    assert mapped[0].startswith("/opt/env/bin/python")


def test_an_image_stands_on_another_one(site: Site, registry: str) -> None:
    small = site.json("push", f"{registry}/base/below:1", "-p", "env", "--compression", "gzip")
    made = site.json(
        "push", f"{registry}/base/above:1", "-p", "env", "--target-prefix", "/opt/env", "--base",
        f"{registry}/base/below:1", "--entrypoint", "/opt/env/bin/tool",
    )  # fmt: skip

    manifest = get_json(registry, "/v2/base/above/manifests/1")
    config = get_json(registry, f"/v2/base/above/blobs/{manifest['config']['digest']}")
    assert [each["digest"] for each in manifest["layers"]] == [
        each["digest"] for each in (*small["layers"], *made["layers"])
    ]
    assert len(config["rootfs"]["diff_ids"]) == len(manifest["layers"])
    assert manifest["annotations"]["org.opencontainers.image.base.digest"] == small["digest"]
    assert config["config"]["Entrypoint"] == ["/opt/env/bin/tool"]
    path = next(line for line in config["config"]["Env"] if line.startswith("PATH="))
    assert path.startswith(f"PATH=/opt/env/bin:{site.here}/env/bin:")


def test_an_index_leads_to_the_image_for_this_platform(
    site: Site, registry: str, tmp_path: Path, channel: Path
) -> None:
    pushed = site.json("push", f"{registry}/index/env:1", "-p", "env", "--compression", "gzip")
    blob = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 1}
    machines = [("windows", "amd64", "sha256:" + "0" * 64)]
    machines += [("linux", architecture, pushed["digest"]) for architecture in ("amd64", "arm64")]
    entries: list[object] = [
        {**blob, "digest": digest, "platform": {"os": system, "architecture": architecture}}
        for system, architecture, digest in machines
    ]

    def index(request: BaseHTTPRequestHandler, body: bytes, status: int) -> bool:
        if not request.path.endswith("/manifests/many"):
            return False
        Proxy.answer(request, 200, json.dumps({"schemaVersion": 2, "manifests": entries}).encode(), {})
        return True

    with Proxy(registry) as proxy:
        proxy.fault = index
        many = f"{proxy.host}/index/env:many"
        other = Site(tmp_path / "other", channel)
        other.run("pull", many, "-p", "env")
        assert files_of(other.here / "env") == files_of(site.here / "env")
        site.run("push", f"{registry}/index/above:1", "-p", "env", "--target-prefix", "/opt/env", "--base", many)
        above = get_json(registry, "/v2/index/above/manifests/1")
        assert above["annotations"]["org.opencontainers.image.base.digest"] == pushed["digest"]

        entries[1:] = []
        assert "it has windows/amd64" in other.run("pull", many, "-p", "none", code=2)
        entries[:] = ["no descriptor"]
        for words in (["pull", many], ["push", f"{registry}/index/above:2", "--base", many]):
            assert "image-malformed" in site.run(*words, "-p", "env" if words[0] == "push" else "none", code=4)


def test_a_tag_leads_each_platform_to_its_own_image(
    registry: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    channel = tmp_path_factory.mktemp("platforms")
    for platform in ("linux-64", "linux-aarch64"):
        make_conda_package(channel, "tool", "1.0", subdir=platform, files={"share/made-for": platform})
    make_conda_package(channel, "data", "1.0", noarch="generic", files={"share/data": "d" * 2_000_000})
    index_channel(channel)
    reference = f"{registry}/platforms/env"
    target = ("-p", "env", "--target-prefix", "/opt/env")
    sites: dict[str, Site] = {}
    pushed = {}
    for platform in ("linux-64", "linux-aarch64", "linux-64"):  # what stands alone becomes one of them
        site = sites.setdefault(platform, Site(tmp_path / platform, channel))
        site.run("lock", "conda:tool", "conda:data", "-c", channel.as_uri(), "--platform", platform)
        site.run("sync", "--frozen", "-p", "env")
        more = ("--multi-platform",) if len(sites) > 1 else ()
        pushed[platform] = site.json("push", reference, *target, *more)
    shared = {layer["digest"] for layer in pushed["linux-64"]["layers"]}
    assert len(shared & {layer["digest"] for layer in pushed["linux-aarch64"]["layers"]}) == 1  # the data

    index = get_json(registry, "/v2/platforms/env/manifests/latest")
    assert {each["platform"]["architecture"]: each["digest"] for each in index["manifests"]} == {
        "amd64": pushed["linux-64"]["digest"], "arm64": pushed["linux-aarch64"]["digest"]}  # fmt: skip
    if shutil.which("skopeo"):
        for name, architecture in (("linux-64", "amd64"), ("linux-aarch64", "arm64")):
            command = ["skopeo", "inspect", "--tls-verify=false", "--override-arch", architecture]
            seen = json.loads(
                subprocess.run([*command, f"docker://{reference}"], capture_output=True, check=True).stdout
            )
            assert seen["Layers"] == [layer["digest"] for layer in pushed[name]["layers"]]
    other = Site(tmp_path / "other", channel)
    other.run("pull", reference, "-p", "env")
    assert (other.here / "env/share/made-for").read_text() == "linux-64"
    by_digest = f"{reference}@{pushed['linux-aarch64']['digest']}"
    assert "is for linux-aarch64, and this machine is linux-64" in other.run("pull", by_digest, "-p", "arm")


def test_what_a_tag_leads_to_is_not_lost_for_other_platforms(site: Site, registry: str) -> None:
    document: dict[str, object] = {}

    def answer(request: BaseHTTPRequestHandler, body: bytes, status: int) -> bool:
        if request.command != "GET" or not request.path.endswith("/manifests/many"):
            return False
        Proxy.answer(request, 200, json.dumps(document).encode(), {})
        return True

    with Proxy(registry) as proxy:
        proxy.fault = answer
        blob = {"mediaType": "m", "size": 1, "digest": "sha256:" + "0" * 64}
        words = ("push", f"{proxy.host}/lost/env:many", "-p", "env", "--multi-platform")
        for document in (
            {"schemaVersion": 2, "config": blob, "layers": []},  # of another tool
            {"schemaVersion": 2, "manifests": "none"},
            {"schemaVersion": 2, "manifests": [{**blob, "digest": "md5:1"}]},
        ):
            code, said = (2, "image-foreign") if "config" in document else (4, "image-malformed")
            assert said in site.run(*words, code=code)
        assert proxy.seen["PUT manifests"] == 3  # by its digest each; the tag stays


def test_what_is_not_what_its_lock_says_is_not_pushed(registry: str, tmp_path: Path, channel: Path) -> None:
    site = Site(tmp_path / "site", channel)
    env = site.install("conda:tool")
    (env / "share/notes.txt").write_text("mine")

    said = site.json("push", f"{registry}/own/env:1", "-p", "env")
    assert said["left_out"] == ["share/notes.txt"]

    (env / "share/ü").unlink()
    (env / "share/ü").write_text("changed in place")
    shutil.rmtree(site.here / "cache/packed")
    assert "prefix-changed" in site.run("push", f"{registry}/own/env:2", "-p", "env", code=4)
    (env / "share/ü").unlink()
    assert "prefix-damaged" in site.run("push", f"{registry}/own/env:2", "-p", "env", code=2)
    site.run("lock", "conda:big1", "-c", channel.as_uri())
    assert "changes-needed" in site.run("push", f"{registry}/own/env:2", "-p", "env", code=1)
    assert "image-missing" in site.run("pull", f"{registry}/own/env:2", "-p", "env2", code=2)


def test_a_damaged_cache_is_seen_and_mended(site: Site, registry: str, tmp_path: Path, channel: Path) -> None:
    site.run("push", f"{registry}/damage/env:1", "-p", "env")
    other = Site(tmp_path / "other", channel)
    other.run("pull", f"{registry}/damage/env:1", "-p", "env")
    (blob,) = other.here.glob("cache/layers/*/*/files/share/big4.bin")
    (other.here / "env/share/big4.bin").unlink()
    blob.write_bytes(b"damaged")

    said = other.run("pull", f"{registry}/damage/env:1", "-p", "second")

    assert "damaged" in said
    assert files_of(other.here / "second") == files_of(site.here / "env")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("push UPPER/Case:1 -p env", 2, "image-name-invalid"),
        ("push {host}/a/b@sha256:12 -p env", 2, "image-name-invalid"),
        ("push {host}/a/b@sha256:" + "0" * 64 + " -p env", 2, "a digest of its own"),
        ("push {host}/a/b:1 -p env --target-prefix opt/env", 2, "begins with a slash"),
        ("push {host}/a/b:1 --root r", 2, "belong together"),
        ("push {host}/a/b:1 -p no-such", 2, "prefix-missing"),
        ("push {host}/a/b:1 -p env --lockfile none.lock", 2, "lockfile-missing"),
        ("pull {host}/no/such:1 -p new", 2, "image-missing"),
        ("pull 127.0.0.1:1/no/such:1 -p new", 3, "index-unreachable"),
        ("pull {host}/a/b:1 --root r --name n -p x", 2, "exclude each other"),
        ("push {host}/a/b:1 -p env --base {host}/no/such:1", 2, "image-missing"),
    ],
)
def test_what_cannot_be_done_is_said(words: str, code: int, said: str, site: Site, registry: str) -> None:
    site.environ["DATALOADER_RETRIES"] = "0"
    try:
        assert said in site.run(*words.format(host=registry).split(), code=code)
    finally:
        del site.environ["DATALOADER_RETRIES"]


def test_a_pull_to_a_volume_without_symbolic_links_has_copies(
    site: Site, registry: str, tmp_path: Path, channel: Path
) -> None:
    site.run("push", f"{registry}/t/unlinked:1", "-p", "env")
    with volume(tmp_path / "v", "no-symbolic-links", "no-hard-links") as mounted:
        there = Site(tmp_path / "there", channel)
        there.environ["DATALOADER_CACHE_DIR"] = str(mounted / "cache")
        for _ in range(2):  # and again from the cache
            said = there.run("pull", f"{registry}/t/unlinked:1", "--root", str(mounted / "envs"), "--name", "train")
            assert "has no symbolic links" in said
            assert (mounted / "envs/train/lib/libtool.so").read_text() == "x"
            shutil.rmtree(mounted / "envs")
        assert "0 removed" in there.run("cache", "verify")
