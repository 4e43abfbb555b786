"""All timings of a field, its attempts and its picture; runs that were parked or aborted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_STATUSES = ("running", "completed", "completed_with_errors", "stopped", "failed")
_TIMES = ("settle_ms", "read_ms", "write_ms")


def upgrade() -> None:
    _allow_statuses((*_STATUSES[:4], "aborted", "parked", _STATUSES[4]))
    with op.batch_alter_table("field") as table:
        for name in _TIMES:
            table.add_column(sa.Column(name, sa.Double, nullable=False, server_default="0"))
        table.add_column(sa.Column("attempts", sa.Integer, nullable=False, server_default="1"))
        table.add_column(sa.Column("picture", sa.Text, nullable=True))
        table.create_check_constraint(
            op.f("ck_field_more_times_not_negative"), " AND ".join(f"{name} >= 0" for name in _TIMES)
        )
        table.create_check_constraint(op.f("ck_field_attempts_from_one"), "attempts >= 1")


def downgrade() -> None:
    op.execute("UPDATE run SET status = 'stopped' WHERE status IN ('aborted', 'parked')")
    _allow_statuses(_STATUSES)
    with op.batch_alter_table("field") as table:
        table.drop_constraint(op.f("ck_field_more_times_not_negative"), type_="check")
        table.drop_constraint(op.f("ck_field_attempts_from_one"), type_="check")
        for name in (*_TIMES, "attempts", "picture"):
            table.drop_column(name)


def _allow_statuses(statuses: tuple[str, ...]) -> None:
    allowed = ", ".join(f"'{status}'" for status in statuses)
    with op.batch_alter_table("run") as table:
        table.drop_constraint(op.f("ck_run_status_known"), type_="check")
        table.create_check_constraint(op.f("ck_run_status_known"), f"status IN ({allowed})")
