"""Classes of all chromosomes of a cell, assigned jointly."""
