"""The network, its likelihood and its file."""
