"""The solver's words: specifiers, markers, tags, METADATA and rules of the matrix as records and specs. Pure."""
