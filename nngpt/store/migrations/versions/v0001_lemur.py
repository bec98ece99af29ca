"""Create LEMUR's tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from nngpt.store.column_types import LemurValue

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create LEMUR's tables."""
    op.create_table(
        "layer_stat",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("layer_name", sa.Text(), nullable=True),
        sa.Column("layer_type", sa.Text(), nullable=True),
        sa.Column("stat_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "metric",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_index(op.f("ix_metric_id"), "metric", ["id"], unique=False)
    op.create_table(
        "nn",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_index(op.f("ix_nn_id"), "nn", ["id"], unique=False)
    op.create_table(
        "nn_minhash",
        sa.Column("nn", sa.Text(), nullable=False),
        sa.Column("num_perm", sa.Integer(), nullable=False),
        sa.Column("shingle_n", sa.Integer(), nullable=False),
        sa.Column("hashvalues", sa.LargeBinary(), nullable=False),
        sa.Column(
            "created_at", sa.Text(), server_default=sa.text("(datetime('now'))"), nullable=False
        ),
        sa.PrimaryKeyConstraint("nn"),
    )
    op.create_table(
        "nn_similarity",
        sa.Column("nn_a", sa.Text(), nullable=False),
        sa.Column("nn_b", sa.Text(), nullable=False),
        sa.Column("jaccard", sa.Float(), nullable=False),
        sa.Column("method", sa.Text(), server_default="minhash", nullable=False),
        sa.Column(
            "created_at", sa.Text(), server_default=sa.text("(datetime('now'))"), nullable=False
        ),
        sa.PrimaryKeyConstraint("nn_a", "nn_b"),
    )
    op.create_table(
        "prm",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", LemurValue(), nullable=False),
        sa.PrimaryKeyConstraint("uid", "name"),
    )
    op.create_table(
        "transform",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_index(op.f("ix_transform_id"), "transform", ["id"], unique=False)
    op.create_table(
        "nn_stat",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("nn_name", sa.Text(), nullable=False),
        sa.Column("prm_id", sa.Text(), nullable=False),
        sa.Column("total_layers", sa.Integer(), nullable=True),
        sa.Column("leaf_layers", sa.Integer(), nullable=True),
        sa.Column("max_depth", sa.Integer(), nullable=True),
        sa.Column("nn_depth", sa.Integer(), nullable=True),
        sa.Column("total_params", sa.Integer(), nullable=True),
        sa.Column("trainable_params", sa.Integer(), nullable=True),
        sa.Column("frozen_params", sa.Integer(), nullable=True),
        sa.Column("flops", sa.Integer(), nullable=True),
        sa.Column("model_size_mb", sa.Float(), nullable=True),
        sa.Column("buffer_size_mb", sa.Float(), nullable=True),
        sa.Column("total_memory_mb", sa.Float(), nullable=True),
        sa.Column("dropout_count", sa.Integer(), nullable=True),
        sa.Column("has_attention", sa.Integer(), nullable=True),
        sa.Column("has_residual_connections", sa.Integer(), nullable=True),
        sa.Column("is_resnet_like", sa.Integer(), nullable=True),
        sa.Column("is_vgg_like", sa.Integer(), nullable=True),
        sa.Column("is_inception_like", sa.Integer(), nullable=True),
        sa.Column("is_densenet_like", sa.Integer(), nullable=True),
        sa.Column("is_unet_like", sa.Integer(), nullable=True),
        sa.Column("is_transformer_like", sa.Integer(), nullable=True),
        sa.Column("is_mobilenet_like", sa.Integer(), nullable=True),
        sa.Column("is_efficientnet_like", sa.Integer(), nullable=True),
        sa.Column("code_length", sa.Integer(), nullable=True),
        sa.Column("num_classes_defined", sa.Integer(), nullable=True),
        sa.Column("num_functions_defined", sa.Integer(), nullable=True),
        sa.Column("uses_sequential", sa.Integer(), nullable=True),
        sa.Column("uses_modulelist", sa.Integer(), nullable=True),
        sa.Column("uses_moduledict", sa.Integer(), nullable=True),
        sa.Column("meta_json", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["nn_name"], ["nn.name"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_nn_stat_nn_name"), "nn_stat", ["nn_name"], unique=False)
    op.create_index(op.f("ix_nn_stat_prm_id"), "nn_stat", ["prm_id"], unique=False)
    op.create_table(
        "prun",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("model_name", sa.Text(), nullable=False),
        sa.Column("pruning_method", sa.Text(), nullable=False),
        sa.Column("task_dataset", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("accuracy", sa.Float(), nullable=True),
        sa.Column("pruning_ratio", sa.Float(), nullable=True),
        sa.Column("model_size_before_kb", sa.Float(), nullable=True),
        sa.Column("model_size_after_kb", sa.Float(), nullable=True),
        sa.Column("duration", sa.Integer(), nullable=True),
        sa.Column("params_before", sa.Integer(), nullable=True),
        sa.Column("params_after", sa.Integer(), nullable=True),
        sa.Column("params_removed", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["model_name"], ["nn.name"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_prun_model_name"), "prun", ["model_name"], unique=False)
    op.create_table(
        "run",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("model_name", sa.Text(), nullable=False),
        sa.Column("device_type", sa.Text(), nullable=True),
        sa.Column("os_version", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("unit", sa.Text(), nullable=True),
        sa.Column("cpu_error", sa.Text(), nullable=True),
        sa.Column("gpu_error", sa.Text(), nullable=True),
        sa.Column("npu_error", sa.Text(), nullable=True),
        sa.Column("device_analytics_json", sa.Text(), nullable=True),
        sa.Column("precision_type", sa.Text(), nullable=True),
        sa.Column("type", sa.Text(), nullable=True),
        sa.Column("valid", sa.Boolean(), nullable=True),
        sa.Column("emulator", sa.Boolean(), nullable=True),
        sa.Column("duration", sa.Integer(), nullable=True),
        sa.Column("iterations", sa.Integer(), nullable=True),
        sa.Column("cpu_duration", sa.Integer(), nullable=True),
        sa.Column("cpu_min_duration", sa.Integer(), nullable=True),
        sa.Column("cpu_max_duration", sa.Integer(), nullable=True),
        sa.Column("gpu_duration", sa.Integer(), nullable=True),
        sa.Column("gpu_min_duration", sa.Integer(), nullable=True),
        sa.Column("gpu_max_duration", sa.Integer(), nullable=True),
        sa.Column("npu_duration", sa.Integer(), nullable=True),
        sa.Column("npu_min_duration", sa.Integer(), nullable=True),
        sa.Column("npu_max_duration", sa.Integer(), nullable=True),
        sa.Column("cpu_std_dev", sa.Float(), nullable=True),
        sa.Column("gpu_std_dev", sa.Float(), nullable=True),
        sa.Column("npu_std_dev", sa.Float(), nullable=True),
        sa.Column("total_ram_kb", sa.Integer(), nullable=True),
        sa.Column("free_ram_kb", sa.Integer(), nullable=True),
        sa.Column("available_ram_kb", sa.Integer(), nullable=True),
        sa.Column("cached_kb", sa.Integer(), nullable=True),
        sa.Column("in_dim_0", sa.Integer(), nullable=True),
        sa.Column("in_dim_1", sa.Integer(), nullable=True),
        sa.Column("in_dim_2", sa.Integer(), nullable=True),
        sa.Column("in_dim_3", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["model_name"], ["nn.name"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_run_model_name"), "run", ["model_name"], unique=False)
    op.create_table(
        "stat",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("accuracy", sa.Float(), nullable=True),
        sa.Column("epoch", sa.Integer(), nullable=True),
        sa.Column("duration", sa.Integer(), nullable=True),
        sa.Column("task", sa.Text(), nullable=True),
        sa.Column("dataset", sa.Text(), nullable=True),
        sa.Column("nn", sa.Text(), nullable=False),
        sa.Column("transform", sa.Text(), nullable=True),
        sa.Column("metric", sa.Text(), nullable=True),
        sa.Column("prm", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["nn"], ["nn.name"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_stat_accuracy"), "stat", ["accuracy"], unique=False)
    op.create_index(op.f("ix_stat_dataset"), "stat", ["dataset"], unique=False)
    op.create_index(op.f("ix_stat_metric"), "stat", ["metric"], unique=False)
    op.create_index(op.f("ix_stat_nn"), "stat", ["nn"], unique=False)
    op.create_index(op.f("ix_stat_prm"), "stat", ["prm"], unique=False)
    op.create_index(op.f("ix_stat_task"), "stat", ["task"], unique=False)
    op.create_index(op.f("ix_stat_transform"), "stat", ["transform"], unique=False)
    op.create_table(
        "train_stat",
        sa.Column("stat_id", sa.Text(), nullable=False),
        sa.Column("train_loss", sa.Float(), nullable=True),
        sa.Column("test_loss", sa.Float(), nullable=True),
        sa.Column("train_accuracy", sa.Float(), nullable=True),
        sa.Column("gradient_norm", sa.Float(), nullable=True),
        sa.Column("samples_per_second", sa.Float(), nullable=True),
        sa.Column("epoch_max", sa.Integer(), nullable=True),
        sa.Column("cpu_count", sa.Integer(), nullable=True),
        sa.Column("cpu_type", sa.Text(), nullable=True),
        sa.Column("gpu_type", sa.Text(), nullable=True),
        sa.Column("cpu_usage_percent", sa.Float(), nullable=True),
        sa.Column("total_ram_kb", sa.Float(), nullable=True),
        sa.Column("occupied_ram_kb", sa.Float(), nullable=True),
        sa.Column("ram_usage_percent", sa.Float(), nullable=True),
        sa.Column("gpu_memory_kb", sa.Float(), nullable=True),
        sa.Column("gpu_total_memory_kb", sa.Float(), nullable=True),
        sa.Column("occupied_gpu_memory_kb", sa.Float(), nullable=True),
        sa.Column("gpu_memory_usage_percent", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["stat_id"], ["stat.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("stat_id"),
    )
