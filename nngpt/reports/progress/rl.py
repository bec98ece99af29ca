"""How a training step by step is shown while it runs: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from nngpt.finetuning.rl.journal import StepRecord
from nngpt.reports.tables.rl import step_line


class RLProgress:
    """Implements `nngpt.finetuning.rl.grpo.RLProgressListener`; use it in a `with`."""

    def __init__(self, console: Console, steps: int) -> None:
        self._console, self._steps = console, steps
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            # Steps take a while; over the default 30 s there would be no rate to go by.
            speed_estimate_period=3600,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=steps, visible=False)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def note(self, text: str) -> None:
        """A line above the bar, printed as it is."""
        self._console.print(Text(text), soft_wrap=True)

    def doing(self, what: str) -> None:
        """What is going on now, before the bar."""
        self._bar.update(self._task, description=f"  {what}", visible=True)

    def step(self, record: StepRecord) -> None:
        """A line for the step."""
        self.note(step_line(record, self._steps))
        self._bar.update(self._task, completed=record.step)
