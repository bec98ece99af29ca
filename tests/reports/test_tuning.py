"""A fine-tuning in a log file: a line now and then, and each held-out loss."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from nngpt.finetuning.sft.curve import CurvePoint
from nngpt.reports import progress as console_progress
from nngpt.reports.progress import TuningProgress

POINTS = [
    CurvePoint(4, 10, 400, 500, 50.0, 2.0),
    CurvePoint(5, 10, 500, 700, 60.0, 1.5, held_out=1.25),
    CurvePoint(6, 10, 650, 900, 70.0, 1.25),
]


def shown(points: list[CurvePoint]) -> list[str]:
    console = Console(file=io.StringIO(), width=120)
    with TuningProgress(console) as progress:
        for point in points:
            progress.point(point)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console_progress, "EVERY_S", 0.0)
    assert shown([CurvePoint(0, 10, 0, 0, 40.0, None, held_out=3.0)]) == [
        "step 0 of 10: held-out loss 3.0000"
    ]
    assert shown(POINTS) == [  # speed and time left count from where this process began
        "step 4 of 10: loss 2.000, 0 answer tokens/s, …",
        "step 5 of 10: held-out loss 1.2500",
        "step 5 of 10: loss 1.500, 10 answer tokens/s, about 1 min left",
        "step 6 of 10: loss 1.250, 12 answer tokens/s, about 1 min left",
    ]


def test_between_them_only_held_out_losses_are_told() -> None:
    assert shown(POINTS) == ["step 5 of 10: held-out loss 1.2500"]
