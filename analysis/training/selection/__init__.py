"""What the selection among a cell's proposals is fitted to, the fit, and its figures."""
