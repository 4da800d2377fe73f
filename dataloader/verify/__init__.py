"""Prove that an environment can load, without running it."""
