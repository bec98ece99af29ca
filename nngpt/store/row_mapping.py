"""Convert records to database rows and back.

A field whose column has another name stands in one table below, which serves both directions.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, fields
from functools import cache
from typing import Any

from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.orm import Session

from nngpt.records import (
    Adapter,
    Arm,
    Candidate,
    Completion,
    EpochResult,
    Evaluation,
    Message,
    Novelty,
    Prompt,
    Refusal,
    Retraining,
    ShownBlock,
    Stage,
    State,
    Trial,
    canonical_json,
)
from nngpt.store.states import now
from nngpt.store.tables import (
    AdapterRow,
    Attempt,
    Code,
    ConfirmationRow,
    ForecastRow,
    PromptRow,
    Run,
)
from nngpt.store.views import AttemptRecord, Confirmation, ForecastRecord, RunRecord

_ADD_CODE = insert(Code).on_conflict_do_nothing()

_COLUMNS: dict[Any, dict[str, str]] = {
    Completion: {"index": "batch_index", "seconds": "generation_s"},
    Candidate: {"batch": "batch_size"},
    Evaluation: {"seconds": "evaluation_s", "seed": "evaluation_seed"},
    Retraining: {
        **{name: f"retrained_{name}" for name in ("accuracy", "total", "seed", "cpu_s", "reason")},
        "seconds": "retrained_s",
    },
    Refusal: {name: f"refusal_{name}" for name in ("stage", "reason", "detail")},
}
"""Record class → field → name of its column."""


def prompt_hash(prompt: Prompt) -> str:
    """Return the key of a prompt's database row, a sha256 that covers every field."""
    return hashlib.sha256(_prompt_body(prompt).encode()).hexdigest()


def _prompt_body(prompt: Prompt) -> str:
    """Return a prompt as canonical JSON, the form that `to_prompt` reads."""
    values = {item.name: getattr(prompt, item.name) for item in fields(prompt)}
    for younger in ("parent", "blocks"):  # keep the hashes of prompts older than these fields
        if not values[younger]:
            del values[younger]
    if prompt.blocks:
        values["blocks"] = [asdict(block) for block in prompt.blocks]
    values["messages"] = [[message.role, message.content] for message in prompt.messages]
    return canonical_json(values)


def add_prompt(session: Session, prompt: Prompt) -> str:
    """Map a prompt to a row, stored once; return its hash."""
    row = {
        "hash": prompt_hash(prompt),
        "template": prompt.template,
        "template_hash": prompt.template_hash,
        "mode": prompt.mode,
        "body": _prompt_body(prompt),
    }
    session.execute(insert(PromptRow).values(row).on_conflict_do_nothing())
    return str(row["hash"])


def add_code(session: Session, candidate: Candidate) -> str:
    """Map a candidate's code to a row, stored once; return its sha256."""
    digest = hashlib.sha256(candidate.code.encode("utf-8", "surrogatepass")).hexdigest()
    row = {"digest": digest, "content_hash": candidate.content_hash, "code": candidate.code}
    session.connection().execute(_ADD_CODE, row)
    return digest


def generated_columns(completion: Completion) -> dict[str, Any]:
    """Return the database columns of a new attempt that come from its completion."""
    start = {"state": State.GENERATED, "restarts": 0, "created": now(), "updated": now()}
    return {**columns(completion), **start}


def candidate_columns(candidate: Candidate) -> dict[str, Any]:
    """Return the database columns of a parsed attempt, without its code."""
    values = columns(candidate)
    del values["code"]
    values["hyperparameters"] = canonical_json(dict(candidate.hyperparameters))
    return {**values, "content_hash": candidate.content_hash}


def evaluation_columns(evaluation: Evaluation) -> dict[str, Any]:
    """Return the database columns of a trained attempt, without its epochs."""
    values = columns(evaluation)
    del values["epochs"]
    values["trials"] = canonical_json([vars(trial) for trial in evaluation.trials])
    if evaluation.claimed_proxies is not None:
        values["claimed_proxies"] = canonical_json(evaluation.claimed_proxies)
    return {**values, "accuracy": evaluation.accuracy}


