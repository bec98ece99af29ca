"""From the core's records to rows."""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.orm import Session

from nngpt.records import Candidate, Completion, Novelty, Prompt, Retraining, State
from nngpt.store.states import now
from nngpt.store.tables import Code, PromptRow
from nngpt.store.views import prompt_body, prompt_hash


def add_prompt(session: Session, prompt: Prompt) -> str:
    key = prompt_hash(prompt)
    row = {
        "hash": key,
        "template": prompt.template,
        "template_hash": prompt.template_hash,
        "mode": prompt.mode,
        "body": prompt_body(prompt),
    }
    session.execute(insert(PromptRow).values(row).on_conflict_do_nothing())
    return key


def add_code(session: Session, candidate: Candidate) -> str:
    digest = hashlib.sha256(candidate.code.encode("utf-8", "surrogatepass")).hexdigest()
    row = {"digest": digest, "content_hash": candidate.content_hash, "code": candidate.code}
    session.execute(insert(Code).values(row).on_conflict_do_nothing())
    return digest


def generated(completion: Completion) -> dict[str, Any]:
    return {
        "state": State.GENERATED,
        "text": completion.text,
        "model": completion.model,
        "adapter": completion.adapter,
        "seed": completion.seed,
        "batch_index": completion.index,
        "prompt_tokens": completion.prompt_tokens,
        "completion_tokens": completion.completion_tokens,
        "generation_s": completion.seconds,
        "finished": completion.finished,
        "restarts": 0,
        "created": now(),
        "updated": now(),
    }


def retrained(retraining: Retraining | None) -> dict[str, Any]:
    if retraining is None:
        return {}
    return {
        "retrained_accuracy": retraining.accuracy,
        "retrained_total": retraining.total,
        "retrained_seed": retraining.seed,
        "retrained_s": retraining.seconds,
        "retrained_cpu_s": retraining.cpu_s,
        "retrained_reason": retraining.reason,
    }


def compared(novelty: Novelty | None) -> dict[str, Any]:
    return vars(novelty) if novelty else {}
