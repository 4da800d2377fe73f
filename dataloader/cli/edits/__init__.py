"""The commands that change what a project asks for, which versions it has, or what is installed of it."""
