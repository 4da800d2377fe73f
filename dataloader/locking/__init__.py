"""From a request to a lock."""
