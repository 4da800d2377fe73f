"""Channels, and rattler, which reads them and solves."""
