"""One problem, one solver: conda records, wheels and rules solved together."""
