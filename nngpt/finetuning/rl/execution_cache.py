"""Train networks several at a time, and keep every outcome in a file so that none trains twice.

The file is JSONL, one outcome a line, flushed to disk as soon as the outcome is known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from nngpt.files import append_lines, whole_lines
from nngpt.protocols import Executor
from nngpt.records import Candidate, Evaluation, Refusal, canonical_json, derive_seed
from nngpt.sandbox.parallel import run_parallel

if TYPE_CHECKING:
    from nngpt.data.splits import Splits


@dataclass(frozen=True)
class CachedOutcome:
    """A line of the cache's file: the outcome of one network with its settings.

    Attributes:
        key: sha256 of network, settings, protocol and seed.
        outcome: evaluation or refusal.
    """

    key: str
    outcome: Evaluation | Refusal


_LINE = TypeAdapter(CachedOutcome)


class ExecutionCache:
    """Trains the networks of RL answers and caches their outcomes in a file.

    Attributes:
        executed: number of networks trained by this object.
    """

    def __init__(
        self, executor: Executor, seed: int, setting: Mapping[str, Any], file: Path
    ) -> None:
        """Read the outcomes in `file`.

        Args:
            seed: seed of the run.
            setting: everything else that an outcome depends on, apart from the network.
            file: JSONL file of the outcomes; it may be missing.
        """
        self._executor, self._seed = executor, seed
        self._setting = canonical_json({**setting, "seed": seed})
        self._known, self._file = _read_outcomes(file), file
        self.executed = 0

    def outcomes(self, candidates: Sequence[Candidate]) -> list[tuple[Evaluation | Refusal, bool]]:
        """Return each network's outcome, and whether it was known; equal networks train once.

        Raises: ExecutionError if the sandbox itself does not work.
        """
        keys = [self._key(candidate) for candidate in candidates]
        missing = {k: c for k, c in zip(keys, candidates, strict=True) if k not in self._known}
        if missing:
            self._train(missing)
        first = {key: keys.index(key) for key in missing}
        return [(self._known[key], first.get(key) != place) for place, key in enumerate(keys)]

    def _train(self, missing: Mapping[str, Candidate]) -> None:
        """Train these networks, by key, and keep each outcome as soon as it is known."""
        seeds = {k: derive_seed(self._seed, "train", c.content_hash) for k, c in missing.items()}
        jobs = {k: partial(self._executor.evaluate, c, seeds[k]) for k, c in missing.items()}
        for key, outcome in run_parallel(self._executor, jobs):
            self._known[key] = outcome
            append_lines(self._file, [_LINE.dump_json(CachedOutcome(key, outcome))])
            self.executed += 1

    def _key(self, candidate: Candidate) -> str:
        network = {
            "code": candidate.code,
            "hyperparameters": dict(candidate.hyperparameters),
            "transform": candidate.transform,
            "batch": candidate.batch,
        }
        return hashlib.sha256((canonical_json(network) + self._setting).encode()).hexdigest()


def hash_data(splits: Splits) -> str:
    """Return the sha256 of the images and labels that decide an outcome, for the cache's keys."""
    digest = hashlib.sha256()
    for part in (splits.train, splits.validation):
        for array in (part.open_images(), part.open_labels()):
            digest.update(f"{array.shape}{array.dtype}".encode())
            digest.update(array.data)
    return digest.hexdigest()


def _read_outcomes(file: Path) -> dict[str, Evaluation | Refusal]:
    """Return the outcomes in a file by key; lines that are not valid are skipped."""
    known = {}
    for line in whole_lines(file):
        try:
            kept = _LINE.validate_json(line)
        except ValidationError:
            continue
        known[kept.key] = kept.outcome
    return known
