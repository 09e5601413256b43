"""Attempts to make poetgen lose something, crash, hang or fill the memory.  See docs/security.md."""
