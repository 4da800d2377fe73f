"""Wheels from sources: unpacked, built apart from everything else, judged."""
