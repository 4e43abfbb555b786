"""Public data sets, one module a set: loaders, labelled boxes. For training and evaluation alone."""
