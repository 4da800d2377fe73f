"""Facts to findings, a kind a module."""
