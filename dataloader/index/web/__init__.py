"""Bytes from addresses: requests, credentials, mirrors, downloads, and what can go wrong with them."""
