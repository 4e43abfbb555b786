"""Protocols of the laboratory: versions, forms, and what a rig says of them."""
