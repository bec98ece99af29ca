"""Trains networks several at a time, and none twice: what came of each is kept in a file.

The file is JSONL, one outcome a line, on the disk as soon as it is known; a line that a kill has
torn is left out when the file is read again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from nngpt.protocols import Executor
from nngpt.records import Candidate, Evaluation, Refusal, canonical_json, derive_seed

if TYPE_CHECKING:
    from nngpt.data.splits import Splits

Outcome = Evaluation | Refusal


@dataclass(frozen=True)
class Kept:
    """A line of the file: what one network with its settings gave."""

    key: str
    outcome: Outcome


_LINE = TypeAdapter(Kept)


class Executions:
    """Use it in a `with`, which closes the file.

    Attributes:
        executed: trainings that really took place, since it was made.
    """

    def __init__(
        self, executor: Executor, seed: int, setting: Mapping[str, Any], file: Path
    ) -> None:
        """`seed` is the run's; `setting` is all else that an outcome depends on, and `file` is
        where outcomes are kept, made if need be."""
        self._executor, self._seed = executor, seed
        self._setting = canonical_json({**setting, "seed": seed})
        self._known = _read(file)
        self._file = file.open("ab")
        self._file.write(b"\n" if self._file.tell() else b"")  # after a torn line
        self.executed = 0

    def __enter__(self) -> Executions:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def outcomes(self, candidates: Sequence[Candidate]) -> list[tuple[Outcome, bool]]:
        """What each network gave, and whether that was known; equal ones are trained once.

        Raises:
            ExecutionError: the sandbox itself does not work.
        """
        keys = [self._key(candidate) for candidate in candidates]
        missing = {k: c for k, c in zip(keys, candidates, strict=True) if k not in self._known}
        if missing:
            self._train(missing)
        first = {key: keys.index(key) for key in missing}
        return [(self._known[key], first.get(key) != place) for place, key in enumerate(keys)]

    def _train(self, missing: Mapping[str, Candidate]) -> None:
        pool = ThreadPoolExecutor(self._executor.workers)
        try:
            running = {pool.submit(self._evaluate, c): key for key, c in missing.items()}
            while running:
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    self._keep(running.pop(future), future)
        except BaseException:  # also when the user interrupts
            self._executor.stop()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _evaluate(self, candidate: Candidate) -> Outcome:
        seed = derive_seed(self._seed, "train", candidate.content_hash)
        return self._executor.evaluate(candidate, seed)

    def _keep(self, key: str, future: Future[Outcome]) -> None:
        self._known[key] = future.result()
        self._file.write(_LINE.dump_json(Kept(key, self._known[key])) + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.executed += 1

    def _key(self, candidate: Candidate) -> str:
        """sha256 of the network, its settings, and `setting`."""
        network = {
            "code": candidate.code,
            "hyperparameters": dict(candidate.hyperparameters),
            "transform": candidate.transform,
            "batch": candidate.batch,
        }
        return hashlib.sha256((canonical_json(network) + self._setting).encode()).hexdigest()


def data_digest(splits: Splits) -> str:
    """sha256 of the images and labels that candidates are trained and judged on."""
    digest = hashlib.sha256()
    for part in (splits.train, splits.validation):
        for array in (part.open_images(), part.open_labels()):
            digest.update(f"{array.shape}{array.dtype}".encode())
            digest.update(array.data)
    return digest.hexdigest()


def _read(file: Path) -> dict[str, Outcome]:
    """The outcomes in a file; what is no line of ours, torn by a kill, is left out."""
    known = {}
    for line in file.read_bytes().splitlines() if file.exists() else ():
        try:
            kept = _LINE.validate_json(line)
        except ValidationError:
            continue
        known[kept.key] = kept.outcome
    return known
