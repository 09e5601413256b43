"""Measurements inside a model: its gates as it reads, gates clamped open or shut, gradient decay."""
