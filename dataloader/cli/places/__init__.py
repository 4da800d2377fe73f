"""Where things are and what is set: environments, generations, the cache, and settings with their origins."""
