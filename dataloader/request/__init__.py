"""What is asked for, as values that know no command line."""
