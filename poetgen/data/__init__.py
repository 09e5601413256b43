"""From corpus files to batches of token ids: fetch → read → clean → split → vocab → batches."""
