"""The one door to other processes and to tuning the interpreter."""
