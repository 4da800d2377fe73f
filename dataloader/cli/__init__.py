"""The command line: ``app`` reads it, ``quick`` answers at once, ``commands`` says which commands there are."""
