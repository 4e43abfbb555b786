"""What the finder thinks of a candidate, and what a reviewer decided."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_JUDGEMENTS = ("rank_score", "analysable", "spread", "overlap", "completeness", "contrast", "chromosomes")
# A later migration that rebuilds the table has to make these again: SQLite drops them with the old one.
_KEPT = {"no_update": "UPDATE", "no_delete": "DELETE"}


def upgrade() -> None:
    with op.batch_alter_table("candidate") as table:
        for name in _JUDGEMENTS:
            table.add_column(sa.Column(name, sa.Double, nullable=True))
        table.add_column(sa.Column("crop", sa.Text, nullable=True))
        table.add_column(sa.Column("noise_od", sa.Double, nullable=True))
        table.create_check_constraint(
            op.f("ck_candidate_analysable_is_probability"), "analysable >= 0 AND analysable <= 1"
        )
    _create_decision()


def downgrade() -> None:
    op.drop_table("decision")
    with op.batch_alter_table("candidate") as table:
        table.drop_constraint(op.f("ck_candidate_analysable_is_probability"), type_="check")
        for name in (*_JUDGEMENTS, "crop", "noise_od"):
            table.drop_column(name)


def _create_decision() -> None:
    op.create_table(
        "decision",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("run_id", sa.Integer, nullable=False),
        sa.Column("candidate_uid", sa.String(64), nullable=False),
        sa.Column("accepted", sa.Boolean, nullable=False),
        sa.Column("reviewer", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("slide_x_um", sa.Double, nullable=False),
        sa.Column("slide_y_um", sa.Double, nullable=False),
        sa.Column("radius_um", sa.Double, nullable=False),
        sa.Column("reason", sa.Text, nullable=True),
        sa.Column("crop", sa.Text, nullable=True),
        sa.Column("noise_od", sa.Double, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decision")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_decision_run_id_run")),
        sa.CheckConstraint("candidate_uid <> ''", name=op.f("ck_decision_candidate_uid_not_empty")),
        sa.CheckConstraint("reviewer <> ''", name=op.f("ck_decision_reviewer_not_empty")),
        sa.CheckConstraint("accepted IN (0, 1)", name=op.f("ck_decision_accepted_yes_or_no")),
        sa.CheckConstraint("radius_um > 0", name=op.f("ck_decision_radius_positive")),
    )
    op.create_index(op.f("ix_decision_run_id"), "decision", ["run_id"])
    if op.get_bind().dialect.name == "sqlite":
        for name, what in _KEPT.items():
            op.execute(
                f"CREATE TRIGGER decision_{name} BEFORE {what} ON decision "
                "BEGIN SELECT RAISE(ABORT, 'decisions are kept as they are'); END"
            )
