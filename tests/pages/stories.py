"""For each page: what its reader has done before, what is typed for what it leaves open, what is not run, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

_COMMITTED = "git init -q . && git add . && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m one"
_POOL = r"""printf '[[pool]]\nname = "old"\nplatform = "linux-64"\nglibc = "2.36"\ndriver = "535.104.05"\n'"""
BEGUN = f"dataloader init -q && dataloader lock -q && {_COMMITTED}"
PROJECT = f"dataloader init -q && dataloader add -q 'numpy<2' scipy pytest && {_COMMITTED}"
TRAINED = f"{PROJECT}; echo 'import numpy' > train.py"
GENERATIONS = """for each in six ours; do
  dataloader add -q --no-sync $each && dataloader sync -q --root /mnt/envs --name train
done"""
_SCRIPT = r"""printf '# /// script\n# dependencies = ["six"]\n# ///\nimport six\n' > script.py"""
_CONDA_FILE = (
    r"printf 'channels: [defaults, conda-forge]\ndependencies: [python, zlib, pip, {pip: [six]}]\n' > environment.yml"
)
_PROJECT_FILE = r"""printf '[project]\nname = "x"\nversion = "1"\ndependencies = ["six"]\n' > pyproject.toml"""
_TREE = r"""cp -r ~/packages . && printf -- '-e ./packages/demo\n' > requirements.txt"""
_DATASET = r"""printf '%s\n' 'apiVersion: dataset.baizeai.io/v1alpha1' 'kind: Dataset' 'metadata: {name: train}' \
  'spec: {source: {type: CONDA, uri: "conda://train", options: {name: train, pipRequirementsTxt: "six",' \
  'condaEnvironmentYml: "{channels: [defaults, conda-forge], dependencies: [python, zlib]}"}}}' > train.yaml
mkdir -p /mnt/volume"""
_SERVED = """python -m @@ > told 2>&1 & server=$!
trap 'kill $server' EXIT; for each in $(seq 300); do grep -q mirror told && break; sleep 0.1; done; grep mirror told"""


class Story(NamedTuple):
    """How a page is run, in a folder of its reader's own."""

    before: str = ""
    """What its reader has done."""
    typed: Mapping[str, str] = {}
    """Command line of the page, or how it begins -> what is typed for it, with ``@@`` for itself: names that it leaves
    open, files that it begins with, programs that would stay."""
    environ: Mapping[str, str] = {}
    """Variables that its reader has set."""


