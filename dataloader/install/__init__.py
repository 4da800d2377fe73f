"""From a lock to a prefix: plan, store, build, switch."""
