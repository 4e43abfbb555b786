"""The class and polarity of a single chromosome."""
