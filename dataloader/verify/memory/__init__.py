"""What verify remembers, so that it need not look again."""
