"""The network edge: Simple-API indexes, METADATA, downloads."""
