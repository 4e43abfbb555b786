"""Joint assignment of a cell's chromosomes, ISCN and the karyogram picture."""
