"""Why there is no solution, in words that name the requirement, rule or missing file."""
