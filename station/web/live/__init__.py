"""Runs that are followed while they go on, from what they leave on the disk."""
