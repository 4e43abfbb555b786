"""Training of the chromosome classifier."""
