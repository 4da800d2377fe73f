"""Files of other tools, told apart by what they hold; their locks, read as ours."""
