"""Where a slide truly lies: measured on the instrument, and fitted."""
