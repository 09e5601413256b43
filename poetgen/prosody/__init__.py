"""What a Tang poem may be.  Knows no model and no corpus."""
