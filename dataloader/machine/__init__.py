"""This host: its facts, its Pythons, and the target that they make."""
