"""A finished tree becomes the prefix, at once or not at all."""
