"""Progress of long work on a console: live bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from nngpt.config import CandidatesConfig, Config
from nngpt.finetuning.rl.journal import StepRecord
from nngpt.finetuning.sft.curve import CurvePoint
from nngpt.protocols import OnStep
from nngpt.records import Adapter, Arm
from nngpt.reports.attempts import attempt_line
from nngpt.reports.tables.rl import step_line
from nngpt.reports.tables.runs import repairs_of
from nngpt.reports.text import likelihood, mean_of, plural
from nngpt.statistics import percent_of
from nngpt.store import AttemptRecord, CycleSummary

EVERY_S = 30.0
"""Seconds between two lines of a fine-tuning where there is no terminal."""


class LiveBars:
    """Live bars with lines printed above them; a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[facts]}", markup=False),
            console=console,
            # Steps take long: over the default window of 30 s there would be no rate.
            speed_estimate_period=3600,
            transient=True,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def note(self, text: str) -> None:
        """Print a line above the bars, without markup."""
        self._console.print(Text(text), soft_wrap=True)


class ConsoleProgress(LiveBars):
    """Shows the events of a run: a bar over a cycle's candidates, and lines."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._cycle_bar = self._bars.add_task("", visible=False, facts="", total=None)
        self._candidates = CandidatesConfig()
        self._open: dict[int, list[AttemptRecord]] = {}
        self._shown: int | None = None

    def cycle_started(
        self, cycle: int, config: Config, adapter: Adapter | None, settled: Sequence[AttemptRecord]
    ) -> None:
        """Print a headline; `settled` candidates are done. The bar shows the oldest open cycle."""
        who = f"adapter {adapter.name}" if adapter else "the base model"
        headline = Text.assemble((f"Cycle {cycle} of {config.cycles}", "bold"), f": {who} writes")
        self._console.print(headline, soft_wrap=True)
        self._candidates = config.candidates
        self._open[cycle] = list(settled)
        self._show_counts()

    def writing(self, count: int) -> AbstractContextManager[None]:
        """Show a spinner while the LLM writes; without a terminal, print a line."""
        text = f"  the LLM writes {plural(count, 'network')}"
        if not self._console.is_terminal:
            self.note(f"{text} …")
        return self.activity(text)

    def repairing(self, attempt: AttemptRecord) -> AbstractContextManager[None]:
        """Show a spinner while a repair of a candidate is written."""
        return self.activity(f"  repairing candidate #{attempt.id}")

    def training(self, attempt: AttemptRecord) -> AbstractContextManager[None]:
        """Show a spinner while a candidate trains."""
        return self.activity(f"  training candidate #{attempt.id}")

    def settled(self, attempt: AttemptRecord) -> None:
        """Print a line for the attempt, and advance the bar with its counts, best and mean."""
        self._console.print(attempt_line(attempt), soft_wrap=True)
        self._open[attempt.cycle].append(attempt)
        self._show_counts()

    @contextmanager
    def learning(self, pairs: str) -> Iterator[OnStep]:
        """Show a bar over the optimiser's steps on so many `pairs`; print first and last loss."""
        self.note(f"  fine-tuning on {pairs}")
        bar = self._bars.add_task("  fine-tuning", total=None, facts="")
        losses: list[float] = []

        def on_step(step: int, steps: int, loss: float) -> None:
            losses.append(loss)
            self._bars.update(bar, completed=step, total=steps, facts=f"loss {loss:.3f}")

        try:
            yield on_step
        finally:
            self._bars.remove_task(bar)
        if losses:
            steps = plural(len(losses), "step")
            self.note(f"  fine-tuned in {steps}, loss {losses[0]:.3f} → {losses[-1]:.3f}")

    def held_out(self, adapter: Adapter) -> None:
        """Print how likely the held-out networks were before and after a fine-tuning."""
        if adapter.held_out:
            change = likelihood(adapter.held_out_first, adapter.held_out_last)
            networks = plural(adapter.held_out, "held-out network")
            self.note(f"  log-likelihood per token of {networks}: {change}")

    def cycle_done(self, summary: CycleSummary, spent: Mapping[str, float]) -> None:
        """Print the cycle's figures, and the wall seconds `spent` in it by activity."""
        self._bars.update(self._cycle_bar, visible=False)
        self._open.pop(summary.cycle, None)
        self.note(
            f"  valid {percent_of(summary.valid, summary.generated)} ({summary.how} mode), "
            f"mean accuracy {mean_of(summary.accuracies)}, admitted {summary.admitted}"
        )
        if summary.repairs:
            self.note(f"  repairs, counted separately: {repairs_of(summary)}")
        longest = sorted(spent.items(), key=lambda one: -one[1])
        self.note("  wall time: " + ", ".join(f"{name} {s:.0f} s" for name, s in longest))

    def _show_counts(self) -> None:
        if not self._console.is_terminal:
            return
        cycle, found = min(self._open.items())
        if cycle != self._shown:
            self._bars.reset(self._cycle_bar, description=f"cycle {cycle}", visible=True)
            self._shown = cycle
        first = [attempt for attempt in found if not attempt.repairs]
        settled = [attempt for attempt in first if attempt.arm is Arm.LOOP]
        counts = Counter(str(a.refusal.stage if a.refusal else a.state) for a in settled)
        facts = ", ".join(f"{key} {n}" for key, n in counts.items())
        if results := [a.result for a in settled if a.result is not None]:
            mean = mean_of([a.evaluation.accuracy for a in settled if a.evaluation is not None])
            facts += f" · best {max(results)[0]:.1%}, own mean {mean}"
        if repairs := len(found) - len(first):
            facts += f" · {plural(repairs, 'repair')}"
        if controls := len(first) - len(settled):
            facts += f" · {controls} of control arms"
        # Another `per_cycle` is expected whenever the last is used up.
        done, step, most = len(first), self._candidates.per_cycle, self._candidates.max_per_cycle
        total = step if done <= step else max(done, min(-(-done // step) * step, most))
        self._bars.update(self._cycle_bar, completed=done, total=total, facts=facts)

    @contextmanager
    def activity(self, text: str) -> Iterator[None]:
        """Show a spinner with a text."""
        bar = self._bars.add_task(text, total=None, facts="")
        try:
            yield
        finally:
            self._bars.remove_task(bar)


class TuningProgress(LiveBars):
    """Shows a fine-tuning: a bar on a terminal, a line every `EVERY_S` seconds elsewhere."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._bar = self._bars.add_task("fine-tuning", total=None, facts="")
        self._first: CurvePoint | None = None
        self._last_line = time.monotonic()

    def point(self, point: CurvePoint) -> None:
        """Advance the bar to a point of the curve; a held-out loss is always printed."""
        first = self._first = self._first or point
        seconds = point.seconds - first.seconds
        speed = (point.tokens - first.tokens) / seconds if seconds else 0.0
        loss = "" if point.loss is None else f"loss {point.loss:.3f}, "
        facts = f"{loss}{speed:,.0f} answer tokens/s"
        self._bars.update(self._bar, completed=point.step, total=point.steps, facts=facts)
        if point.held_out is not None:
            self.note(f"step {point.step} of {point.steps}: held-out loss {point.held_out:.4f}")
        due = time.monotonic() - self._last_line >= EVERY_S
        if point.step and due and not self._console.is_terminal:
            self._last_line = time.monotonic()
            self.note(f"step {point.step} of {point.steps}: {facts}, {_time_left(first, point)}")


def _time_left(first: CurvePoint, point: CurvePoint) -> str:
    done, seconds = point.step - first.step, point.seconds - first.seconds
    if not done:
        return "…"
    return f"about {seconds / done * (point.steps - point.step) / 60:,.0f} min left"


class RLProgress(LiveBars):
    """Shows the steps of reinforcement learning: an `RLProgressListener` of `rl.grpo`."""

    def __init__(self, console: Console, steps: int) -> None:
        super().__init__(console)
        self._steps = steps
        self._task = self._bars.add_task("", total=steps, visible=False, facts="")

    def doing(self, what: str) -> None:
        """Show the current activity before the bar."""
        self._bars.update(self._task, description=f"  {what}", visible=True)

    def step(self, record: StepRecord) -> None:
        """Print a line for a step, and advance the bar."""
        self.note(step_line(record, self._steps))
        self._bars.update(self._task, completed=record.step)


class ActivityBars(LiveBars):
    """Shows one bar per activity; without a terminal, a line for each tenth of an activity."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._tasks: dict[str, TaskID] = {}
        self._tenths: dict[str, int] = {}

    def show(self, activity: str, done: int, total: int, remark: str) -> None:
        """Show how much of an activity is done."""
        if self._console.is_terminal:
            if activity not in self._tasks:
                self._tasks[activity] = self._bars.add_task(activity, total=total, facts="")
            self._bars.update(self._tasks[activity], completed=done, total=total, facts=remark)
        elif done == total or 10 * done // total > self._tenths.get(activity, -1):
            self._tenths[activity] = 10 * done // total
            self.note(f"{activity}: {done}/{total}{', ' if remark else ''}{remark}")
