"""The digital twin of the instrument."""
