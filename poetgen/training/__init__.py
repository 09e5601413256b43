"""Training: from a plan and batches to a model file, resumable at any step."""
