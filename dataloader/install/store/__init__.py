"""Wheels, unpacked once into a store that prefixes are linked from."""
