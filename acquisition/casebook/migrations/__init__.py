"""Migrations of the casebook, run by Alembic."""
