from __future__ import annotations

from dataloader.compat.matrix import Matrix, load_matrix
from tools.matrix_coverage import FIRST, iter_coverage


class _Newest(Matrix):
    """The shipped matrix with the last few builds of every framework: all of them take the better part of a minute."""

    def __init__(self) -> None:
        whole = load_matrix()
        self.__dict__.update(whole.__dict__)
        self.builds = {framework: rows[-8:] for framework, rows in whole.builds.items()}


def test_the_newest_builds_are_planned_where_they_fit_and_refused_where_they_do_not() -> None:
    trials = list(iter_coverage(_Newest()))

    assert {trial.framework for trial in trials} == FIRST.keys()
    assert [trial for trial in trials if not (trial.planned and trial.refused)] == []
