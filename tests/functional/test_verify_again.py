"""A prefix that was verified before: the short way says the same as the long one, and never hides a change."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dataloader.cli.quick import answer
from dataloader.elf.cache import FactsCache
from dataloader.machine.detect import detect_target
from dataloader.machine.host import cpu_flags, machine_evidence
from dataloader.prefix.records import read_installed
from dataloader.prefix.walk import walk
from dataloader.verify import VerifyOptions, verify_prefix
from dataloader.verify.memory.hashes import FileHashes, hash_recorded
from tests.helpers.command import run_command
from tests.helpers.elf import make_library, needs_gcc
from tests.helpers.prefixes import SITE, make_prefix, register

pytestmark = needs_gcc


_OPENS = "import ctypes\nctypes.CDLL(__file__.replace('__init__.py', 'libpkg.so'))\n"


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """One package whose library needs what nobody has."""
    prefix = make_prefix(tmp_path / "env")
    gone = make_library(tmp_path / "libgone.so.1", soname="libgone.so.1")
    make_library(prefix / SITE / "pkg" / "libpkg.so", needs=[gone])
    register(prefix, "pkg", "1.0", paths=["pkg/libpkg.so"], files={"pkg/__init__.py": _OPENS})
    return prefix


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.chdir(tmp_path)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DATALOADER_")}
    return {**kept, "DATALOADER_CACHE_DIR": str(tmp_path / "cache")}


def run(arguments: list[str], environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return run_command(*arguments, env=environ)


def same_report(arguments: list[str], environ: dict[str, str]) -> int | None:
    """The exit code where the last report is given again; ``None`` where more is to be done."""
    return answer(arguments, environ)


def test_the_short_way_says_what_the_long_one_says(
    prefix: Path, environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    plain = ["verify", "-p", str(prefix)]
    assert same_report(plain, environ) is None  # nothing is remembered yet
    first = run(plain, environ)
    assert (first.returncode, "libgone.so.1" in first.stdout) == (1, True)

    for more in ([], ["--json"], ["--format=sarif"], ["--fail-on", "note"]):
        arguments = ["verify", f"--prefix={prefix}", *more]
        code = same_report(arguments, environ)
        long = run([*arguments, "--color"], environ)  # an option that the short way does not know
        assert (code, capsys.readouterr().out) == (long.returncode, long.stdout)


def test_an_environment_whose_files_another_one_shares_is_not_judged_anew(
    prefix: Path, environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "facts"
    options = VerifyOptions(cache=cache, reuse=True)
    first = verify_prefix(prefix, target=detect_target(), options=options)
    os.link(prefix / SITE / "pkg" / "libpkg.so", tmp_path / "shared.so")

    def judge(*_: object, **__: object) -> None:
        pytest.fail("it is judged anew")

    monkeypatch.setattr("dataloader.verify.run.survey", judge)
    again = verify_prefix(prefix, target=detect_target(), options=options)
    assert again.findings == first.findings != ()
    assert verify_prefix(prefix, target=detect_target(), options=options) == again  # by what was kept of the second


@pytest.mark.parametrize(
    ("more", "variables"),
    [
        (["--tree", "x"], {}),
        (["--target", "x"], {}),
        (["--format", "pdf"], {}),
        (["elsewhere"], {}),
        ([], {"DATALOADER_JSON": "1"}),
        ([], {"CONDA_OVERRIDE_GLIBC": "2.17"}),
    ],
)
def test_the_short_way_leaves_what_it_does_not_know(
    prefix: Path, environ: dict[str, str], more: list[str], variables: dict[str, str]
) -> None:
    run(["verify", str(prefix)], environ)
    assert same_report(["verify", str(prefix)], environ) == 1

    assert same_report(["verify", str(prefix), *more], environ | variables) is None


def test_a_driver_is_asked_each_time(prefix: Path, environ: dict[str, str], tmp_path: Path) -> None:
    """Its file may stay the same where its GPUs do not."""
    run(["verify", str(prefix)], environ)
    make_library(tmp_path / "driver" / "libcuda.so.1", soname="libcuda.so.1")
    before = os.environ["LD_LIBRARY_PATH"] + ":" if "LD_LIBRARY_PATH" in os.environ else ""
    with_driver = environ | {"LD_LIBRARY_PATH": f"{before}{tmp_path / 'driver'}"}

    assert same_report(["verify", str(prefix)], environ) == 1
    assert run(["verify", str(prefix)], with_driver).returncode == 1
    assert same_report(["verify", str(prefix)], with_driver) is None


def test_a_machine_is_the_same_while_nothing_changes_its_description(environ: dict[str, str], tmp_path: Path) -> None:
    evidence = machine_evidence(environ)
    if evidence is None:
        pytest.skip("what this machine has is asked for each time: a driver, or a C library that is not glibc")

    assert machine_evidence(environ) == evidence
    assert machine_evidence(environ | {"HOME": str(tmp_path)}) == evidence
    for name in ("CUDA", "GLIBC", "LINUX", "ARCHSPEC"):
        assert machine_evidence(environ | {f"CONDA_OVERRIDE_{name}": ""}) != evidence
    assert cpu_flags() in evidence
    assert any("libstdc++.so.6" in each for each in evidence)


def test_every_change_ends_the_short_way(prefix: Path, environ: dict[str, str], tmp_path: Path) -> None:
    init, link = prefix / SITE / "pkg" / "__init__.py", prefix / "link"
    target = tmp_path / "target"
    target.write_text("1")
    link.symlink_to(target)
    before = init.stat()

    def replace_with_the_same_times() -> None:
        init.write_text(_OPENS.replace("pkg", "kpg"))
        os.utime(init, ns=(before.st_atime_ns, before.st_mtime_ns))

    def lead_elsewhere() -> None:
        link.unlink()
        link.symlink_to(tmp_path / "nowhere")

    def damage() -> None:
        (answer,) = (tmp_path / "cache" / "facts").rglob("*.answer")
        data = bytearray(answer.read_bytes())
        data[len(data) // 2] ^= 1
        answer.write_bytes(data)

    changes: list[Callable[[], object]] = [
        damage,
        (prefix / "folder").mkdir,
        lambda: (prefix / "new").write_text(""),
        lambda: target.write_text("22"),
        lead_elsewhere,
        replace_with_the_same_times,
        (prefix / SITE / "pkg" / "libpkg.so").unlink,
    ]
    for change in changes:
        run(["verify", str(prefix)], environ)
        assert same_report(["verify", str(prefix)], environ) is not None
        change()
        assert same_report(["verify", str(prefix)], environ) is None


def test_one_more_link_to_a_file_is_no_reason_to_read_it_again(prefix: Path, tmp_path: Path) -> None:
    init = prefix / SITE / "pkg" / "__init__.py"
    cache = FactsCache(tmp_path / "cache")

    def hashed() -> str:
        known = FileHashes.load(cache, prefix)
        digests, now = hash_recorded(prefix, read_installed(prefix), walk(prefix), known)
        now.store(cache, prefix)
        return digests[f"{SITE}/pkg/__init__.py"]

    true = hashed()
    inodes = {key: fact.replace(true, "remembered") for key, fact in FileHashes.load(cache, prefix).earlier().items()}
    FileHashes("another", [], lambda: inodes).store(cache, prefix)
    assert hashed() == "remembered"

    os.link(init, tmp_path / "second")
    assert hashed() == "remembered"
    init.chmod(0o600)  # the time of change alone, with as many links as before
    assert hashed() == true


def test_hashes_that_were_damaged_are_made_again(prefix: Path, tmp_path: Path) -> None:
    cache = FactsCache(tmp_path / "cache")
    installed, tree = read_installed(prefix), walk(prefix)
    digests, known = hash_recorded(prefix, installed, tree, FileHashes())
    known.store(cache, prefix)
    assert FileHashes.load(cache, prefix).digests == known.digests
    assert FileHashes.load(cache, prefix).earlier() == known.earlier() != {}

    for suffix in (".hashes", ".inodes"):
        path = cache.path_of(prefix, suffix)
        assert path is not None
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    damaged = FileHashes.load(cache, prefix)
    assert (damaged.tree, damaged.earlier()) == ("", {})
    assert hash_recorded(prefix, installed, tree, damaged)[0] == digests


@pytest.mark.parametrize("change", ["one more", "another", "one less"])
def test_libraries_that_came_since_are_judged(prefix: Path, tmp_path: Path, change: str) -> None:
    first, second = prefix / SITE / "pkg" / "libpkg.so", prefix / SITE / "pkg" / "libsecond.so"
    make_library(second)
    options = VerifyOptions(cache=tmp_path / "cache")

    def missing() -> dict[str, bool]:
        verdicts = verify_prefix(prefix, target=detect_target(), options=options).verdicts
        return {verdict.path.rpartition("/")[2]: verdict.loads for verdict in verdicts}

    assert missing() == {"libpkg.so": False, "libsecond.so": True}
    gone = make_library(tmp_path / "libgone.so.2", soname="libgone.so.2")
    match change:
        case "one more":
            make_library(prefix / SITE / "pkg" / "libnew.so", needs=[gone])
            assert missing() == {"libnew.so": False, "libpkg.so": False, "libsecond.so": True}
        case "another":
            make_library(second, needs=[gone])
            assert missing() == {"libpkg.so": False, "libsecond.so": False}
        case "one less":
            first.unlink()
            assert missing() == {"libsecond.so": True}


def test_rehash_reads_what_was_made_to_look_unchanged(prefix: Path, tmp_path: Path) -> None:
    init = prefix / SITE / "pkg" / "__init__.py"
    cache = tmp_path / "cache"

    def is_changed(*, rehash: bool) -> bool:
        options = VerifyOptions(cache=cache, rehash=rehash)
        report = verify_prefix(prefix, target=detect_target(), options=options)
        return "file-changed" in {each.kind for each in report.findings}

    assert not is_changed(rehash=False)
    before = init.stat()
    init.write_text(init.read_text().swapcase())
    os.utime(init, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.link(init, tmp_path / "second")

    assert not is_changed(rehash=False)
    assert is_changed(rehash=True)


def test_names_in_memory_are_those_that_are_asked_for(tmp_path: Path) -> None:
    """20 libraries with 20,000 long names each: 120 MB of names, of which one is used."""
    prefix = make_prefix(tmp_path / "env")
    names = (f"{'x' * 300}_{number}" for number in range(20_000))
    labels = "".join(f'".globl {name}\\n{name}: .byte 0\\n"\n' for name in names)
    source = f"__asm__({labels});"
    first = make_library(prefix / SITE / "pkg" / "lib0.so", source)
    data = first.read_bytes()
    user = f"extern int {'x' * 300}_7(void); int use(void) {{ return {'x' * 300}_7(); }}"
    make_library(prefix / SITE / "pkg" / "libuser.so", user, needs=[first], rpath="$ORIGIN")
    for number in range(1, 20):
        (first.with_name(f"lib{number}.so")).write_bytes(data + bytes([number]))
    register(prefix, "pkg", "1.0", paths=[f"pkg/lib{number}.so" for number in range(20)])
    program = (
        "import sys; from pathlib import Path; from dataloader.machine.detect import detect_target;"
        "from dataloader.verify import VerifyOptions, verify_prefix;"
        "report = verify_prefix(Path(sys.argv[1]), target=detect_target(), options=VerifyOptions(jobs=1));"
        # ru_maxrss would count what the process that started this one had in memory.
        "peak = Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0];"
        "print(report.ok, report.counts['libraries'], int(peak) // 1024)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(prefix)], capture_output=True, text=True, check=True)

    ok, libraries, megabytes = done.stdout.split()
    assert (ok, libraries) == ("True", "21")
    assert int(megabytes) < 160


def test_a_report_that_was_not_asked_to_be_kept_is_not(prefix: Path, tmp_path: Path) -> None:
    verify_prefix(prefix, target=detect_target(), options=VerifyOptions(cache=tmp_path / "cache"))

    assert not list((tmp_path / "cache").rglob("*.memo.json"))


class Watch:
    """Notes how far the hashing is."""

    def __init__(self) -> None:
        self.total, self.done, self.ended = 0, 0, False

    def start(self, task: str, label: str, total: int | None, unit: str = "bytes") -> None:
        self.total = total or 0

    def advance(self, task: str, amount: int) -> None:
        self.done += amount

    def finish(self, task: str) -> None:
        self.ended = True


@pytest.mark.parametrize(("size", "is_told"), [(300 << 20, True), (1 << 20, False)])
def test_who_waits_for_the_hashing_of_much_is_told_how_far_it_is(tmp_path: Path, size: int, is_told: bool) -> None:
    prefix, watch = make_prefix(tmp_path / "env"), Watch()
    register(prefix, "pkg", "1.0", files={"pkg/__init__.py": "", "pkg/large.bin": ""}, hashes={"pkg/large.bin": ""})
    record = prefix / SITE / "pkg-1.0.dist-info/RECORD"
    with (prefix / SITE / "pkg/large.bin").open("wb") as file:
        file.truncate(size)
    record.write_text(record.read_text().replace("large.bin,,0", f"large.bin,sha256={'0' * 43},{size}"))

    verify_prefix(prefix, target=detect_target(), options=VerifyOptions(progress=watch))

    assert (watch.total >= size, watch.done == watch.total, watch.ended) == (is_told, True, is_told)


@needs_gcc
def test_that_another_library_has_the_symbols_is_remembered_by_content(tmp_path: Path) -> None:
    """A plugin that nobody's DT_NEEDED serves is a note while a library of the prefix has what it lacks."""
    prefix, cache = make_prefix(tmp_path / "env"), tmp_path / "facts"
    site = prefix / SITE
    make_library(site / "pkg/libplugin.so", "extern int helps(void); int run(void) { return helps(); }")

    def severity() -> list[str]:
        options = VerifyOptions(cache=cache)
        return [each.severity for each in verify_prefix(prefix, target=detect_target(), options=options).findings]

    make_library(site / "pkg/libhost.so", "int helps(void) { return 1; }")
    register(prefix, "pkg", "1.0", paths=["pkg/libplugin.so"], files={"pkg/__init__.py": ""})
    assert [severity(), severity()] == [["note"], ["note"]]

    make_library(site / "pkg/libhost.so", "int other(void) { return 1; }")
    assert [severity(), severity()] == [["warning"], ["warning"]]

    make_library(site / "pkg/libhost.so", "int helps(void) { return 1; }")
    assert severity() == ["note"]
