"""What all trainers share: steps, checkpoints, logs."""
