"""The five-way stream: what a piece of stain is, and the chromosomes in it, without a box ever drawn."""
