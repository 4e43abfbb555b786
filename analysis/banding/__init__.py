"""How a cell is banded, and how finely."""
