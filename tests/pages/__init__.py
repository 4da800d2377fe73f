"""The documentation as its readers type it: what each page says to type, and where that is run."""
