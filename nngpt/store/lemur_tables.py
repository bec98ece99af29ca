"""LEMUR's tables under their own names and types, and what nngpt records about imports.

LEMUR never enables foreign keys. nngpt does, so only keys that LEMUR's data satisfies are
declared: `stat.prm` has no unique target, `stat.metric` may list several metrics, and
`stat.transform` may be "default", which is in no table.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from nngpt.store.column_types import LemurValue, LosslessText
from nngpt.store.tables import Base

_TYPES: dict[str, Any] = {"text": Text, "int": Integer, "real": Float, "bool": Boolean}


def _columns(kind: str, names: str, nullable: bool = True) -> list[Column[Any]]:
    return [Column(name, _TYPES[kind], nullable=nullable) for name in names.split()]


def _code_table(name: str) -> Table:
    return Table(
        name,
        Base.metadata,
        Column("name", Text, primary_key=True),
        Column("code", LosslessText, nullable=False),
        Column("id", Text, nullable=False, index=True),
    )


def _network(name: str) -> Column[Any]:
    return Column(name, ForeignKey("nn.name", ondelete="CASCADE"), nullable=False, index=True)


nn = _code_table("nn")
transform = _code_table("transform")
metric = _code_table("metric")

prm = Table(
    "prm",
    Base.metadata,
    Column("uid", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", LemurValue, nullable=False),
)

stat = Table(
    "stat",
    Base.metadata,
    Column("id", Text, primary_key=True),
    Column("accuracy", Float, index=True),
    *_columns("int", "epoch duration"),
    Column("task", Text, index=True),
    Column("dataset", Text, index=True),
    _network("nn"),
    Column("transform", Text, index=True),
    Column("metric", Text, index=True),
    Column("prm", Text, index=True),
    # Covers queries for the best trials and for one network's learning curve.
    Index("ix_stat_trials", "task", "dataset", "metric", "nn", "epoch", "accuracy"),
    Index("ix_stat_dataset_epoch_accuracy", "dataset", "epoch", "accuracy"),
)

train_stat = Table(
    "train_stat",
    Base.metadata,
    Column("stat_id", ForeignKey("stat.id", ondelete="CASCADE"), primary_key=True),
    *_columns("real", "train_loss test_loss train_accuracy gradient_norm samples_per_second"),
    *_columns("int", "epoch_max cpu_count"),
    *_columns("text", "cpu_type gpu_type"),
    *_columns("real", "cpu_usage_percent total_ram_kb occupied_ram_kb ram_usage_percent"),
    *_columns("real", "gpu_memory_kb gpu_total_memory_kb occupied_gpu_memory_kb"),
    *_columns("real", "gpu_memory_usage_percent"),
)

nn_stat = Table(
    "nn_stat",
    Base.metadata,
    Column("id", Text, primary_key=True),
    _network("nn_name"),
    Column("prm_id", Text, nullable=False, index=True),
    *_columns("int", "total_layers leaf_layers max_depth nn_depth"),
    *_columns("int", "total_params trainable_params frozen_params flops"),
    *_columns("real", "model_size_mb buffer_size_mb total_memory_mb"),
    *_columns("int", "dropout_count has_attention has_residual_connections"),
    *_columns("int", "is_resnet_like is_vgg_like is_inception_like is_densenet_like"),
    *_columns("int", "is_unet_like is_transformer_like is_mobilenet_like is_efficientnet_like"),
    *_columns("int", "code_length num_classes_defined num_functions_defined"),
    *_columns("int", "uses_sequential uses_modulelist uses_moduledict"),
    *_columns("text", "meta_json error"),
)

nn_minhash = Table(
    "nn_minhash",
    Base.metadata,
    Column("nn", Text, primary_key=True),
    *_columns("int", "num_perm shingle_n", nullable=False),
    Column("hashvalues", LargeBinary, nullable=False),
    Column("created_at", Text, nullable=False, server_default=text("(datetime('now'))")),
)

nn_similarity = Table(
    "nn_similarity",
    Base.metadata,
    Column("nn_a", Text, primary_key=True),
    Column("nn_b", Text, primary_key=True),
    Column("jaccard", Float, nullable=False),
    Column("method", Text, nullable=False, server_default="minhash"),
    Column("created_at", Text, nullable=False, server_default=text("(datetime('now'))")),
)

run = Table(
    "run",
    Base.metadata,
    Column("id", Text, primary_key=True),
    _network("model_name"),
    *_columns("text", "device_type os_version error_message unit cpu_error gpu_error npu_error"),
    *_columns("text", "device_analytics_json precision_type type"),
    *_columns("bool", "valid emulator"),
    *_columns("int", "duration iterations cpu_duration cpu_min_duration cpu_max_duration"),
    *_columns("int", "gpu_duration gpu_min_duration gpu_max_duration"),
    *_columns("int", "npu_duration npu_min_duration npu_max_duration"),
    *_columns("real", "cpu_std_dev gpu_std_dev npu_std_dev"),
    *_columns("int", "total_ram_kb free_ram_kb available_ram_kb cached_kb"),
    *_columns("int", "in_dim_0 in_dim_1 in_dim_2 in_dim_3"),
)

prun = Table(
    "prun",
    Base.metadata,
    Column("id", Text, primary_key=True),
    _network("model_name"),
    *_columns("text", "pruning_method task_dataset", nullable=False),
    Column("status", Text),
    *_columns("real", "accuracy pruning_ratio model_size_before_kb model_size_after_kb"),
    *_columns("int", "duration params_before params_after params_removed"),
)

layer_stat = Table(
    "layer_stat",
    Base.metadata,
    Column("id", Text, primary_key=True),
    *_columns("text", "layer_name layer_type stat_id"),
)


class LemurImport(Base):
    """One run of `nngpt lemur import`.

    Attributes:
        source: path, or package with its version.
        sha256: hash of the file, None for a folder.
        finished: None while the import runs, or if it was killed.
        report: counts and refused files as JSON.
    """

    __tablename__ = "nngpt_lemur_import"

    id: Mapped[int] = mapped_column(primary_key=True)
    source: Mapped[str]
    sha256: Mapped[str | None]
    started: Mapped[str]
    finished: Mapped[str | None]
    report: Mapped[str]


class LemurExtra(Base):
    """Values of a trial that LEMUR's tables cannot hold; export needs them to be lossless.

    They are never read as hyperparameters.

    Attributes:
        trial: JSON object of keys that replace those from `stat` and `prm`: measurements such as
            `metric_…`, `duration_seconds` and `train_stat`, booleans, and values that differ
            between trials of one `uid`. NaN and Infinity are bare.
        lacks: JSON list of hyperparameters of the `uid` that the trial does not have.
    """

    __tablename__ = "nngpt_lemur_extra"

    stat_id: Mapped[str] = mapped_column(
        ForeignKey("stat.id", ondelete="CASCADE"), primary_key=True
    )
    trial: Mapped[str]
    lacks: Mapped[str | None]


class LemurRun(Base):
    """Origin of a row of LEMUR's table `run`.

    Attributes:
        path: path relative to `stat/run`.
        record: the file's JSON, without the analytics that the row contains.
    """

    __tablename__ = "nngpt_lemur_run"

    run_id: Mapped[str] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), primary_key=True)
    path: Mapped[str]
    record: Mapped[str]


class LemurEmpty(Base):
    """A statistics file that lists no trial (LEMUR has thousands)."""

    __tablename__ = "nngpt_lemur_empty"

    task: Mapped[str] = mapped_column(primary_key=True)
    dataset: Mapped[str] = mapped_column(primary_key=True)
    metric: Mapped[str] = mapped_column(primary_key=True)
    nn: Mapped[str] = mapped_column(primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)


class Signature(Base):
    """A network's MinHash signature, with the recipe that compared signatures must share.

    Attributes:
        scheme: hash scheme of datasketch.
        stream: tokens that were shingled ("lexical", "normalised" …).
        shingle: tokens per shingle.
        hashvalues: `permutations` unsigned 32-bit integers, little-endian.
    """

    __tablename__ = "nngpt_signature"

    nn: Mapped[str] = mapped_column(ForeignKey("nn.name", ondelete="CASCADE"), primary_key=True)
    scheme: Mapped[str]
    seed: Mapped[int]
    permutations: Mapped[int]
    stream: Mapped[str]
    shingle: Mapped[int]
    hashvalues: Mapped[bytes]
