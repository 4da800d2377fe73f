"""Who published what is installed."""
