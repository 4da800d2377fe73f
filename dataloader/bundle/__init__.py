"""One file that holds a lock, its archives, and what installs it: for machines without a network."""
