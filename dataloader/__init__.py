"""Resolve pip and conda packages jointly, install them, and prove that the result can load."""

__version__ = "0.1.0"
