"""Training pairs: prompts and the completions that were admitted for them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from nngpt.errors import ConfigError
from nngpt.records import Prompt, TrainingPair, canonical_json
from nngpt.store import AttemptRecord, Store


def admitted_pairs(store: Store, attempts: Iterable[AttemptRecord]) -> list[TrainingPair]:
    """One pair per admitted attempt: the prompt it answered and what it wrote."""
    return [
        TrainingPair(store.prompt(a.prompt_hash), a.candidate.written, f"attempt {a.id}")
        for a in attempts
        if a.candidate is not None
    ]


def corpus_pairs(path: Path, prompt: Prompt) -> list[TrainingPair]:
    """Pairs from a JSONL file: in each line a `completion`, and optionally its `source`.

    Raises:
        ConfigError: the file cannot be read or a line has no completion.
    """
    try:
        rows = [
            json.loads(line)
            for line in path.read_text(encoding="utf-8").split("\n")
            if line.strip()
        ]
        return [
            TrainingPair(prompt, str(row["completion"]), str(row.get("source", path.name)))
            for row in rows
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"cannot be read as JSONL with a completion in each line ({error!r})",
            where=f"learning.corpus: {path}",
        ) from None


def corpus_hash(pairs: Sequence[TrainingPair]) -> str:
    """sha256 over the pairs in their order; part of an adapter's lineage."""
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update(canonical_json(asdict(pair)).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
