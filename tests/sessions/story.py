"""What is typed, verb by verb, and the index that it is typed against: small true wheels with names of their own."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.elf import make_library
from tests.helpers.wheels import make_sdist, make_wheel

MIB = 1024 * 1024
_TAG = "cp311-cp311-manylinux_2_17_x86_64"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line that is typed."""

    line: str
    until: str = ""
    """What is waited for before more is typed."""
    keys: str = ""
    """What is typed then."""
    watched: str = ""
    """What has to be on the screen for it to be shown in between."""
    interrupt: bool = False
    """Press Ctrl-C then."""
    arrives: bool = False
    """Newer releases come before it is typed."""


def lines(*typed: str) -> tuple[Step, ...]:
    """Return lines that are typed one after the other."""
    return tuple(Step(line=line) for line in typed)


def story(registry: str) -> dict[str, tuple[Step, ...]]:
    """Return what is typed for each verb, in the order in which one leads to the next.

    Args:
        registry: Host and port of a registry for images.
    """
    image = f"{registry}/tides:1"
    return {
        "help": lines("dataloader", "dataloader help no-solution"),
        "init": (Step(line="dataloader init", until="Y/n", keys="n\r"), *lines("cat dataloader.toml")),
        "plan": lines("dataloader plan --cuda=12.1 --torch=2.1.0", "dataloader plan --cuda=11.8 --torch=2.9"),
        "add": (
            *lines("dataloader add charts 'readings<3'"),
            Step(line="dataloader add forecasts --limit-rate 6M", watched=r"[2-9]\.\d of 36.0 MiB +\d"),
            *lines("dataloader add 'charts>=9'", "dataloader add chart"),
        ),
        "install": (
            *lines("dataloader install -r requirements.txt"),
            Step(
                line="dataloader install almanac --limit-rate 4M", watched=r"[2-9]\.\d of 30.0 MiB +\d", interrupt=True
            ),
        ),
        "list": lines("dataloader list", "dataloader list --explicit 'f*'"),
        "tree": lines("dataloader tree", "dataloader tree --invert columns"),
        "explain": lines("dataloader explain columns"),
        "run": lines("dataloader run -- python -c 'import charts; print(charts.__version__)'", "dataloader run"),
        "verify": lines(
            "dataloader verify",
            "rm .dataloader/envs/default/lib/python3*/site-packages/charts/axes.py",
            "dataloader verify",
        ),
        "sync": lines(
            "dataloader sync --reinstall --yes", "dataloader sync", "rm -r .dataloader; dataloader sync --check"
        )
        + lines("dataloader sync"),
        "search": lines("dataloader search readings", "dataloader search reading"),
        "outdated": (Step(line="dataloader outdated --refresh", arrives=True),),
        "lock": lines("dataloader lock", "dataloader lock --upgrade-package gribs"),
        "diff": lines("dataloader diff before.lock"),
        "upgrade": lines("dataloader upgrade --dry-run", "dataloader upgrade charts --yes", "dataloader upgrade chart"),
        "remove": lines("dataloader remove charts --yes", "dataloader remove columns"),
        "shell": (Step(line="dataloader shell --shell sh", until=r"\) \S ", keys="exit\r"),),
        "shell-hook": lines('eval "$(dataloader shell-hook)"; echo $VIRTUAL_ENV', "dataloader shell-hook"),
        "kernel": lines("dataloader kernel install --name tides", "dataloader kernel list"),
        "config": lines("dataloader config"),
        "info": lines("dataloader info"),
        "cache": lines("dataloader cache info", "dataloader cache prune --dry-run"),
        "export": lines("dataloader export requirements.txt -o locked.txt", "dataloader export markdown"),
        "bundle": lines("dataloader bundle --no-program -o tides.tar.zst"),
        "unbundle": lines("dataloader unbundle tides.tar.zst -p ~/there"),
        "generations": lines(
            "dataloader sync --root ~/volume --name tides",
            "dataloader remove tables --no-sync -q",
            "dataloader sync --root ~/volume --name tides",
            "dataloader generations --root ~/volume",
        ),
        "rollback": lines(
            "dataloader rollback --root ~/volume --name tides",
            "dataloader rollback --root ~/volume --name tides --undo",
        ),
        "prune": lines("dataloader prune --root ~/volume --name tides --keep=0"),
        "push": lines(f"dataloader push {image} --root ~/volume --name tides --plain-http --no-verify"),
        "pull": lines(f"dataloader pull {image} -p ~/pulled --plain-http"),
        "k8s": lines("dataloader k8s init --name tides --claim envs -o deploy", "head -n 12 deploy/deployment.yaml"),
        "abi": lines("dataloader abi waves-1.0-cp311-cp311-manylinux_2_17_x86_64.whl --with frame"),
        "completion": lines("dataloader completion bash | head -n 4"),
        "env": lines("dataloader env list", "dataloader env remove default --yes"),
        "clean": lines("dataloader clean --dry-run"),
    }


def arrive(shelf: Path) -> None:
    """Publish newer releases than those that are locked."""
    for name, version, requires in (("charts", "4.3", ["columns>=1.1"]), ("gribs", "0.10", [])):
        make_wheel(shelf, name, version, requires=requires, requires_python=">=3.9")


def fill(shelf: Path, project: Path) -> None:
    """Put wheels on the shelf, and files into the project's folder."""
    noise = random.Random(7)

    def wheel(name: str, version: str, *requires: str, mib: float = 0, **files: str) -> None:
        content: dict[str, str | bytes] = {f"{name}/__init__.py": f'__version__ = "{version}"\n'}
        content |= {f"{name}/{file}.py": text for file, text in files.items()}
        if mib:
            content[f"{name}/data.bin"] = noise.randbytes(int(mib * MIB))
        make_wheel(shelf, name, version, requires=requires, files=content, requires_python=">=3.9")

    for version in ("1.0", "1.1", "2.0"):
        wheel("columns", version)
    wheel("charts", "4.2", "columns>=1.1", mib=0.3, axes="AXES = 2\n")
    for version in ("2.8", "2.9", "3.0"):
        wheel("readings", version, "columns<2", mib=0.1)
    wheel("forecasts", "1.3", "readings", mib=4)
    wheel("forecasts", "1.4", "readings", "gribs", "grids", mib=22)
    wheel("gribs", "0.9", mib=9)
    wheel("grids", "2.0", mib=5)
    wheel("almanac", "2026.1", mib=30)
    wheel("tables", "0.7")
    wheel("ipykernel", "7.1", ipykernel_launcher="\n")
    make_sdist(shelf, "soundings", "1.0")
    (project / "requirements.txt").write_text("tables\nipykernel>=7\n")
    releases = {"1.0": "int rise(void){return 1;}", "1.1": "int rise(void){return 1;} int fall(void){return 1;}"}
    libraries = project.parent / "libraries"
    for version, source in {**releases, "2.0": "int fall(void){return 1;}"}.items():
        made = make_library(libraries / version / "libframe.so", source, soname="libframe.so")
        make_wheel(shelf, "frame", version, files={"frame/lib/libframe.so": made.read_bytes()}, tag=_TAG)
    user = make_library(
        libraries / "_waves.so",
        "extern int rise(void); extern int fall(void); int use(void){return rise()+fall();}",
        needs=[libraries / "1.1" / "libframe.so"],
    )
    make_wheel(project, "waves", "1.0", files={"waves/_waves.so": user.read_bytes()}, tag=_TAG)
