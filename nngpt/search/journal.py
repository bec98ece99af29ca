"""The journal of a search: its stages, its time and the weights after each, on disk.

    <folder>/stages.jsonl       one line per finished stage, appended and flushed
    <folder>/<key>.safetensors  weights and optimiser state after a stage

A stage counts once its line is written; its weights are in place before. So a search that was
killed loses the stages in flight only, and the same command finds all others.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from nngpt import files
from nngpt.errors import UserError
from nngpt.records import Stage
from nngpt.search.recipe import Recipe

_STAGES = "stages.jsonl"


@dataclass(frozen=True)
class StageRecord:
    """A finished stage of a network's training.

    Attributes:
        key: name of the stage: the rung or part of the search, and the network.
        network: content hash of the network.
        correct, total: predictions of the validation images; 0 of 0 for a refusal.
        batches: training batches passed in all stages so far.
        parameters, macs, latency_ms: number of trainable parameters; multiplications with addition,
            and milliseconds, of one image's forward pass, None if unknown; as its process claimed.
        seconds: wall seconds of the stage.
        spent: seconds of the whole search up to the stage's end.
        refused, refused_at: why the stage failed, "" if it did not, and where (`Stage`).
        recipe: how it trained.
        before: key of the stage before; "" for a first stage.
    """

    key: str
    network: str
    correct: int = 0
    total: int = 0
    batches: int = 0
    parameters: int = 0
    macs: int | None = None
    latency_ms: float | None = None
    seconds: float = 0.0
    spent: float = 0.0
    refused: str = ""
    refused_at: str = Stage.TRAIN
    recipe: Recipe = field(default_factory=Recipe)
    before: str = ""

    @property
    def images(self) -> int:
        """Number of training images passed so far."""
        return self.batches * self.recipe.batch

    @property
    def accuracy(self) -> float:
        """Validation accuracy, 0…1; 0 for a refusal."""
        return self.correct / self.total if self.total else 0.0


class Journal:
    """The stages of one search, and the clock over all of its sessions; for several threads.

    Attributes:
        folder: the search's folder; it exists.
        stages: finished stages by key.
    """

    def __init__(self, folder: Path, seconds: float, began: float) -> None:
        """Read the stages that earlier sessions finished.

        Args:
            seconds: time of the whole search.
            began: `time.monotonic()` at the start of this session.

        Raises: UserError if the journal cannot be read.
        """
        self.folder, self._seconds = folder, seconds
        self._lock = threading.Lock()
        self.stages: dict[str, StageRecord] = {}
        self._file = folder / _STAGES
        for line in self._lines():
            self.stages[line.key] = line
        self._before = max((stage.spent for stage in self.stages.values()), default=0.0)
        self._began = began

    @property
    def spent(self) -> float:
        """Seconds of the search so far, in all sessions; what was in flight at a kill excepted."""
        return self._before + time.monotonic() - self._began

    @property
    def left(self) -> float:
        """Seconds left; negative after the end."""
        return self._seconds - self.spent

    def add(self, record: StageRecord, state: bytes | None) -> StageRecord:
        """Store a finished stage with its weights, which stay until `forget`."""
        with self._lock:
            record = replace(record, spent=round(self.spent, 2))
            if state is not None:
                # Under a fixed name, so that the stage overwrites what a kill left of itself.
                partial = self.folder / f".{record.key}.partial"
                partial.write_bytes(state)
                files.publish(partial, self._weights(record.key))
            files.append_lines(self._file, [json.dumps(asdict(record)).encode()])
            self.stages[record.key] = record
        return record

    def chain(self, record: StageRecord) -> list[StageRecord]:
        """Return a stage and all stages before it, from which it continued."""
        found = [record]
        while found[-1].before in self.stages:
            found.append(self.stages[found[-1].before])
        return found

    def state(self, key: str) -> bytes:
        """Return weights and optimiser state after a stage. Raises: UserError if they are gone."""
        return files.read_bytes(self._weights(key), largest=1 << 31)

    def has_state(self, key: str) -> bool:
        """Return whether the weights after a stage are still there."""
        return self._weights(key).is_file()

    def forget(self, key: str) -> None:
        """Delete the weights after a stage that nothing continues from."""
        self._weights(key).unlink(missing_ok=True)

    def clear(self) -> None:
        """Delete the stages and their weights, also of stages that a kill cut off."""
        for begins in ("first", "rung", "tune", "final"):
            for weights in self.folder.glob(f"{begins}*-*.safetensors"):
                weights.unlink()
        for partial in self.folder.glob(".*.partial"):
            partial.unlink()
        self._file.unlink(missing_ok=True)
        self.stages.clear()

    def _weights(self, key: str) -> Path:
        return self.folder / f"{key}.safetensors"

    def _lines(self) -> list[StageRecord]:
        try:
            return [_record(json.loads(line)) for line in files.whole_lines(self._file)]
        except (ValueError, TypeError, KeyError):
            hint = "Remove this folder, or choose another --folder"
            raise UserError("is damaged", where=str(self._file), hint=hint) from None


def _record(line: dict[str, Any]) -> StageRecord:
    return StageRecord(**{**line, "recipe": Recipe(**line["recipe"])})
