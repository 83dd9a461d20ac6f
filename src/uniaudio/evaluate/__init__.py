"""Judging what the models make, with judges whose models come inside packages."""
