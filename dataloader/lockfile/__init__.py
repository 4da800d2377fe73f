"""The lockfile: exact files with hashes for a target, and what they were made from."""
