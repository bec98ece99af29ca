"""Tracker `wandb`: a run of Weights & Biases. Needs the package wandb.

WANDB_PROJECT, WANDB_MODE and its other variables work as in all programs with W&B.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import wandb

from nngpt.records import TrackedEvent, TrackedRun


def create(run: TrackedRun) -> WandB:
    """Return the tracker; a run that resumes continues its run of W&B."""
    return WandB(run)


class WandB:
    """Logs to one run of W&B, whose id is the key."""

    def __init__(self, run: TrackedRun) -> None:
        self._run = wandb.init(
            id=run.key,
            resume="allow",
            name=f"{run.name}-{run.number}",
            config=dict(run.settings),
            dir=run.folder,
            settings=wandb.Settings(silent=True, console="off"),
        )
        self.key = self._run.id
        for kind in ("candidate", "cycle"):
            self._run.define_metric(f"{kind}/*", step_metric=f"{kind}/number")

    def log(self, events: Sequence[TrackedEvent]) -> None:
        """Log the figures of events, and the curve of each candidate."""
        for event in events:
            figures = {f"{event.kind}/{name}": value for name, value in event.figures.items()}
            self._run.log({**figures, f"{event.kind}/number": event.number})
            for epoch, accuracy in enumerate(event.curve, 1):
                tag = f"curves/{event.kind} {event.number}"
                self._run.define_metric(tag, step_metric="epoch")
                self._run.log({tag: accuracy, "epoch": epoch})

    def add_artefact(self, name: str, path: Path) -> None:
        """Upload a file or folder as an artifact; a later one of the same name is its version."""
        artifact = wandb.Artifact(name, type="nngpt")
        artifact.add_dir(str(path)) if path.is_dir() else artifact.add_file(str(path))
        self._run.log_artifact(artifact)

    def close(self, finished: bool | None) -> None:
        """Send what is left; the run counts as failed if it is not finished."""
        self._run.finish(exit_code=int(finished is False))
