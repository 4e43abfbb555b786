"""What people touch: command line, reports, composition root."""
