"""Nets, their weights and the manifests that vouch for them."""
