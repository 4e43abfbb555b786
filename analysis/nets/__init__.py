"""Neural networks: layers and forward passes, no weights."""
