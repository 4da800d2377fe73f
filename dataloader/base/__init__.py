"""Values that every part has: errors, names, states, digests, the reporter."""
