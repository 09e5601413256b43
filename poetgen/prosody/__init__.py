"""Verse forms, tones and rhymes of Chinese characters.  Depends on no model and no corpus."""
