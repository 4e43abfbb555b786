"""Many slides, one after another, unattended."""
