"""Files in, batches of ids out: fetch → read → clean → split → vocab → batches."""
