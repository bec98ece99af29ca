"""Save and restore the state of an unfinished training, in a hidden folder beside its target."""

from __future__ import annotations

import os
import shutil
import time
import zipfile
from pathlib import Path
from typing import Any

from nngpt.protocols import Log


class Checkpoint:
    """The newest saved state of one supervised fine-tuning, in a hidden folder.

    Args:
        folder: folder of the checkpoint; created at the first write.
        identity: hash of all inputs of the training; other checkpoints are not used.
        every_s: seconds between two writes.
    """

    def __init__(self, folder: Path, identity: str, every_s: float) -> None:
        self._folder, self._identity, self._every_s = folder, identity, every_s
        self._written = time.monotonic()

    @property
    def due(self) -> bool:
        """True if the last checkpoint was written at least `every_s` seconds ago."""
        return time.monotonic() - self._written >= self._every_s

    def write(self, state: dict[str, Any]) -> None:
        """Replace the checkpoint, atomically and durably."""
        import torch

        self._folder.mkdir(parents=True, exist_ok=True)
        draft = self._file.with_suffix(".part")
        with draft.open("wb") as file:
            torch.save({**state, "identity": self._identity}, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._file)
        self._written = time.monotonic()

    def read(self, log: Log) -> dict[str, Any] | None:
        """Return the saved state of this training, None if there is none."""
        import torch

        if not self._file.is_file():
            return None
        if not zipfile.is_zipfile(self._file):
            log("The checkpoint is damaged; starting over.")
            return None
        state: dict[str, Any] = torch.load(self._file, map_location="cpu", weights_only=True)
        if state.get("identity") != self._identity:
            log("The checkpoint belongs to other settings, pairs or another base; starting over.")
            return None
        return state

    def remove(self) -> None:
        """Delete the checkpoint, when the adapter is saved or the training has failed."""
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _file(self) -> Path:
        return self._folder / "checkpoint.pt"
