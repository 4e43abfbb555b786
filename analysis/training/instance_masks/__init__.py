"""Training of the instance mask net, on composed cells and with boxes as weak labels."""
