"""A finished tree is judged, and teaches the next solve."""
