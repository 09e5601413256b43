"""Metrics of a set of poems; `table.METRICS` lists them."""
