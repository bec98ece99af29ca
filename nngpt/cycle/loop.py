"""The loop: generate networks, lead each through the gates, fine-tune on the admitted, repeat.

Every event is stored as soon as it is known, so the loop keeps no state of its own: after a kill,
`Loop.run` reads from the store where each attempt stands and continues from there.

With `candidates.lag: L`, up to L + 1 cycles are open at once: a cycle begins when the one L + 1
before it has been learned from, and is learned from when the one before it has been.
"""

from __future__ import annotations

from collections import deque

from nngpt.cycle.context import RunContext
from nngpt.cycle.finetune import Finetuner
from nngpt.cycle.forecast import MeasuredTimes, record_forecast
from nngpt.cycle.generator import Generator, check_template
from nngpt.cycle.scheduler import Scheduler
from nngpt.cycle.stop import plateau
from nngpt.cycle.threads import Threads
from nngpt.records import Adapter, Arm


class Loop:
    """Runs the open cycles of one run.

    Attributes:
        context: the run.
        finetuner: trains the adapters.
        scheduler: generates, trains and settles the attempts of the cycles that are open.
        probed: times measured by a probe before the run, None without one.
    """

    def __init__(self, context: RunContext, probed: MeasuredTimes | None = None) -> None:
        self.context, self.probed = context, probed
        self.finetuner = Finetuner(context)
        self.threads = Threads(*context.parts.stoppable, self.finetuner)
        self.scheduler = Scheduler(context, self.threads)

    def run(self) -> None:
        """Run all cycles that are not closed yet, unless a plateau ends the run early.

        Begin a cycle, then finish the one `lag` before it.
        """
        context, ended, cycle = self.context, "", 0
        lag, begun = context.config.candidates.lag, deque[int]()
        check_template(context)
        try:
            with self.threads:
                self.warm_up()
                for cycle in range(1, context.config.cycles + 1):
                    if ended := self.reason_to_stop(cycle - 1 - lag):
                        break
                    if not context.store.cycle_closed(context.run_id, cycle):
                        self.begin(cycle)
                        begun.append(cycle)
                    if len(begun) > lag:
                        self.finish(begun.popleft())
                while begun:
                    self.finish(begun.popleft())
        finally:
            context.record_spending(cycle)
        context.lease.finish_run(ended)

    def begin(self, cycle: int) -> None:
        """Begin a cycle, for which the newest adapter of the cycles before the lag generates."""
        record_forecast(self.context, cycle, self.probed)
        adapter = self.adapter_of(cycle)
        self.show_start(cycle, adapter)
        self.validate_pruner(cycle)
        frozen = self.adapter_of(1)
        self.scheduler.begin(Generator(self.context, cycle, adapter, frozen, self.threads))

    def finish(self, cycle: int) -> None:
        """Settle each attempt of a cycle, and fine-tune on the admitted."""
        alarm = self.scheduler.settle(cycle)
        self.finetuner.learn(cycle, self.scheduler.meanwhile, alarm)
        self.context.record_spending(cycle)
        self.context.progress.cycle_done(self.context.summary(cycle), self.context.spent(cycle))

    def warm_up(self) -> None:
        """Fine-tune on the corpus before the first cycle, as the papers do; counts as cycle 0."""
        context = self.context
        if context.config.learning.warm_up and not context.store.cycle_closed(context.run_id, 0):
            record_forecast(context, 0, self.probed)
            self.finetuner.learn(0, self.scheduler.meanwhile)
            context.record_spending(0)

    def adapter_of(self, cycle: int) -> Adapter | None:
        """Return the adapter that generates a cycle: the newest before the lag, else the first."""
        before = max(1, cycle - self.context.config.candidates.lag)
        return self.finetuner.adapter_before(before) or self.context.parts.start.adapter

    def reason_to_stop(self, cycle: int) -> str:
        """Return why no more cycles begin after `cycle` is closed, or ""."""
        context = self.context
        if not context.config.stop.enabled:
            return ""
        done = [s for s in context.store.summary(context.run_id) if s.cycle <= cycle]
        reason = plateau(done, context.config.stop)
        if reason:
            context.progress.note(f"The run ends after cycle {cycle}: {reason}.")
        return reason

    def validate_pruner(self, cycle: int) -> None:
        """Let the pruner check its forecasts on earlier cycles; it may switch itself off."""
        context, pruner = self.context, self.context.parts.executor.pruner
        if pruner is None:
            return
        before = [
            attempt.evaluation
            for attempt in context.store.attempts(context.run_id, arm=Arm.LOOP)
            if attempt.cycle < cycle and attempt.evaluation is not None
        ]
        if line := pruner.validate(before):
            context.progress.note(f"Stopping early: {line}.")

    def show_start(self, cycle: int, adapter: Adapter | None) -> None:
        """Display that a cycle starts, with the attempts settled before a restart."""
        context = self.context
        settled = [a for a in context.store.attempts(context.run_id, cycle) if a.settled]
        context.progress.cycle_started(cycle, context.config, adapter, settled)
