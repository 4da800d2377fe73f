"""What lies inside a wheel, read without the whole of it."""
