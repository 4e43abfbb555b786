"""Laboratory, users, cases, runs, cells, reviews and the audit trail."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Written out here: a migration has to stay what it was when the software around it changes.
_LABORATORY_ID = 0x4B4C4142
_TABLES = (
    "audit_entry",
    "audit_head",
    "lab_case",
    "laboratory",
    "user_account",
    "access_token",
    "run",
    "signature",
    "specimen",
    "user_role",
    "cell",
    "run_folder",
    "slide",
    "cell_edit",
    "proposal_version",
)
_APPEND_ONLY = ("audit_entry", "proposal_version", "cell_edit", "signature")
_REFUSAL = "rows of this table are never changed nor deleted"


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"PRAGMA application_id={_LABORATORY_ID}")
    _create_audit_entry()
    _create_audit_head()
    _create_lab_case()
    _create_laboratory()
    _create_user_account()
    _create_access_token()
    _create_run()
    _create_signature()
    _create_specimen()
    _create_user_role()
    _create_cell()
    _create_run_folder()
    _create_slide()
    _create_cell_edit()
    _create_proposal_version()
    _add_triggers()


def downgrade() -> None:
    for table in reversed(_TABLES):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION karyoscan_refuse_change()")


def _add_triggers() -> None:
    # A later migration that rebuilds one of these tables has to make its triggers again: they go with the old one.
    if op.get_bind().dialect.name == "sqlite":
        for table in _APPEND_ONLY:
            for event in ("UPDATE", "DELETE"):
                op.execute(
                    f"CREATE TRIGGER {table}_no_{event.lower()} BEFORE {event} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
                )
        return
    op.execute(
        "CREATE FUNCTION karyoscan_refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_REFUSAL}'; END $$"
    )
    for table in _APPEND_ONLY:
        for event, unit in (("UPDATE", "ROW"), ("DELETE", "ROW"), ("TRUNCATE", "STATEMENT")):
            op.execute(
                f"CREATE TRIGGER {table}_no_{event.lower()} BEFORE {event} ON {table} "
                f"FOR EACH {unit} EXECUTE FUNCTION karyoscan_refuse_change()"
            )


def _create_audit_entry() -> None:
    op.create_table(
        "audit_entry",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("user_uid", sa.String(64), nullable=True),
        sa.Column("action", sa.String(200), nullable=False),
        sa.Column("subject", sa.String(32), nullable=False),
        sa.Column("subject_uid", sa.String(64), nullable=False),
        sa.Column("case_uid", sa.String(64), nullable=True),
        sa.Column("before_json", sa.Text(), nullable=False),
        sa.Column("after_json", sa.Text(), nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_audit_entry")),
    )
    op.create_index(op.f("ix_audit_entry_actor"), "audit_entry", ["actor"], unique=False)
    op.create_index(op.f("ix_audit_entry_case_uid"), "audit_entry", ["case_uid"], unique=False)
    op.create_index(
        op.f("ix_audit_entry_subject_subject_uid"), "audit_entry", ["subject", "subject_uid"], unique=False
    )


def _create_audit_head() -> None:
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_head")),
    )


def _create_lab_case() -> None:
    op.create_table(
        "lab_case",
        sa.Column("uid", sa.String(64), nullable=False),
        sa.Column("accession", sa.String(200), nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("origin", sa.String(32), nullable=True),
        sa.Column("indication", sa.Text(), nullable=False),
        sa.Column("remark", sa.Text(), nullable=False),
        sa.Column("iscn", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint("accession <> ''", name=op.f("ck_lab_case_accession_not_empty")),
        sa.CheckConstraint(
            "status IN ('open', 'in_review', 'signed', 'amending')", name=op.f("ck_lab_case_status_listed")
        ),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_lab_case")),
        sa.UniqueConstraint("accession", name=op.f("uq_lab_case_accession")),
    )
    op.create_index(op.f("ix_lab_case_updated_at"), "lab_case", ["updated_at"], unique=False)


def _create_laboratory() -> None:
    op.create_table(
        "laboratory",
        sa.Column("uid", sa.String(64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_laboratory")),
    )


def _create_user_account() -> None:
    op.create_table(
        "user_account",
        sa.Column("uid", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("login_name", sa.String(200), nullable=False),
        sa.Column("full_name", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("must_change_password", sa.Boolean(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("failed_attempts", sa.Integer(), nullable=False),
        sa.Column("locked_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_login_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint("name <> ''", name=op.f("ck_user_account_name_not_empty")),
        sa.CheckConstraint("failed_attempts >= 0", name=op.f("ck_user_account_attempts_not_negative")),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_user_account")),
        sa.UniqueConstraint("login_name", name=op.f("uq_user_account_login_name")),
    )


def _create_access_token() -> None:
    op.create_table(
        "access_token",
        sa.Column("uid", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("user_uid", sa.String(64), nullable=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "kind IN ('browser', 'api', 'setup', 'reset')", name=op.f("ck_access_token_kind_listed")
        ),
        sa.ForeignKeyConstraint(
            ["user_uid"], ["user_account.uid"], name=op.f("fk_access_token_user_uid_user_account")
        ),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_access_token")),
        sa.UniqueConstraint("digest", name=op.f("uq_access_token_digest")),
    )
    op.create_index(op.f("ix_access_token_user_uid"), "access_token", ["user_uid"], unique=False)


def _create_run() -> None:
    op.create_table(
        "run",
        sa.Column("uid", sa.String(64), nullable=False),
        sa.Column("case_uid", sa.String(64), nullable=True),
        sa.Column("assigned_by_person", sa.Boolean(), nullable=False),
        sa.Column("slide", sa.Text(), nullable=False),
        sa.Column("accession", sa.Text(), nullable=False),
        sa.Column("rig", sa.Text(), nullable=False),
        sa.Column("protocol", sa.Text(), nullable=False),
        sa.Column("software_version", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("fields_done", sa.Integer(), nullable=False),
        sa.Column("fields_failed", sa.Integer(), nullable=False),
        sa.Column("candidates", sa.Integer(), nullable=False),
        sa.Column("captured", sa.Integer(), nullable=False),
        sa.Column("karyotyped", sa.Integer(), nullable=False),
        sa.Column("indexed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "status IN ('running', 'completed', 'completed_with_errors', 'stopped', 'aborted', "
            "'parked', 'failed')",
            name=op.f("ck_run_status_listed"),
        ),
        sa.ForeignKeyConstraint(["case_uid"], ["lab_case.uid"], name=op.f("fk_run_case_uid_lab_case")),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_run")),
    )
    op.create_index(op.f("ix_run_case_uid"), "run", ["case_uid"], unique=False)
    op.create_index(op.f("ix_run_started_at"), "run", ["started_at"], unique=False)


def _create_signature() -> None:
    op.create_table(
        "signature",
        sa.Column("uid", sa.String(64), nullable=False),
        sa.Column("case_uid", sa.String(64), nullable=False),
        sa.Column("user_uid", sa.String(64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("full_name", sa.Text(), nullable=False),
        sa.Column("meaning", sa.String(32), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("case_version", sa.Integer(), nullable=False),
        sa.Column("content_sha256", sa.String(64), nullable=False),
        sa.CheckConstraint(
            "meaning IN ('analysed', 'reviewed', 'approved')", name=op.f("ck_signature_meaning_listed")
        ),
        sa.ForeignKeyConstraint(["case_uid"], ["lab_case.uid"], name=op.f("fk_signature_case_uid_lab_case")),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_signature")),
    )
    op.create_index(op.f("ix_signature_case_uid"), "signature", ["case_uid"], unique=False)


def _create_specimen() -> None:
    op.create_table(
        "specimen",
        sa.Column("uid", sa.String(64), nullable=False),
        sa.Column("case_uid", sa.String(64), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["case_uid"], ["lab_case.uid"], name=op.f("fk_specimen_case_uid_lab_case")),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_specimen")),
    )
    op.create_index(op.f("ix_specimen_case_uid"), "specimen", ["case_uid"], unique=False)


def _create_user_role() -> None:
    op.create_table(
        "user_role",
        sa.Column("user_uid", sa.String(64), nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.CheckConstraint(
            "role IN ('technician', 'cytogeneticist', 'supervisor', 'administrator', 'service')",
            name=op.f("ck_user_role_role_listed"),
        ),
        sa.ForeignKeyConstraint(
            ["user_uid"], ["user_account.uid"], name=op.f("fk_user_role_user_uid_user_account")
        ),
        sa.PrimaryKeyConstraint("user_uid", "role", name=op.f("pk_user_role")),
    )


def _create_cell() -> None:
    op.create_table(
        "cell",
        sa.Column("uid", sa.String(64), nullable=False),
        sa.Column("case_uid", sa.String(64), nullable=True),
        sa.Column("run_uid", sa.String(64), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("origin", sa.String(32), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=True),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("analysable", sa.Double(), nullable=True),
        sa.Column("picture", sa.Text(), nullable=False),
        sa.Column("picture_sha256", sa.String(64), nullable=False),
        sa.Column("thumbnail", sa.Text(), nullable=True),
        sa.Column("karyogram", sa.Text(), nullable=True),
        sa.Column("um_per_px", sa.Double(), nullable=True),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("exclusion_reason", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("karyotype_status", sa.String(32), nullable=True),
        sa.Column("karyotype_error", sa.Text(), nullable=True),
        sa.Column("proposal_number", sa.Integer(), nullable=False),
        sa.Column("iscn", sa.Text(), nullable=True),
        sa.Column("chromosomes", sa.Integer(), nullable=True),
        sa.Column("verdict", sa.String(32), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "(role = 'excluded') = (exclusion_reason <> '')", name=op.f("ck_cell_excluded_with_reason")
        ),
        sa.CheckConstraint("origin IN ('run', 'picture')", name=op.f("ck_cell_origin_listed")),
        sa.CheckConstraint(
            "role IN ('not_reviewed', 'counted', 'analysed', 'karyotyped', 'excluded')",
            name=op.f("ck_cell_role_listed"),
        ),
        sa.CheckConstraint("proposal_number >= 0", name=op.f("ck_cell_proposal_number_not_negative")),
        sa.ForeignKeyConstraint(["case_uid"], ["lab_case.uid"], name=op.f("fk_cell_case_uid_lab_case")),
        sa.ForeignKeyConstraint(["run_uid"], ["run.uid"], name=op.f("fk_cell_run_uid_run")),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_cell")),
        sa.UniqueConstraint("run_uid", "name", name=op.f("uq_cell_run_uid_name")),
    )
    op.create_index(op.f("ix_cell_case_uid_rank"), "cell", ["case_uid", "rank"], unique=False)


def _create_run_folder() -> None:
    op.create_table(
        "run_folder",
        sa.Column("uid", sa.String(64), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("run_uid", sa.String(64), nullable=True),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "state IN ('indexed', 'growing', 'missing', 'incomplete', 'newer', 'damaged', 'duplicate')",
            name=op.f("ck_run_folder_state_listed"),
        ),
        sa.ForeignKeyConstraint(["run_uid"], ["run.uid"], name=op.f("fk_run_folder_run_uid_run")),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_run_folder")),
        sa.UniqueConstraint("folder", name=op.f("uq_run_folder_folder")),
    )
    op.create_index(op.f("ix_run_folder_run_uid"), "run_folder", ["run_uid"], unique=False)


def _create_slide() -> None:
    op.create_table(
        "slide",
        sa.Column("uid", sa.String(64), nullable=False),
        sa.Column("case_uid", sa.String(64), nullable=False),
        sa.Column("specimen_uid", sa.String(64), nullable=True),
        sa.Column("barcode", sa.String(200), nullable=False),
        sa.Column("remark", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint("barcode <> ''", name=op.f("ck_slide_barcode_not_empty")),
        sa.ForeignKeyConstraint(["case_uid"], ["lab_case.uid"], name=op.f("fk_slide_case_uid_lab_case")),
        sa.ForeignKeyConstraint(["specimen_uid"], ["specimen.uid"], name=op.f("fk_slide_specimen_uid_specimen")),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_slide")),
        sa.UniqueConstraint("barcode", name=op.f("uq_slide_barcode")),
    )
    op.create_index(op.f("ix_slide_case_uid"), "slide", ["case_uid"], unique=False)


def _create_cell_edit() -> None:
    op.create_table(
        "cell_edit",
        sa.Column("uid", sa.String(64), nullable=False),
        sa.Column("cell_uid", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("user_uid", sa.String(64), nullable=True),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("base_number", sa.Integer(), nullable=False),
        sa.Column("result_number", sa.Integer(), nullable=False),
        sa.CheckConstraint("action IN ('apply', 'undo', 'redo')", name=op.f("ck_cell_edit_action_listed")),
        sa.CheckConstraint("number >= 1", name=op.f("ck_cell_edit_number_from_one")),
        sa.ForeignKeyConstraint(["cell_uid"], ["cell.uid"], name=op.f("fk_cell_edit_cell_uid_cell")),
        sa.ForeignKeyConstraint(
            ["user_uid"], ["user_account.uid"], name=op.f("fk_cell_edit_user_uid_user_account")
        ),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_cell_edit")),
        sa.UniqueConstraint("cell_uid", "number", name=op.f("uq_cell_edit_cell_uid_number")),
    )


def _create_proposal_version() -> None:
    op.create_table(
        "proposal_version",
        sa.Column("uid", sa.String(64), nullable=False),
        sa.Column("cell_uid", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("origin", sa.String(32), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("user_uid", sa.String(64), nullable=True),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("iscn", sa.Text(), nullable=True),
        sa.Column("chromosomes", sa.Integer(), nullable=True),
        sa.Column("verdict", sa.String(32), nullable=True),
        sa.Column("path", sa.Text(), nullable=True),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint("origin IN ('software', 'person')", name=op.f("ck_proposal_version_origin_listed")),
        sa.CheckConstraint(
            "(path IS NULL) <> (content IS NULL)", name=op.f("ck_proposal_version_path_or_content")
        ),
        sa.CheckConstraint("number >= 1", name=op.f("ck_proposal_version_number_from_one")),
        sa.ForeignKeyConstraint(["cell_uid"], ["cell.uid"], name=op.f("fk_proposal_version_cell_uid_cell")),
        sa.ForeignKeyConstraint(
            ["user_uid"], ["user_account.uid"], name=op.f("fk_proposal_version_user_uid_user_account")
        ),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_proposal_version")),
        sa.UniqueConstraint("cell_uid", "number", name=op.f("uq_proposal_version_cell_uid_number")),
    )
