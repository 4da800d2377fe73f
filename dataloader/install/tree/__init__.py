"""A lock becomes a tree beside the prefix."""
