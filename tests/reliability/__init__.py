"""What a sync promises, put to the test by chance: kills, prunes, containers, full volumes, damaged caches.

``python -m tests.reliability --minutes 15`` (or ``nox -s reliability -- --minutes 15``) plays events until the time is
over, judges each by what lies in the prefix, in the cache and outside of both before and after, and ends with figures.
``tests/functional/test_reliability.py`` plays a few of each kind.
"""
