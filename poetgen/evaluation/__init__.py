"""Measure models: likelihood of held-out poems, and metrics of generated poems next to real ones."""
