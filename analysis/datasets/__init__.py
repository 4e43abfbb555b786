"""Public data sets: loaders, labelled boxes, matching."""
