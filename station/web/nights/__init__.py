"""Nights: worklists, and the processes that carry them out."""
