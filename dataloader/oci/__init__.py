"""Environments as OCI images: written to a registry without a daemon, and taken from one."""
