"""Tables of runs and attempts, all named `nngpt_…` because LEMUR has a table `run` of its own.

Times are ISO 8601 in UTC; durations are in seconds. JSON columns hold `canonical_json`.
"""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Double, ForeignKey, Index, MetaData, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from nngpt.records import Arm, State
from nngpt.store.column_types import LosslessText

_STATES = ", ".join(f"'{state}'" for state in State)
_ARMS = ", ".join(f"'{arm}'" for arm in Arm)


class Base(DeclarativeBase):
    """Declarative base of all tables; string columns store any Python string unchanged."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )
    type_annotation_map = {str: LosslessText, float: Double}  # noqa: RUF012 (SQLAlchemy reads it so)


class Run(Base):
    """A row of table `nngpt_run`: a run.

    `fence` increases with each process that takes the run over; `ended` is the reason why the run
    ended before its last cycle, or ""; `limit_s` is the limit on the own seconds of a training;
    `class_names` is a JSON list, and `images_digest` a sha256 of its images and labels.
    """

    __tablename__ = "nngpt_run"
    __table_args__ = (
        Index(
            "ix_nngpt_run_current", "name", unique=True, sqlite_where=text("status <> 'archived'")
        ),
        CheckConstraint("status IN ('active', 'done', 'archived')", name="status"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    config: Mapped[str]
    identity: Mapped[str]
    seed: Mapped[int]
    status: Mapped[str]
    fence: Mapped[int]
    created: Mapped[str]
    updated: Mapped[str]
    ended: Mapped[str] = mapped_column(default="", server_default=text("''"))
    limit_s: Mapped[float | None]
    class_names: Mapped[str | None]
    images_digest: Mapped[str | None]


class PromptRow(Base):
    """A prompt, stored once; `body` is the whole `records.Prompt` as JSON."""

    __tablename__ = "nngpt_prompt"

    hash: Mapped[str] = mapped_column(primary_key=True)
    template: Mapped[str]
    template_hash: Mapped[str]
    mode: Mapped[str]
    body: Mapped[str]


class Code(Base):
    """The source text of a network, stored once.

    `digest` is the sha256 of the exact text. LEMUR's content hash ignores white space, so different
    texts may share it.
    """

    __tablename__ = "nngpt_code"

    digest: Mapped[str] = mapped_column(primary_key=True)
    content_hash: Mapped[str] = mapped_column(index=True)
    code: Mapped[str]


class Epoch(Base):
    """One validated epoch of an attempt, with the id of the LEMUR `stat` row made from it."""

    __tablename__ = "nngpt_epoch"

    attempt_id: Mapped[int] = mapped_column(ForeignKey("nngpt_attempt.id"), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)
    accuracy: Mapped[float]
    correct: Mapped[int]
    total: Mapped[int]
    seconds: Mapped[float]
    stat_id: Mapped[str] = mapped_column(ForeignKey("stat.id"))


class Attempt(Base):
    """One completion and everything derived from it; `place` is its index within the cycle.

    A repair has the batch of the refused attempt, whose id is in `repaired_from`.
    """

    __tablename__ = "nngpt_attempt"
    __table_args__ = (
        UniqueConstraint("run_id", "cycle", "place"),
        Index(None, "run_id", "cycle", "state"),
        Index(None, "run_id", "content_hash"),
        Index(None, "repaired_from", unique=True),
        CheckConstraint(f"state IN ({_STATES})", name="state"),
        CheckConstraint(f"arm IN ({_ARMS})", name="arm"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("nngpt_run.id"))
    cycle: Mapped[int]
    batch: Mapped[int]
    place: Mapped[int]
    arm: Mapped[str] = mapped_column(default=Arm.LOOP, server_default=Arm.LOOP)
    state: Mapped[str]
    prompt_hash: Mapped[str] = mapped_column(ForeignKey("nngpt_prompt.hash"))
    mode: Mapped[str]

    text: Mapped[str]
    model: Mapped[str]
    adapter: Mapped[str | None]
    seed: Mapped[int]
    batch_index: Mapped[int]
    prompt_tokens: Mapped[int]
    completion_tokens: Mapped[int]
    generation_s: Mapped[float]
    finished: Mapped[bool]

    content_hash: Mapped[str | None]
    code_digest: Mapped[str | None] = mapped_column(ForeignKey("nngpt_code.digest"))
    written: Mapped[str | None]
    hyperparameters: Mapped[str | None]
    transform: Mapped[str | None]
    batch_size: Mapped[int | None]

    accuracy: Mapped[float | None]
    claimed_parameters: Mapped[int | None]
    evaluation_s: Mapped[float | None]
    peak_memory_mb: Mapped[float | None]
    device: Mapped[str | None]
    evaluation_seed: Mapped[int | None]
    sandbox: Mapped[str | None]
    cpu_s: Mapped[float | None]
    claimed_flops: Mapped[int | None]
    claimed_latency_ms: Mapped[float | None]
    claimed_batches: Mapped[int | None]
    claimed_proxies: Mapped[str | None]
    protocol: Mapped[str | None]
    trials: Mapped[str | None]

    retrained_accuracy: Mapped[float | None]
    retrained_total: Mapped[int | None]
    retrained_seed: Mapped[int | None]
    retrained_s: Mapped[float | None]
    retrained_cpu_s: Mapped[float | None]
    retrained_reason: Mapped[str | None]
    retrainings: Mapped[int] = mapped_column(default=0, server_default="0")

    jaccard: Mapped[float | None]
    nearest: Mapped[str | None]
    duplicate: Mapped[bool | None]

    refusal_stage: Mapped[str | None]
    refusal_reason: Mapped[str | None]
    refusal_detail: Mapped[str | None]

    repairs: Mapped[int] = mapped_column(default=0, server_default="0")
    repaired_from: Mapped[int | None] = mapped_column(ForeignKey("nngpt_attempt.id"))

    restarts: Mapped[int]
    created: Mapped[str]
    updated: Mapped[str]

    epochs: Mapped[list[Epoch]] = relationship(order_by=Epoch.epoch, viewonly=True)
    source: Mapped[Code | None] = relationship(viewonly=True)


class TransitionRow(Base):
    """One entry of the audit trail: a state change and the fence of the process."""

    __tablename__ = "nngpt_transition"

    id: Mapped[int] = mapped_column(primary_key=True)
    attempt_id: Mapped[int] = mapped_column(ForeignKey("nngpt_attempt.id"), index=True)
    before: Mapped[str | None]
    after: Mapped[str]
    at: Mapped[str]
    fence: Mapped[int]


class Admission(Base):
    """An admitted network; the primary key makes admission unique per run, arm and code.

    Runs without the novelty filter admit copies, too, which are numbered from 1 on.
    """

    __tablename__ = "nngpt_admission"

    run_id: Mapped[int] = mapped_column(ForeignKey("nngpt_run.id"), primary_key=True)
    arm: Mapped[str] = mapped_column(primary_key=True)
    content_hash: Mapped[str] = mapped_column(primary_key=True)
    copy: Mapped[int] = mapped_column(primary_key=True)
    attempt_id: Mapped[int] = mapped_column(ForeignKey("nngpt_attempt.id"), unique=True)


class AdapterRow(Base):
    """The adapter trained at the end of a cycle, with its lineage."""

    __tablename__ = "nngpt_adapter"

    run_id: Mapped[int] = mapped_column(ForeignKey("nngpt_run.id"), primary_key=True)
    cycle: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    path: Mapped[str]
    base: Mapped[str]
    base_digest: Mapped[str]
    parent: Mapped[str | None]
    corpus_hash: Mapped[str]
    pairs: Mapped[int]
    tokens: Mapped[int]
    loss_first: Mapped[float]
    loss_last: Mapped[float]
    seconds: Mapped[float]
    settings: Mapped[str]
    held_out: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    held_out_first: Mapped[float | None]
    held_out_last: Mapped[float | None]


class ClosedCycle(Base):
    """A cycle whose training has ended, with an adapter or with the reason for having none.

    `alarm` describes what went wrong in the cycle (a collapse, trainings that slept), or "".
    """

    __tablename__ = "nngpt_cycle"

    run_id: Mapped[int] = mapped_column(ForeignKey("nngpt_run.id"), primary_key=True)
    cycle: Mapped[int] = mapped_column(primary_key=True)
    adapter: Mapped[str | None] = mapped_column(ForeignKey("nngpt_adapter.name"))
    reason: Mapped[str]
    closed: Mapped[str]
    alarm: Mapped[str] = mapped_column(default="", server_default=text("''"))


class ActivityRow(Base):
    """Wall time and energy of one kind of activity in a cycle.

    `activity` joins the names of overlapping activities, such as "training+writing"; `joules` is
    None if no device reports energy.
    """

    __tablename__ = "nngpt_activity"

    run_id: Mapped[int] = mapped_column(ForeignKey("nngpt_run.id"), primary_key=True)
    cycle: Mapped[int] = mapped_column(primary_key=True)
    activity: Mapped[str] = mapped_column(primary_key=True)
    seconds: Mapped[float]
    joules: Mapped[float | None]


class ForecastRow(Base):
    """A forecast of the run's total time; `spent` is the time used up to the forecast.

    `basis` holds the stage durations behind the forecast, as JSON.
    """

    __tablename__ = "nngpt_forecast"

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("nngpt_run.id"), index=True)
    created: Mapped[str]
    cycles: Mapped[int]
    seconds: Mapped[float]
    low: Mapped[float]
    high: Mapped[float]
    spent: Mapped[float]
    basis: Mapped[str]


class ConfirmationRow(Base):
    """A candidate's full training and test accuracy (`nngpt cycle confirm`).

    `protocol` holds the training settings as JSON; `epochs` the test accuracy after each epoch, as
    JSON, empty if the training failed for `reason`.
    """

    __tablename__ = "nngpt_confirmation"
    __table_args__ = (UniqueConstraint("attempt_id", "protocol"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("nngpt_run.id"), index=True)
    attempt_id: Mapped[int] = mapped_column(ForeignKey("nngpt_attempt.id"))
    protocol: Mapped[str]
    seed: Mapped[int]
    accuracy: Mapped[float | None]
    total: Mapped[int]
    epochs: Mapped[str]
    seconds: Mapped[float]
    reason: Mapped[str]
    created: Mapped[str]


class RowDigest(Base):
    """The digest of a row, see `nngpt.store.integrity`; `key` joins its primary key with "|".

    Besides tables, `table_name` is "chain" (by run and cycle) or "schema".
    """

    __tablename__ = "nngpt_digest"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 (SQLAlchemy reads it so)

    table_name: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[bytes]
