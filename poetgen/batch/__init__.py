"""Many poems: prompts files, jobs, and the journal that makes them resumable."""
