"""One training engine: loop, learning-rate schedule, averaged weights, checkpoints, log, best of validation."""