def columns(record: Any) -> dict[str, Any]:
    """Return a record's fields by the names of their database columns; {} for None."""
    if record is None:
        return {}
    renamed = _COLUMNS.get(type(record), {})
    return {renamed.get(name, name): value for name, value in vars(record).items()}


def to_prompt(row: PromptRow) -> Prompt:
    """Convert a database row to its prompt."""
    values = json.loads(row.body)
    values["messages"] = tuple(Message(role, content) for role, content in values["messages"])
    values["stop"] = tuple(values["stop"])
    values["blocks"] = tuple(ShownBlock(**block) for block in values.get("blocks", ()))
    return Prompt(**values)


def to_run(row: Run) -> RunRecord:
    """Convert a database row to its run."""
    names = tuple(json.loads(row.class_names or "[]"))
    config = json.loads(row.config)
    return RunRecord(**_values(RunRecord, row, config=config, class_names=names))


def to_adapter(row: AdapterRow) -> Adapter:
    """Convert a database row to its adapter."""
    return Adapter(**_values(Adapter, row))


def to_forecast(row: ForecastRow) -> ForecastRecord:
    """Convert a database row to its forecast."""
    return ForecastRecord(**_values(ForecastRecord, row, basis=json.loads(row.basis)))


def to_confirmation(row: ConfirmationRow) -> Confirmation:
    """Convert a database row to its confirmation."""
    return Confirmation(**_values(Confirmation, row, epochs=tuple(json.loads(row.epochs))))


def to_attempt(row: Attempt, with_code: bool) -> AttemptRecord:
    """Convert a database row, which must still belong to a session, to its attempt."""
    values = _values(
        AttemptRecord,
        row,
        state=State(row.state),
        arm=Arm(row.arm),
        completion=Completion(**_values(Completion, row)),
        candidate=_to_candidate(row) if with_code else None,
        evaluation=_to_evaluation(row),
        novelty=_to_novelty(row),
        refusal=_to_refusal(row),
        retraining=_to_retraining(row),
    )
    return AttemptRecord(**values)


def _to_candidate(row: Attempt) -> Candidate | None:
    if row.source is None or row.hyperparameters is None:
        return None
    given = json.loads(row.hyperparameters)
    return Candidate(**_values(Candidate, row, code=row.source.code, hyperparameters=given))


def _to_evaluation(row: Attempt) -> Evaluation | None:
    if row.accuracy is None:
        return None
    values = _values(
        Evaluation,
        row,
        epochs=tuple(EpochResult(**_values(EpochResult, epoch)) for epoch in row.epochs),
        claimed_proxies=json.loads(row.claimed_proxies or "null"),
        protocol=row.protocol or "{}",
        trials=tuple(Trial(**trial) for trial in json.loads(row.trials or "[]")),
    )
    return Evaluation(**values)


def _to_retraining(row: Attempt) -> Retraining | None:
    if row.retrained_seed is None:
        return None
    values = _values(Retraining, row)
    values["total"], values["seconds"] = values["total"] or 0, values["seconds"] or 0.0
    return Retraining(**{**values, "reason": values["reason"] or ""})


def _to_novelty(row: Attempt) -> Novelty | None:
    if row.jaccard is None:
        return None
    return Novelty(row.jaccard, row.nearest, bool(row.duplicate))


def _to_refusal(row: Attempt) -> Refusal | None:
    if row.refusal_stage is None:
        return None
    return Refusal(Stage(row.refusal_stage), row.refusal_reason or "", row.refusal_detail or "")


def _values(kind: Any, row: Any, /, **converted: Any) -> dict[str, Any]:
    """Return the fields of a record class: `converted`, and all others read from the row."""
    columns = {n: column for n, column in _columns(kind) if n not in converted}
    return {**{name: getattr(row, column) for name, column in columns.items()}, **converted}


@cache
def _columns(kind: Any) -> list[tuple[str, str]]:
    """Return the fields of a record class, each with its column; for thousands of rows."""
    renamed = _COLUMNS.get(kind, {})
    return [(item.name, renamed.get(item.name, item.name)) for item in fields(kind)]
