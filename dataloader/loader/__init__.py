"""What dlopen would do; pure."""
