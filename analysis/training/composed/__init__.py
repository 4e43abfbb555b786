"""Whole metaphases composed in optical density from single chromosomes, with the truth about every one of them."""
