"""Shows a run while it goes on: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Protocol, TypedDict

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from nngpt.config import CandidatesConfig, Config
from nngpt.protocols import OnStep
from nngpt.records import Adapter, Arm
from nngpt.reports.tables.runs import attempt_line, repairs_of
from nngpt.statistics import mean_of, percent_of
from nngpt.store import AttemptRecord, CycleSummary


class Progress(Protocol):
    """What the loop tells whoever watches."""

    def cycle_started(
        self,
        cycle: int,
        config: Config,
        adapter: Adapter | None,
        settled: Sequence[AttemptRecord],
    ) -> None:
        """A cycle begins, or goes on after what is `settled` (admitted or refused) already."""

    def writing(self, count: int) -> AbstractContextManager[None]:
        """The LLM writes `count` candidates."""

    def repairing(self, attempt: AttemptRecord) -> AbstractContextManager[None]:
        """The LLM answers the refusal of an attempt."""

    def training(self, attempt: AttemptRecord) -> AbstractContextManager[None]:
        """A candidate is trained."""

    def settled(self, attempt: AttemptRecord) -> None:
        """An attempt was admitted or refused."""

    def learning(self, pairs: int) -> AbstractContextManager[OnStep]:
        """The LLM is tuned on that many pairs."""

    def note(self, text: str) -> None:
        """Something a person should know."""

    def cycle_done(self, summary: CycleSummary) -> None:
        """A cycle is closed."""


class _Standing(TypedDict):
    completed: int
    total: int
    facts: str


class ConsoleProgress:
    """`Progress` on a console: live bars if it is a terminal, lines if not."""

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
            # Candidates take a while; over the default 30 s there would be no rate to go by.
            speed_estimate_period=3600,
            transient=True,
            disable=not console.is_terminal,
        )
        self._cycle_bar = self._bars.add_task("", visible=False, facts="", total=None)
        self._candidates = CandidatesConfig()
        self._settled: list[AttemptRecord] = []

    def __enter__(self) -> ConsoleProgress:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def cycle_started(
        self,
        cycle: int,
        config: Config,
        adapter: Adapter | None,
        settled: Sequence[AttemptRecord],
    ) -> None:
        """A headline, and the bar of this cycle's candidates."""
        who = f"adapter {adapter.name}" if adapter else "the base model"
        headline = Text.assemble((f"Cycle {cycle} of {config.cycles}", "bold"), f": {who} writes")
        self._console.print(headline, soft_wrap=True)
        self._candidates, self._settled = config.candidates, list(settled)
        self._bars.reset(
            self._cycle_bar, description=f"cycle {cycle}", visible=True, **self._standing()
        )

    @contextmanager
    def writing(self, count: int) -> Iterator[None]:
        """A spinner while the LLM writes."""
        with self._activity(f"  the LLM writes {count} networks"):
            yield

    @contextmanager
    def repairing(self, attempt: AttemptRecord) -> Iterator[None]:
        """A spinner while the LLM writes it anew."""
        with self._activity(f"  the LLM repairs candidate #{attempt.id}", log=False):
            yield

    @contextmanager
    def training(self, attempt: AttemptRecord) -> Iterator[None]:
        """A spinner while a candidate is trained."""
        with self._activity(f"  training candidate #{attempt.id}", log=False):
            yield

    def settled(self, attempt: AttemptRecord) -> None:
        """A line for the attempt; counts, best and mean beside the bar."""
        self._console.print(attempt_line(attempt), soft_wrap=True)
        self._settled.append(attempt)
        self._bars.update(self._cycle_bar, **self._standing())

    @contextmanager
    def learning(self, pairs: int) -> Iterator[OnStep]:
        """A bar over the optimiser's steps; first and last loss as a line."""
        self.note(f"  fine-tuning on {pairs} networks")
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
            steps = f"{len(losses)} steps"
            self.note(f"  fine-tuned in {steps}, loss {losses[0]:.3f} → {losses[-1]:.3f}")

    def note(self, text: str) -> None:
        """A line above the bars, printed as it is."""
        self._console.print(Text(text), soft_wrap=True)

    def cycle_done(self, summary: CycleSummary) -> None:
        """The cycle's figures in a line."""
        self._bars.update(self._cycle_bar, visible=False)
        self.note(
            f"  valid {percent_of(summary.valid, summary.generated)} ({summary.how} mode), "
            f"mean accuracy {mean_of(summary.accuracies)}, admitted {summary.admitted}"
        )
        if summary.repairs:
            self.note(f"  repairs, counted apart: {repairs_of(summary)}")
        spent = ", ".join(f"{stage} {s:.0f} s" for stage, s in summary.seconds.items())
        self.note(f"  time: {spent}")

    def _standing(self) -> _Standing:
        """How far the cycle is: what the bar shows."""
        first = [attempt for attempt in self._settled if not attempt.repairs]
        settled = [attempt for attempt in first if attempt.arm is Arm.LOOP]
        counts = Counter(str(a.refusal.stage if a.refusal else a.state) for a in settled)
        facts = ", ".join(f"{key} {n}" for key, n in counts.items())
        if accuracies := [a.evaluation.accuracy for a in settled if a.evaluation is not None]:
            facts += f" · best {max(accuracies):.1%}, mean {mean_of(accuracies)}"
        if repairs := len(self._settled) - len(first):
            facts += f" · {repairs} repairs"
        if controls := len(first) - len(settled):
            facts += f" · {controls} of controls"
        return {"completed": len(first), "total": self._total(len(first)), "facts": facts}

    def _total(self, done: int) -> int:
        """Candidates to expect: another `per_cycle` whenever `until_admitted` wants more."""
        step, most = self._candidates.per_cycle, self._candidates.max_per_cycle
        return step if done <= step else max(done, min(-(-done // step) * step, most))

    @contextmanager
    def _activity(self, text: str, log: bool = True) -> Iterator[None]:
        if log and not self._console.is_terminal:
            self.note(f"{text} …")
        bar = self._bars.add_task(text, total=None, facts="")
        try:
            yield
        finally:
            self._bars.remove_task(bar)
