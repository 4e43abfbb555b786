"""Focus measures and the search for the plane of best focus."""
