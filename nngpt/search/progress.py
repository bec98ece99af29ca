"""The progress of a search on a console: its own lines, and the networks of its runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from nngpt.config import Config
from nngpt.errors import readable
from nngpt.records import Adapter
from nngpt.reports.progress import ConsoleProgress
from nngpt.search.ladder import network_line
from nngpt.statistics import percent_of
from nngpt.store import AttemptRecord


class SearchProgress(ConsoleProgress):
    """Shows a search: lines, and of its runs a bar and a line for each network, no more."""

    _titles: Mapping[str, str] | None = None

    @contextmanager
    def of_run(self, titles: Mapping[str, str]) -> Iterator[None]:
        """Show a run; its networks have titles by their content hash, the LLM's have none."""
        self._titles = titles
        try:
            yield
        finally:
            self._titles = None

    def note(self, text: str) -> None:
        """Print a line above the bars, unless it is a run's."""
        if self._titles is None:
            super().note(text)

    def cycle_started(
        self, cycle: int, config: Config, adapter: Adapter | None, settled: Sequence[AttemptRecord]
    ) -> None:
        """Show the bar; `settled` candidates are done."""
        self._open[cycle] = list(settled)
        total = config.candidates.per_cycle
        self._bars.reset(self._cycle_bar, total=total, description="first rung", visible=True)
        self._show_counts()

    def writing(self, count: int) -> AbstractContextManager[None]:
        """Show a spinner while the LLM writes; the portfolio is there."""
        return nullcontext() if self._titles else super().writing(count)

    def settled(self, attempt: AttemptRecord) -> None:
        """Print a line for the network, and advance the bar."""
        title = (self._titles or {}).get(attempt.content_hash or "", f"design #{attempt.id}")
        if attempt.refusal is not None:
            facts = readable(f"refused at {attempt.refusal.stage}: {attempt.refusal.reason}")
        else:
            assert attempt.evaluation is not None, "it was admitted"
            last, size = attempt.evaluation.epochs[-1], attempt.evaluation.claimed_parameters
            facts = f"{percent_of(last.correct, last.total):<26} {size:>13,} parameters"
        super().note(network_line(title, facts))
        self._open[attempt.cycle].append(attempt)
        self._show_counts()

    def _show_counts(self) -> None:
        done = sum(not one.repairs for found in self._open.values() for one in found)
        self._bars.update(self._cycle_bar, completed=done)
