"""Side by side with uv and rattler, in one run: ``python -m tests.bench [--runs N] [NAME...]``."""
