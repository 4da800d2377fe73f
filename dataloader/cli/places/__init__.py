"""Where things are and what is set: environments, and settings with their origins."""
