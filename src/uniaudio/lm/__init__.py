"""Language models over frames of ids."""
