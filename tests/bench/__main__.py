"""Run the comparisons and print medians and ratios; exit 1 when a bound is missed."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tests.bench.cases import CASES
from tests.bench.results import Result
from tests.bench.tools import World


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CASES)}; all if none is named")
    parser.add_argument("--runs", type=int, default=5, help="timed runs of each command (medians are compared)")
    parser.add_argument("--work", type=Path, help="directory for caches and environments, kept; else a temporary one")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - CASES.keys()
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    work = arguments.work or Path(tempfile.mkdtemp(prefix="dataloader-bench-"))
    work.mkdir(parents=True, exist_ok=True)
    try:
        chosen = [case for name, case in CASES.items() if not arguments.names or name in arguments.names]
        results = [report(result) for case in chosen for result in case(World(work.resolve(), arguments.runs))]
    finally:
        if arguments.work is None:
            shutil.rmtree(work, ignore_errors=True)
    return 1 if any(result.missed for result in results) else 0


def report(one: Result) -> Result:
    """Print a row as soon as it is known."""
    verdict = "missed" if one.missed else "ok"
    sys.stdout.write(f"{one.name:30} {one.ours:>10} {one.theirs:>18} {one.figure:>10} {one.bound:>16}  {verdict}\n")
    sys.stdout.flush()
    return one


if __name__ == "__main__":
    sys.exit(main())
