"""Alembic's entry: runs on the connection it is handed."""

from __future__ import annotations

from alembic import context

from station.laboratory.tables import LaboratoryBase

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=LaboratoryBase.metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
