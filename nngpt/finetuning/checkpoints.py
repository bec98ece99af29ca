"""Checkpoints of TRL's trainers that are whole or not there, and trainers that keep to themselves.

The `Trainer` writes a checkpoint file by file. Ours has a mark that is written last, after
everything else is on the disk; a folder without it was torn by a kill and is thrown away.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

_MARK = "complete"
_PREFIX = "checkpoint-"


def durable(trainer: type[Any]) -> type[Any]:
    """A TRL trainer whose checkpoints are marked; without model cards and without telemetry."""

    class Durable(trainer):  # type: ignore[misc]
        def _save_checkpoint(self, model: Any, trial: Any) -> None:
            super()._save_checkpoint(model, trial)
            _complete(Path(self.args.output_dir) / f"{_PREFIX}{self.state.global_step}")

        def _save(self, output_dir: str | None = None, *_: Any, **__: Any) -> None:
            """Adapters only, and without asking a model hub what the base's vocabulary is."""
            folder = output_dir or self.args.output_dir
            self.model.save_pretrained(folder, save_embedding_layers=False)

        def create_model_card(self, *_: Any, **__: Any) -> None:
            """None: our adapters carry their lineage."""

        def _send_telemetry(self) -> None:
            """Nothing is sent anywhere."""

    return Durable


def newest_checkpoint(folder: Path) -> Path | None:
    """The whole checkpoint with the highest step; those that a kill has torn are removed."""
    whole = []
    for found in folder.glob(f"{_PREFIX}*"):
        if (found / _MARK).exists():
            whole.append(found)
        else:
            shutil.rmtree(found)
    return max(whole, key=step_of, default=None)


def step_of(checkpoint: Path) -> int:
    """How many optimiser steps had been taken."""
    return int(checkpoint.name.removeprefix(_PREFIX))


def _complete(checkpoint: Path) -> None:
    for file in [*checkpoint.rglob("*"), checkpoint]:
        _flush(file)
    (checkpoint / _MARK).touch()
    _flush(checkpoint / _MARK)
    _flush(checkpoint)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
