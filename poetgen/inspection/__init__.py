"""What goes on inside a model: its gates while it reads, and how far its gradients reach back."""