STORIES: dict[str, Story] = {
    "README.md": Story(typed={"dataloader verify": "@@ -p env"}),
    "docs/index.md": Story(before="echo 'import torch' > train.py"),
    "docs/tutorial.md": Story(
        before=f"{_POOL} > pools.toml; mkdir train; cp pools.toml train",
        typed={
            "dataloader init --from requirements.txt": "(mkdir other; cd other; echo six > requirements.txt; @@)",
            "dataloader shell": "echo exit | @@",
            "git checkout dataloader.lock": f"{_COMMITTED}; @@",
        },
    ),
    "docs/howto/air-gapped.md": Story(
        before=f"{PROJECT}; {_POOL} > machines.toml",
        typed={"sh install.sh /opt/env": "mkdir there; tar --zstd -xf train.tar.zst -C there; (cd there; @@)"},
    ),
    "docs/howto/ci.md": Story(before=f"{PROJECT}; {_POOL} > pools.toml", environ={"DATALOADER_CONDA": "never"}),
    "docs/howto/cuda.md": Story(before=f"dataloader init -q; dataloader add -q --torch numpy; {_POOL} > pools.toml"),
    "docs/howto/docker.md": Story(before=PROJECT),
    "docs/howto/jupyter.md": Story(before=BEGUN),
    "docs/howto/moving.md": Story(
        before="mkdir one two three; cd one; echo six==1.16.0 > requirements.txt",
        typed={
            "dataloader init --from environment.yml": f"cd ../two; {_CONDA_FILE}; @@",
            "dataloader init --from pyproject.toml": f"cd ../three; {_PROJECT_FILE}; @@",
            "dataloader add NAME": "dataloader add scipy",
            "dataloader add conda:NAME": "dataloader add conda:zlib",
            "dataloader remove NAME": "dataloader remove zlib",
            "dataloader upgrade NAME": "dataloader upgrade scipy",
            "dataloader shell": "echo exit | @@",
            "dataloader run -- CMD": "dataloader run -- python -V",
            "dataloader run script.py": f"{_SCRIPT}; @@",
            "dataloader explain NAME": "dataloader explain numpy",
            "dataloader tree --invert NAME": "dataloader tree --invert numpy",
            "dataloader env remove NAME": "dataloader env remove default; dataloader sync",
        },
    ),
    "docs/howto/packages.md": Story(
        before="cp -r ~/wheels .; dataloader init -q; echo '[environments]\ndev = []' >> dataloader.toml; "
        f"dataloader lock -q; {_COMMITTED}",
        typed={"git checkout dataloader.lock": f"{_COMMITTED}; @@"},
    ),
    "docs/howto/private-index.md": Story(before=f"{BEGUN}; cp -r ~/wheels ."),
    "docs/howto/share.md": Story(before=f"{TRAINED}; {GENERATIONS}"),
    "docs/build.md": Story(
        before=f"{BEGUN}; mkdir vendor; cp ~/demo-1.0.tar.gz vendor; {_TREE}",
        typed={
            "dataloader sync": "export DATALOADER_BUILD_REGISTRY=registry.example.org/team/b; @@",
            "dataloader add 'demo @ https://example.org/demo-1.0.tar.gz#sha256=...' --build demo": "dataloader add "
            '"demo @ https://example.org/files/demo-1.0.tar.gz#sha256=$(sha256sum ~/demo-1.0.tar.gz | head -c 64)"'
            " --build demo",
        },
    ),
    "docs/cache.md": Story(
        before=PROJECT,
        typed={
            "dataloader cache serve": _SERVED,
        },
    ),
    "docs/commands.md": Story(
        before=f"echo 'import numpy' > train.py; {_SCRIPT}; {_CONDA_FILE}; {_POOL} > fleet.toml"
        """; echo '{"@context": "https://openvex.dev/ns/v0.2.0", "@id": "https://example.org/v", "author": "a", """
        """"timestamp": "2026-01-01T00:00:00Z", "version": 1, "statements": []}' > ours.openvex.json""",
        typed={
            "dataloader install --cuda=11.8": "(mkdir ~/old; cd ~/old; @@ -p env)",
            "dataloader lock -f environment.yml": "(mkdir ~/lone; cp environment.yml ~/lone; cd ~/lone; @@)",
            "dataloader lock numpy --platform": "(cd ~/lone; @@)",
            "dataloader remove transformers": "@@; dataloader add -q 'torch>=2.1' transformers",
            "dataloader shell": "echo exit | @@",
            "dataloader export pylock.toml": "dataloader remove -q zlib cudnn pip; @@",
            "dataloader diff": f"{_COMMITTED}; @@",
            "dataloader diff HEAD~3": "for each in 1 2 3 4; do " + _COMMITTED + "; done; @@",
            "dataloader diff old.lock new.lock": "cp dataloader.lock old.lock; cp dataloader.lock new.lock; @@",
            "dataloader generations": f"{GENERATIONS}; @@",
            "dataloader push": "dataloader sync -q -p /opt/env; @@",
            "dataloader kernel install": "dataloader add -q ipykernel; @@",
        },
    ),
    "docs/lockfile.md": Story(),
    "docs/solving.md": Story(environ={"DATALOADER_CONDA": "never"}),
    "docs/sync.md": Story(before=f"{PROJECT}; mkdir -p /run /var/lib/node_exporter"),
    "docs/verify.md": Story(before=f"{PROJECT}; dataloader sync -q -p /opt/env; dataloader sync -q -p env"),
    "docs/kubernetes/dataset.md": Story(before=_DATASET),
    "docs/kubernetes/images.md": Story(before=PROJECT),
    "docs/kubernetes/juicefs.md": Story(before=PROJECT),
    "docs/kubernetes/nfs.md": Story(before=f"{PROJECT}; {GENERATIONS}"),
    "docs/kubernetes/volumes.md": Story(before=f"{PROJECT}; dataloader sync -q -p /opt/env; {_POOL} > fleet.toml"),
}

NOT_RUN: tuple[tuple[str, str, str], ...] = (
    ("README.md", r"dataloader \w+ .* {6,}.*", "the command itself is what is spoken of"),
    ("README.md", r"dataloader install --cuda=11.8 --tensorflow=.*", "nothing stands in for TensorFlow"),
    ("README.md|docs/tutorial.md", r"python3 -m venv .*", "sets up the program that runs here"),
    ("README.md", r"\.ci/run", "runs this test"),
    ("CONTRIBUTING.md", ".*", "sets up what runs this test"),
    ("docs/tutorial.md", ".*device='cuda'.*", "needs a GPU"),
    ("docs/howto/air-gapped.md", "(mount|sh /mnt/).*", "needs root, and a loop device"),
    ("docs/howto/docker.md", "pip install .*", "a line of a Dockerfile, whose base image is elsewhere"),
    ("docs/ci.md", "python -m build --wheel", "tests/functional/test_wheel_of_ours.py builds it"),
    ("docs/ci.md", "buildah .*", "its base image is elsewhere"),
    ("docs/commands.md", "dataloader abi .*", "reads gigabytes: test_abi.py has small ones"),
    ("docs/install.md", "dataloader install .* fbgemm-gpu-cpu", "gigabytes: in test_install_contradictions.py small"),
    ("docs/kubernetes/dataset.md", "data-loader .*", "gives files to another user, which takes root"),
    ("docs/kubernetes/.*", "kubectl .*", "needs a cluster"),
    ("docs/matrix.md", r"(nox|python tools/matrix\.py) .*", "checks of this repository, which nox -s matrix runs"),
)  # fmt: skip
"""Page, command line, and why nobody runs it here; each a pattern for the whole."""
