"""What is installed: packages, rigs, protocols and weights."""
