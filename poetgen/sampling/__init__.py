"""From a model to poems: prompts in, one decode loop, filters, batches."""
