"""The group ``karyoscan train``."""
