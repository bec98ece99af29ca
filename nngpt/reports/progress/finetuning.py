"""Shows a fine-tuning while it goes on: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from nngpt.finetuning.sft.curve import CurvePoint

EVERY_S = 30.0
"""Seconds between two lines where there is no terminal."""


class TuningProgress:
    """Watches a training (`nngpt.finetuning.sft.curve.OnPoint`) on a console."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(
            TextColumn("fine-tuning"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[facts]}", markup=False),
            console=console,
            speed_estimate_period=3600,
            transient=True,
            disable=not console.is_terminal,
        )
        self._bar = self._bars.add_task("", total=None, facts="")
        self._first: CurvePoint | None = None
        self._told = time.monotonic()

    def __enter__(self) -> TuningProgress:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def log(self, text: str) -> None:
        """A line above the bar."""
        self._console.print(Text(text), soft_wrap=True)

    def point(self, point: CurvePoint) -> None:
        """The bar moves on; held-out losses are always told."""
        self._first = self._first or point
        loss = "" if point.loss is None else f"loss {point.loss:.3f}, "
        facts = f"{loss}{self._speed(point):,.0f} answer tokens/s"
        self._bars.update(self._bar, completed=point.step, total=point.steps, facts=facts)
        if point.held_out is not None:
            self.log(f"step {point.step} of {point.steps}: held-out loss {point.held_out:.4f}")
        if (
            point.step
            and not self._console.is_terminal
            and time.monotonic() - self._told >= EVERY_S
        ):
            self._told = time.monotonic()
            self.log(f"step {point.step} of {point.steps}: {facts}, {self._left(point)}")

    def _speed(self, point: CurvePoint) -> float:
        assert self._first is not None
        seconds = point.seconds - self._first.seconds
        return (point.tokens - self._first.tokens) / seconds if seconds else 0.0

    def _left(self, point: CurvePoint) -> str:
        assert self._first is not None
        done, seconds = point.step - self._first.step, point.seconds - self._first.seconds
        if not done:
            return "…"
        return f"about {seconds / done * (point.steps - point.step) / 60:,.0f} min left"
