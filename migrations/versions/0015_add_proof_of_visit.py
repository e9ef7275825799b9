"""add proof of visit: devices, tills, challenges, subjects, vouchers, receipts; what check-ins know of their signatures"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

SHARDED = {"citus": "shard_cell"}
_MOMENT = sa.DateTime(timezone=True)


def _column(name: str, kind: sa.types.TypeEngine, *, null: bool = False, **more: object) -> sa.Column:
    return sa.Column(name, kind, nullable=null, **more)


def upgrade() -> None:
    _signers()
    _check_ins()
    _receipts()
    _vouchers()
    op.add_column("api_keys", _column("stands_for", sa.Uuid(), null=True))
    op.add_column("log_queue", _column("shard", sa.Text(), null=True))
    op.execute("UPDATE log_queue SET shard = to_char(queued_at, 'YYYY') || CASE WHEN extract(month FROM queued_at) <= 6 THEN 'h1' ELSE 'h2' END")
    op.alter_column("log_queue", "shard", nullable=False)
    op.create_index("ix_log_queue_shard_queued_at", "log_queue", ["shard", "queued_at"])
    op.drop_index("ix_log_queue_queued_at", "log_queue")
    op.create_table(
        "erasures",
        _column("subject_hash", sa.LargeBinary()), _column("erased_at", _MOMENT),
        sa.PrimaryKeyConstraint("subject_hash", name="pk_erasures"),
    )  # fmt: skip


def _signers() -> None:
    op.create_table(
        "devices",
        _column("id", sa.Text()), _column("jwk", pg.JSONB()), _column("platform", sa.Text()), _column("attested", sa.Boolean(), null=True),
        _column("enrolled_by", sa.Uuid()), _column("enrolled_at", _MOMENT), _column("revoked_at", _MOMENT, null=True),
        _column("revoked_event", sa.Uuid(), null=True),
        sa.PrimaryKeyConstraint("id", name="pk_devices"),
    )  # fmt: skip
    op.create_table(
        "device_proofs",
        _column("device_id", sa.Text()), _column("jti", sa.Text()), _column("seen_at", _MOMENT),
        sa.PrimaryKeyConstraint("device_id", "jti", name="pk_device_proofs"),
    )  # fmt: skip
    op.create_index("ix_device_proofs_seen_at", "device_proofs", ["seen_at"])
    op.create_table(
        "tills",
        _column("shard_cell", sa.BigInteger()), _column("id", sa.Text()), _column("store_id", sa.Uuid()),
        _column("merchant_id", sa.Uuid(), null=True), _column("public", sa.LargeBinary()), _column("totp_secret", sa.LargeBinary()),
        _column("name", sa.Text()), _column("enrolled_at", _MOMENT), _column("enrolled_event", sa.Uuid()),
        _column("revoked_at", _MOMENT, null=True), _column("revoked_event", sa.Uuid(), null=True),
        sa.PrimaryKeyConstraint("shard_cell", "id", name="pk_tills"),
        info=SHARDED,
    )  # fmt: skip
    op.create_index("ix_tills_shard_cell_store_id", "tills", ["shard_cell", "store_id"])
    op.create_table(
        "subjects",
        _column("id", sa.Uuid()), _column("caller_id", sa.Uuid()), _column("visitor", sa.Text()), _column("secret", sa.LargeBinary()),
        _column("together", sa.SmallInteger(), server_default="0"), _column("created_at", _MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_subjects"),
        sa.UniqueConstraint("caller_id", "visitor", name="uq_subjects_caller_id_visitor"),
    )  # fmt: skip
    op.create_table(
        "device_subjects",
        _column("device_id", sa.Text()), _column("subject_id", sa.Uuid()), _column("used_at", _MOMENT),
        sa.PrimaryKeyConstraint("device_id", "subject_id", name="pk_device_subjects"),
    )  # fmt: skip
    op.create_index("ix_device_subjects_subject_id", "device_subjects", ["subject_id"])


def _check_ins() -> None:
    op.create_table(
        "challenges",
        _column("shard_cell", sa.BigInteger()), _column("ch", sa.LargeBinary()), _column("store_id", sa.Uuid()), _column("device_id", sa.Text()),
        _column("beacon_size", sa.BigInteger()), _column("beacon_root", sa.LargeBinary()),
        _column("expires_at", _MOMENT), _column("used_at", _MOMENT, null=True),
        sa.PrimaryKeyConstraint("shard_cell", "ch", name="pk_challenges"),
        info=SHARDED,
    )  # fmt: skip
    op.create_index("ix_challenges_expires_at", "challenges", ["expires_at"])
    op.create_table(
        "till_codes",
        _column("shard_cell", sa.BigInteger()), _column("till_id", sa.Text()), _column("step", sa.BigInteger()), _column("device_id", sa.Text()),
        _column("used_at", _MOMENT),
        sa.PrimaryKeyConstraint("shard_cell", "till_id", "step", "device_id", name="pk_till_codes"),
        info=SHARDED,
    )  # fmt: skip
    op.create_index("ix_till_codes_used_at", "till_codes", ["used_at"])
    op.create_table(
        "code_tries",
        _column("device_id", sa.Text()), _column("tried_at", _MOMENT), _column("chance", sa.Uuid()), _column("store_id", sa.Uuid()),
        sa.PrimaryKeyConstraint("device_id", "tried_at", "chance", name="pk_code_tries"),
    )  # fmt: skip
    op.create_index("ix_code_tries_tried_at", "code_tries", ["tried_at"])
    op.create_index("ix_code_tries_store_id_tried_at", "code_tries", ["store_id", "tried_at"])
    op.create_table(
        "honeypots",
        _column("shard_cell", sa.BigInteger()), _column("store_id", sa.Uuid()),
        sa.PrimaryKeyConstraint("shard_cell", "store_id", name="pk_honeypots"),
        info=SHARDED,
    )  # fmt: skip
    # Where and when an account was lately: by the account, because it may be anywhere.
    op.create_table(
        "recent_visits",
        _column("subject_id", sa.Uuid()), _column("check_in_id", sa.Uuid()), _column("store_id", sa.Uuid()),
        _column("lat", sa.Double()), _column("lng", sa.Double()), _column("r95_mm", sa.BigInteger()), _column("visited_at", _MOMENT),
        sa.PrimaryKeyConstraint("subject_id", "check_in_id", name="pk_recent_visits"),
    )  # fmt: skip
    op.create_index("ix_recent_visits_visited_at", "recent_visits", ["visited_at"])
    for column in (
        _column("device_id", sa.Text(), null=True), _column("subject_id", sa.Uuid(), null=True), _column("claim_hash", sa.LargeBinary(), null=True),
        _column("evidence_hash", sa.LargeBinary(), null=True), _column("store_hash", sa.LargeBinary(), null=True),
        _column("methods", pg.ARRAY(sa.Text()), server_default="{}"), _column("risk", sa.SmallInteger(), server_default="0"),
        _column("findings", pg.JSONB(), server_default="[]"), _column("till_id", sa.Text(), null=True), _column("confirmed_at", _MOMENT, null=True),
        _column("pos_hash", sa.LargeBinary(), null=True), _column("voucher_hash", sa.LargeBinary(), null=True),
        _column("receipt_id", sa.Uuid(), null=True), _column("disputed_at", _MOMENT, null=True),
    ):  # fmt: skip
        op.add_column("check_ins", column)
    op.create_check_constraint(op.f("ck_check_ins_risk"), "check_ins", "risk BETWEEN 0 AND 100")
    op.create_index("ix_check_ins_subject_id", "check_ins", ["subject_id"])
    op.create_index(
        "uq_check_ins_pos", "check_ins", ["shard_cell", "store_id", "pos_hash"], unique=True, postgresql_where=sa.text("pos_hash IS NOT NULL")
    )
    op.create_index(
        "ix_check_ins_checked_in_at", "check_ins", ["checked_in_at"], postgresql_where=sa.text("receipt_id IS NULL AND claim_hash IS NOT NULL")
    )
    for column in (
        _column("claim", sa.Text(), null=True), _column("evidence", pg.JSONB(), null=True), _column("salt", sa.LargeBinary(), null=True),
        _column("confirmation", sa.Text(), null=True), _column("subject_id", sa.Uuid(), null=True),
        _column("lat_e6", sa.Integer(), null=True), _column("lng_e6", sa.Integer(), null=True),
    ):  # fmt: skip
        op.add_column("check_in_evidence", column)
    op.execute("UPDATE check_in_evidence SET evidence = jsonb_build_object('fixes', fixes)")
    op.alter_column("check_in_evidence", "evidence", nullable=False)
    op.drop_column("check_in_evidence", "fixes")
    op.create_index("ix_check_in_evidence_shard_cell_lat_e6_lng_e6", "check_in_evidence", ["shard_cell", "lat_e6", "lng_e6"])
    op.create_index("ix_check_in_evidence_subject_id", "check_in_evidence", ["subject_id"])


def _receipts() -> None:
    op.create_table(
        "operator_keys",
        _column("id", sa.Text()), _column("public", sa.LargeBinary()), _column("added_at", _MOMENT), _column("added_event", sa.Uuid()),
        _column("retired_at", _MOMENT, null=True), _column("revoked_event", sa.Uuid(), null=True),
        sa.PrimaryKeyConstraint("id", name="pk_operator_keys"),
    )  # fmt: skip
    op.create_table(
        "receipts",
        _column("shard_cell", sa.BigInteger()), _column("id", sa.Uuid()), _column("check_in_id", sa.Uuid()),
        _column("subject_id", sa.Uuid(), null=True), _column("caller_id", sa.Uuid()), _column("merchant_id", sa.Uuid(), null=True),
        _column("audience", sa.Text()), _column("jws", sa.Text()), _column("log_shard", sa.Text()), _column("issued_at", _MOMENT),
        _column("replaced_by", sa.Uuid(), null=True), _column("voided_at", _MOMENT, null=True), _column("void_reason", sa.Text(), null=True),
        sa.PrimaryKeyConstraint("shard_cell", "id", name="pk_receipts"),
        info=SHARDED,
    )  # fmt: skip
    op.create_index("ix_receipts_shard_cell_check_in_id", "receipts", ["shard_cell", "check_in_id"])
    op.create_index("ix_receipts_subject_id", "receipts", ["subject_id"])
    op.create_index("ix_receipts_issued_at", "receipts", ["issued_at"])
    op.create_table(
        "receipt_salts",
        _column("shard_cell", sa.BigInteger()), _column("receipt_id", sa.Uuid()), _column("month", sa.Text()), _column("sealed", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("shard_cell", "receipt_id", name="pk_receipt_salts"),
        info=SHARDED,
    )  # fmt: skip
    op.create_table(
        "voided_receipts",
        _column("receipt_id", sa.Uuid()), _column("voided_at", _MOMENT),
        sa.PrimaryKeyConstraint("receipt_id", name="pk_voided_receipts"),
    )  # fmt: skip
    op.create_table(
        "void_lists",
        _column("id", sa.Uuid()), _column("jws", sa.Text()), _column("issued_at", _MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_void_lists"),
    )  # fmt: skip


def _vouchers() -> None:
    op.create_table(
        "campaigns",
        _column("id", sa.Uuid()), _column("merchant_id", sa.Uuid(), null=True), _column("name", sa.Text()), _column("budget", sa.Integer()),
        _column("granted", sa.Integer(), server_default="0"), _column("expires_at", _MOMENT), _column("created_at", _MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_campaigns"),
        sa.CheckConstraint("budget >= 0", name=op.f("ck_campaigns_budget")),
    )  # fmt: skip
    op.create_table(
        "vouchers",
        _column("id", sa.Uuid()), _column("campaign_id", sa.Uuid()), _column("state", sa.Text()), _column("expires_at", _MOMENT),
        _column("created_at", _MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_vouchers"),
        sa.CheckConstraint("state IN ('issued', 'redeemed')", name=op.f("ck_vouchers_state")),
    )  # fmt: skip
    op.create_index("ix_vouchers_campaign_id", "vouchers", ["campaign_id"])
    op.create_table(
        "redemptions",
        _column("check_in_id", sa.Uuid()), _column("voucher_id", sa.Uuid(), null=True), _column("redeemed_at", _MOMENT),
        _column("reward", sa.Text()),
        sa.PrimaryKeyConstraint("check_in_id", name="pk_redemptions"),
        sa.UniqueConstraint("voucher_id", name="uq_redemptions_voucher_id"),
    )  # fmt: skip


def downgrade() -> None:
    for table in (
        "redemptions", "vouchers", "campaigns", "void_lists", "voided_receipts", "receipt_salts", "receipts", "operator_keys", "recent_visits",
        "honeypots", "code_tries", "till_codes", "challenges", "device_subjects", "subjects", "tills", "device_proofs", "devices", "erasures",
    ):  # fmt: skip
        op.drop_table(table)
    op.add_column("check_in_evidence", _column("fixes", pg.JSONB(), null=True))
    op.execute("UPDATE check_in_evidence SET fixes = coalesce(evidence -> 'fixes', '[]')")
    op.alter_column("check_in_evidence", "fixes", nullable=False)
    op.drop_index("ix_check_in_evidence_shard_cell_lat_e6_lng_e6", "check_in_evidence")
    for name in ("claim", "evidence", "salt", "confirmation", "subject_id", "lat_e6", "lng_e6"):
        op.drop_column("check_in_evidence", name)
    op.drop_index("ix_check_ins_checked_in_at", "check_ins")
    op.drop_index("uq_check_ins_pos", "check_ins")
    for name in (
        "device_id", "subject_id", "claim_hash", "evidence_hash", "store_hash", "methods", "risk", "findings", "till_id", "confirmed_at",
        "pos_hash", "voucher_hash", "receipt_id", "disputed_at",
    ):  # fmt: skip
        op.drop_column("check_ins", name)
    op.create_index("ix_log_queue_queued_at", "log_queue", ["queued_at"])
    op.drop_index("ix_log_queue_shard_queued_at", "log_queue")
    op.drop_column("log_queue", "shard")
    op.drop_column("api_keys", "stands_for")
