"""Migrations of the laboratory's casebook, run by Alembic."""
