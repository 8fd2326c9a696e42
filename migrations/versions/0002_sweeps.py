"""Sweeps: several specs over one model

Revision: 0002, after 0001.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        "sweeps",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("workspace", sa.String(), nullable=False),
        sa.Column("model_id", sa.String(), nullable=False),
        sa.Column("calibration_dataset_id", sa.String()),
        sa.Column("evaluation_dataset_id", sa.String()),
        sa.Column("labels", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("best_by", sa.JSON(none_as_null=True)),
        sa.Column("differences", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sweeps"),
    )
    op.create_index("ix_sweeps_workspace_id", "sweeps", ["workspace", "id"])
    # Not in batch mode: on SQLite that drops the table, and with its rows go those that name them.
    op.add_column("jobs", sa.Column("sweep_id", sa.String()))
    op.add_column("jobs", sa.Column("sweep_position", sa.Integer()))
    op.create_index("ix_jobs_sweep_id", "jobs", ["sweep_id"])
    with op.batch_alter_table("idempotency_keys") as keys:
        keys.add_column(sa.Column("sweep_id", sa.String()))
        keys.create_foreign_key(
            "fk_idempotency_keys_sweep_id", "sweeps", ["sweep_id"], ["id"], ondelete="CASCADE"
        )


def downgrade():
    with op.batch_alter_table("idempotency_keys") as keys:
        keys.drop_constraint("fk_idempotency_keys_sweep_id", type_="foreignkey")
        keys.drop_column("sweep_id")
    op.drop_index("ix_jobs_sweep_id", "jobs")
    op.drop_column("jobs", "sweep_position")
    op.drop_column("jobs", "sweep_id")
    op.drop_table("sweeps")
