"""Finished karyograms of other systems beside their metaphases become labelled chromosomes of the metaphase."""
