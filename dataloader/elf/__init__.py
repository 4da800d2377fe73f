"""One file to facts, kept by content."""
