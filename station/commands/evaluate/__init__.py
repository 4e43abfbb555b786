"""The group ``karyoscan evaluate``."""
