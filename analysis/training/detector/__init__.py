"""Training of the chromosome detector."""
