"""The loss curve of a training, and its file `training.json` beside the adapter."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nngpt.files import parse_json

CURVE = "training.json"


@dataclass(frozen=True)
class CurvePoint:
    """A point of the loss curve: state of a training after an optimiser step.

    Attributes:
        step: number of the step, 0 before the first.
        steps: total number of steps.
        tokens: answer tokens trained on so far.
        read: tokens processed so far, including prompts; a shared prompt counts once per row.
        seconds: wall time so far, over all resumed processes.
        loss: mean loss per answer token in this step; None at step 0.
        held_out: mean loss per answer token over the held-out pairs; None if not measured.
    """

    step: int
    steps: int
    tokens: int
    read: int
    seconds: float
    loss: float | None
    held_out: float | None = None


OnPoint = Callable[[CurvePoint], None]
"""Called with every point as it is reached."""


def write_curve(points: Sequence[CurvePoint], facts: dict[str, Any], folder: Path) -> None:
    """Write a loss curve to `training.json`: `facts`, and a point for each step."""
    text = json.dumps({**facts, "curve": [asdict(point) for point in points]}, indent=1)
    (folder / CURVE).write_text(text + "\n", encoding="utf-8")


def read_curve(folder: Path) -> dict[str, Any]:
    """Return the loss curve's file, `training.json`; {} if it is missing or damaged."""
    try:
        found: dict[str, Any] = parse_json((folder / CURVE).read_bytes())
    except (OSError, ValueError):
        return {}
    return found
