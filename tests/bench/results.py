"""Comparisons as they are printed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One comparison, as it is printed."""

    name: str
    ours: str
    theirs: str
    figure: str
    bound: str
    missed: bool


def ratio(name: str, medians: list[float], bound: float | None, other: str) -> Result:
    """Compare our seconds with those of another tool; where there is no bound, none is missed."""
    ours, theirs = medians
    return Result(
        name=name,
        ours=f"{ours:.3f} s",
        theirs=f"{other} {theirs:.3f} s",
        figure=f"{ours / theirs:.2f}x",
        bound=f"at most {bound}x" if bound is not None else "",
        missed=bound is not None and ours / theirs > bound,
    )


def limit(name: str, medians: list[float], bound: float) -> Result:
    """Compare our seconds with a fixed bound."""
    (ours,) = medians
    return Result(
        name=name,
        ours=_duration(ours),
        theirs="",
        figure=_duration(ours),
        bound=f"at most {_duration(bound)}",
        missed=ours > bound,
    )


def memory(name: str, peak: int, bound: int) -> Result:
    """Compare our bytes with a fixed bound."""
    return Result(
        name=name,
        ours=f"{peak / 1024**2:.0f} MiB",
        theirs="",
        figure=f"{peak / 1024**2:.0f} MiB",
        bound=f"below {bound >> 20} MiB",
        missed=peak >= bound,
    )


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"
