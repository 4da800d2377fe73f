"""conda packages: fetched, kept, linked by rattler."""
