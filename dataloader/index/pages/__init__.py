"""Pages of indexes -> the files that they name."""
