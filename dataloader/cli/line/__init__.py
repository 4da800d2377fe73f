"""The line as it is typed: options, the commands that have them, and the two readers of one grammar."""
