"""Edits of a karyotyped cell that change which chromosomes it has and where they lie."""
