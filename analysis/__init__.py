"""From image to knowledge: metaphases, chromosomes, classes, karyogram, ISCN."""
