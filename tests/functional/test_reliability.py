"""One of each of the events of ``tests.reliability``; ``nox -s reliability`` plays them for minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reliability.__main__ import a_world, play
from tests.reliability.events import EVENTS, full_volume, why_not
from tests.reliability.judge import Figures


@pytest.mark.slow
def test_one_event_of_each_kind(tmp_path: Path) -> None:
    events = [event for event in EVENTS if not why_not(event)]
    figures = Figures()
    with a_world(tmp_path, seed=7, small=full_volume in events) as world:
        assert world.run(world.sync("1")).returncode == 0
        play(world, events, figures, until=float("inf"), count=len(events), is_patient=False)

    assert figures.faults == []
    assert sum(figures.events.values()) == len(events) >= 6
