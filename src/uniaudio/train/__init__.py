"""Training: one loop, one objective per network."""
