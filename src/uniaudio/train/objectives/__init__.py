"""What the loop minimises: an objective owns its networks, its batches and its loss."""
