"""From batches to a trained model, interruptible at any step."""
