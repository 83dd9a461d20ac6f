"""Small self-supervised networks, and the clusters that turn their features into tokens."""
