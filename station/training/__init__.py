"""Trainers as the command line calls them."""
