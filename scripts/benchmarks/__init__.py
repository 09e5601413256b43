"""The groups of lines that `scripts/bench.py` measures, and how lines are measured and shown."""
