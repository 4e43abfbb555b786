"""Which of a cell's proposals are chromosomes."""
