"""Training of the stream's nets, on simulated scenes alone."""
