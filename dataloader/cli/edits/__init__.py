"""The commands that change what a project asks for, or which versions it has."""
