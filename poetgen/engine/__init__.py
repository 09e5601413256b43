"""Exact inference without torch: integer products, and mathematics that is equal on every machine."""
