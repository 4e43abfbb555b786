"""Several cells of one case: clones, mosaics, the case's ISCN string and its summary."""
