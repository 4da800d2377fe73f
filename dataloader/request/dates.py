"""How far back ``--exclude-newer`` goes: a date, a time, a duration, or the release of the chosen framework. Pure.

A cutoff is the first instant that no longer counts, in UTC: ``2024-02-01T00:00:00Z``.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta, timezone

from dataloader.base.errors import UsageError

FRAMEWORK = "framework"
"""What stands for the release of the chosen framework."""

WINDOW = timedelta(days=30)
"""How long after a framework's release packages count as of its time.

Companions that a release cannot do without follow it within 5 days (torchvision and torchaudio of every torch since
1.11); what broke old releases came later, NumPy 2 for one 81 days after torch 2.2.2.
"""

_DURATION = re.compile(
    r"(?:P(?P<iso>\d{1,5})(?P<sign>[DW])|(?P<count>\d{1,5})\s*(?P<unit>d|days?|w|weeks?))", re.IGNORECASE
)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def cutoff_of(text: str, *, now: datetime, origin: str = "--exclude-newer") -> str | None:
    """Return the cutoff that a wish means; None for ``framework``, which depends on the stack.

    A day counts as a whole. A duration goes back from the last midnight, so that a day's locks are alike.

    >>> now = datetime(2024, 3, 1, 15, tzinfo=timezone.utc)
    >>> cutoff_of("2024-01-31", now=now), cutoff_of("2024-01-31T12:00:00+01:00", now=now), cutoff_of("2 weeks", now=now)
    ('2024-02-01T00:00:00Z', '2024-01-31T11:00:00Z', '2024-02-16T00:00:00Z')

    Raises:
        UsageError: ``date-invalid``.
    """
    text = text.strip()
    if text.lower() == FRAMEWORK:
        return None
    try:
        if _DATE.fullmatch(text):
            return _midnight(date.fromisoformat(text) + timedelta(days=1))
        if found := _DURATION.fullmatch(text):
            days = int(found["iso"] or found["count"])
            weeks = (found["sign"] or found["unit"]).lower().startswith("w")
            return _midnight(now.astimezone(timezone.utc).date() - timedelta(days=days * (7 if weeks else 1)))
        instant = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text))
        if instant.tzinfo is not None:
            return _spelled(instant)
    except (ValueError, OverflowError):
        pass  # said below, for every form alike
    raise UsageError(
        f"{origin}: {text!r} is no date",
        code="date-invalid",
        suggestions=(
            "write a day (2024-01-31), a time with its zone (2024-01-31T12:00:00Z) or a duration (30 days)",
            f"or {FRAMEWORK}: as of the release of the framework that is asked for",
        ),
    )


def cutoff_after(released: str) -> str:
    """Return the cutoff for packages of the time of a release, given by its day.

    >>> cutoff_after("2023-10-04")
    '2023-11-04T00:00:00Z'
    """
    return _midnight(date.fromisoformat(released) + WINDOW + timedelta(days=1))


def is_late(upload_time: str, cutoff: str) -> bool:
    """Say whether a file's upload time (PEP 700: ISO 8601) is at or after a cutoff.

    >>> [is_late(time, "2024-02-01T00:00:00Z") for time in ("2024-01-31T23:59:59.9Z", "2024-02-01T03:00:00+02:00")]
    [False, True]
    """
    if not upload_time.endswith("Z"):
        try:
            upload_time = _spelled(datetime.fromisoformat(upload_time))
        except ValueError:
            return False
    return upload_time[:19] >= cutoff[:19]


def _midnight(day: date) -> str:
    return _spelled(datetime.combine(day, time(), timezone.utc))


def _spelled(instant: datetime) -> str:
    return instant.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
