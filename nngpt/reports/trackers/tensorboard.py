"""Tracker `tensorboard`: charts of a run for TensorBoard. Needs the package tensorboard."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import tensorboard  # noqa: F401 (if it is missing, that is found before torch is imported)
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from nngpt.records import TrackedEvent, TrackedRun


def create(run: TrackedRun) -> TensorBoard:
    """Return the tracker; a run that resumes adds a file to the same folder."""
    return TensorBoard(run)


class TensorBoard:
    """Writes event files: figures over the number of a candidate or cycle, curves over epochs."""

    def __init__(self, run: TrackedRun) -> None:
        self.key = str(run.number)
        self._writer = SummaryWriter(str(run.folder))
        if run.key is None:
            settings = json.dumps(run.settings, indent=2)
            self._writer.add_text("settings", f"```json\n{settings}\n```")

    def log(self, events: Sequence[TrackedEvent]) -> None:
        """Write the figures of events, and the curve of each candidate."""
        for event in events:
            seconds = datetime.fromisoformat(event.at).timestamp()
            for name, value in event.figures.items():
                self._writer.add_scalar(f"{event.kind}/{name}", value, event.number, seconds)
            for epoch, accuracy in enumerate(event.curve, 1):
                tag = f"curves/{event.kind} {event.number}"
                self._writer.add_scalar(tag, accuracy, epoch, seconds)
        self._writer.flush()

    def add_artefact(self, name: str, path: Path) -> None:
        """Show the texts (Markdown) and figures (PNG) of an artefact, and its path."""
        found = [path] if path.is_file() else sorted(path.rglob("*"))
        self._writer.add_text(name, f"`{path.resolve()}`")
        for file in found:
            tag = f"{name}/{file.relative_to(path) if file != path else file.name}"
            if file.suffix == ".md":
                self._writer.add_text(tag, file.read_text(encoding="utf-8"))
            elif file.suffix == ".png":
                pixels = np.asarray(Image.open(file).convert("RGB"))
                self._writer.add_image(tag, pixels, dataformats="HWC")

    def close(self, finished: bool | None) -> None:
        """Write what is left and close the file."""
        self._writer.close()
