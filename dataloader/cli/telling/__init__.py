"""What people and programs are told: text, JSON, bars, events and metrics."""
