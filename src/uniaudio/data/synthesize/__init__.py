"""Made corpora: audio whose text, voice and timing are known because we made it."""
