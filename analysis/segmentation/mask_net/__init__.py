"""Masks of single chromosomes, predicted from box or point prompts."""
