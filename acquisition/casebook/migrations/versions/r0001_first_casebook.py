"""Runs, fields, candidates, captures, karyotypes and events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Written out here: a migration has to stay what it was when the software around it changes.
_APPLICATION_ID = 0x4B415259


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"PRAGMA application_id={_APPLICATION_ID}")
    _create_run()
    _create_field()
    _create_candidate()
    _create_capture()
    _create_karyotype()
    _create_run_event()


def downgrade() -> None:
    for table in ("run_event", "karyotype", "capture", "candidate", "field", "run"):
        op.drop_table(table)


def _uid(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(64), nullable=False)


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=nullable)


def _word(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(32), nullable=False)


def _int(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, autoincrement=False, nullable=nullable)


def _float(name: str, *, nullable: bool = False) -> sa.Column[float]:
    return sa.Column(name, sa.Double, nullable=nullable)


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _check(name: str, rule: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(rule, name=op.f(name))


def _of_run(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f(f"fk_{table}_run_id_run"))


def _create_run() -> None:
    op.create_table(
        "run",
        sa.Column("id", sa.Integer, nullable=False),
        _uid("uid"),
        _text("slide"),
        _text("rig"),
        _text("rig_yaml"),
        _text("protocol"),
        _text("protocol_yaml"),
        _text("software_version"),
        _time("started_at"),
        _word("status"),
        _time("finished_at", nullable=True),
        _text("error", nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
        sa.UniqueConstraint("uid", name=op.f("uq_run_uid")),
        _check("ck_run_uid_not_empty", "uid <> ''"),
        _check(
            "ck_run_status_known",
            "status IN ('running', 'completed', 'completed_with_errors', 'stopped', 'failed')",
        ),
        _check("ck_run_finished_when_not_running", "(status = 'running') = (finished_at IS NULL)"),
    )


def _create_field() -> None:
    op.create_table(
        "field",
        _int("run_id"),
        _int("field_index"),
        _int("grid_row"),
        _int("grid_column"),
        _float("slide_x_um"),
        _float("slide_y_um"),
        _float("stage_x_um", nullable=True),
        _float("stage_y_um", nullable=True),
        _float("z_um", nullable=True),
        _word("status"),
        _time("taken_at"),
        _float("move_ms"),
        _float("focus_ms"),
        _float("expose_ms"),
        _float("find_ms"),
        _int("candidates"),
        _text("error", nullable=True),
        sa.PrimaryKeyConstraint("run_id", "field_index", name=op.f("pk_field")),
        _of_run("field"),
        _check("ck_field_status_known", "status IN ('done', 'failed')"),
        _check("ck_field_grid_not_negative", "field_index >= 0 AND grid_row >= 0 AND grid_column >= 0"),
        _check(
            "ck_field_times_not_negative",
            "move_ms >= 0 AND focus_ms >= 0 AND expose_ms >= 0 AND find_ms >= 0",
        ),
        _check("ck_field_candidates_not_negative", "candidates >= 0"),
    )


def _create_candidate() -> None:
    op.create_table(
        "candidate",
        _int("run_id"),
        _uid("uid"),
        _int("field_index"),
        _float("slide_x_um"),
        _float("slide_y_um"),
        _float("radius_um"),
        _float("score"),
        _int("rank"),
        _word("status"),
        _text("thumbnail", nullable=True),
        _text("error", nullable=True),
        sa.PrimaryKeyConstraint("run_id", "uid", name=op.f("pk_candidate")),
        _of_run("candidate"),
        sa.ForeignKeyConstraint(
            ["run_id", "field_index"],
            ["field.run_id", "field.field_index"],
            name=op.f("fk_candidate_run_id_field_index_field"),
        ),
        _check("ck_candidate_status_known", "status IN ('found', 'captured', 'not_selected', 'failed')"),
        _check("ck_candidate_uid_not_empty", "uid <> ''"),
        _check("ck_candidate_radius_positive", "radius_um > 0"),
        _check("ck_candidate_rank_from_one", "rank >= 1"),
    )
    op.create_index(op.f("ix_candidate_run_id_field_index"), "candidate", ["run_id", "field_index"])


def _create_capture() -> None:
    op.create_table(
        "capture",
        _int("run_id"),
        _uid("uid"),
        _uid("candidate_uid"),
        _text("path"),
        sa.Column("sha256", sa.String(64), nullable=False),
        _float("slide_x_um"),
        _float("slide_y_um"),
        _float("stage_x_um"),
        _float("stage_y_um"),
        _float("z_um"),
        _text("objective"),
        _float("um_per_px"),
        _float("exposure_ms"),
        _float("focus_score"),
        _float("centring_um"),
        _time("taken_at"),
        sa.PrimaryKeyConstraint("run_id", "uid", name=op.f("pk_capture")),
        sa.UniqueConstraint("run_id", "path", name=op.f("uq_capture_run_id_path")),
        _of_run("capture"),
        sa.ForeignKeyConstraint(
            ["run_id", "candidate_uid"],
            ["candidate.run_id", "candidate.uid"],
            name=op.f("fk_capture_run_id_candidate_uid_candidate"),
        ),
        _check("ck_capture_uid_not_empty", "uid <> ''"),
        _check("ck_capture_sha256_whole", "length(sha256) = 64"),
        _check("ck_capture_um_per_px_positive", "um_per_px > 0"),
        _check("ck_capture_exposure_positive", "exposure_ms > 0"),
        _check("ck_capture_centring_not_negative", "centring_um >= 0"),
    )
    op.create_index(op.f("ix_capture_run_id_candidate_uid"), "capture", ["run_id", "candidate_uid"])


def _create_karyotype() -> None:
    op.create_table(
        "karyotype",
        _int("run_id"),
        _uid("capture_uid"),
        _word("status"),
        _float("seconds"),
        _text("iscn", nullable=True),
        _int("chromosomes", nullable=True),
        _text("json_path", nullable=True),
        _text("picture_path", nullable=True),
        _text("error", nullable=True),
        sa.PrimaryKeyConstraint("run_id", "capture_uid", name=op.f("pk_karyotype")),
        _of_run("karyotype"),
        sa.ForeignKeyConstraint(
            ["run_id", "capture_uid"],
            ["capture.run_id", "capture.uid"],
            name=op.f("fk_karyotype_run_id_capture_uid_capture"),
        ),
        _check("ck_karyotype_status_known", "status IN ('proposed', 'refused', 'failed')"),
        _check("ck_karyotype_seconds_not_negative", "seconds >= 0"),
        _check("ck_karyotype_chromosomes_not_negative", "chromosomes >= 0"),
    )


def _create_run_event() -> None:
    op.create_table(
        "run_event",
        sa.Column("id", sa.Integer, nullable=False),
        _int("run_id"),
        _time("at"),
        _word("level"),
        _text("kind"),
        _text("message"),
        sa.Column("context", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run_event")),
        _of_run("run_event"),
        _check("ck_run_event_level_known", "level IN ('info', 'warning', 'error')"),
        _check("ck_run_event_kind_not_empty", "kind <> ''"),
    )
    op.create_index(op.f("ix_run_event_run_id"), "run_event", ["run_id"])
