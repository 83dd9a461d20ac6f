"""Neural audio codecs: samples <-> codes."""
