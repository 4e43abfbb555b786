"""The commands of ``karyoscan``, one module a group."""
