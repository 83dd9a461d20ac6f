"""Fields to frames: which ids there are, and in what order frames stand."""
