"""The loss curve of a training, as it is watched and as it lies beside the adapter."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

CURVE = "training.json"


@dataclass(frozen=True)
class Point:
    """Where a training stands after an optimiser step.

    Attributes:
        step: number of the step, 0 before the first.
        steps: how many there will be.
        tokens: answer tokens learned so far.
        read: tokens read so far, prompts and all; a shared prompt counts once per row.
        seconds: wall time so far, of all processes that worked on it.
        loss: mean loss of an answer token in this step; None at step 0.
        held_out: mean loss of an answer token over the held-out pairs, None if not measured now.
    """

    step: int
    steps: int
    tokens: int
    read: int
    seconds: float
    loss: float | None
    held_out: float | None = None


Watch = Callable[[Point], None]
"""Gets every point as it is reached."""

"""Gets a line that a person should know."""


def held_out(points: Sequence[Point]) -> list[float]:
    """The held-out losses, in order."""
    return [point.held_out for point in points if point.held_out is not None]


def write_curve(points: Sequence[Point], facts: dict[str, Any], folder: Path) -> None:
    """`training.json`: the facts, and a point for each step."""
    text = json.dumps({**facts, "curve": [asdict(point) for point in points]}, indent=1)
    (folder / CURVE).write_text(text + "\n", encoding="utf-8")


def read_curve(folder: Path) -> dict[str, Any]:
    """What `write_curve` wrote; empty if there is none."""
    try:
        found: dict[str, Any] = json.loads((folder / CURVE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found
