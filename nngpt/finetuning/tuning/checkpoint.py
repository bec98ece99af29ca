"""A training that is not done yet, in a hidden folder beside its target."""

from __future__ import annotations

import os
import shutil
import time
import zipfile
from pathlib import Path
from typing import Any

from nngpt.protocols import Log


class Checkpoint:
    """The newest state of one training, written every so often.

    Args:
        folder: where it lies; made when first needed.
        identity: what the training is made of; a checkpoint of another one is not used.
        every_s: seconds between two writings.
    """

    def __init__(self, folder: Path, identity: str, every_s: float) -> None:
        self._folder, self._identity, self._every_s = folder, identity, every_s
        self._written = time.monotonic()

    @property
    def due(self) -> bool:
        """True if the last one is `every_s` old."""
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
        """The state to go on from, None if there is none that fits."""
        import torch

        if not self._file.is_file():
            return None
        if not zipfile.is_zipfile(self._file):
            log("The checkpoint is damaged; beginning anew.")
            return None
        state: dict[str, Any] = torch.load(self._file, map_location="cpu", weights_only=True)
        if state.get("identity") != self._identity:
            log("The checkpoint belongs to other settings, pairs or another base; beginning anew.")
            return None
        return state

    def remove(self) -> None:
        """Nothing of it is left; to be called when the adapter is in place, or cannot be made."""
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _file(self) -> Path:
        return self._folder / "checkpoint.pt"
