"""Manifests: read, edited and written anew."""
