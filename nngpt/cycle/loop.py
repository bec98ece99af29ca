"""The loop: generate networks, lead each through the gates, fine-tune on the admitted, repeat.

Every event is stored as soon as it is known, so the loop keeps no state of its own: after a kill,
`Loop.run` reads from the store where each attempt stands and continues from there.
"""

from __future__ import annotations

from nngpt.cycle.context import RunContext
from nngpt.cycle.finetune import Finetuner
from nngpt.cycle.forecast import MeasuredTimes, record_forecast
from nngpt.cycle.gates import Gates
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
        probed: times measured by a probe before the run, None without one.
    """

    def __init__(self, context: RunContext, probed: MeasuredTimes | None = None) -> None:
        self.context, self.probed = context, probed
        self.finetuner = Finetuner(context)

    def run(self) -> None:
        """Run all cycles that are not closed yet, unless a plateau ends the run early."""
        context, ended, cycle = self.context, "", 0
        check_template(context)
        try:
            self.warm_up()
            while cycle < context.config.cycles and not ended:
                cycle += 1
                if not context.store.cycle_closed(context.run_id, cycle):
                    record_forecast(context, cycle, self.probed)
                    self.run_cycle(cycle)
                ended = self.reason_to_stop(cycle)
        finally:
            context.record_spending(cycle)
        context.lease.finish_run(ended)

    def run_cycle(self, cycle: int) -> None:
        """Generate with the newest adapter, settle each attempt, fine-tune on the admitted."""
        adapter = self.adapter_before(cycle)
        self.context.parts.llm.use_adapter(adapter)
        self.show_start(cycle, adapter)
        gates = Gates(self.context, cycle)
        self.validate_pruner(cycle)
        with Threads(*self.context.parts.stoppable) as threads:
            generator = Generator(self.context, cycle, self.adapter_before(1), threads)
            Scheduler(self.context, cycle, gates, generator, threads).settle_all()
        self.finetuner.learn(cycle)
        self.context.record_spending(cycle)
        self.context.progress.cycle_done(self.context.summary(cycle), self.context.spent(cycle))

    def warm_up(self) -> None:
        """Fine-tune on the corpus before the first cycle, as the papers do; counts as cycle 0."""
        context = self.context
        if context.config.learning.warm_up and not context.store.cycle_closed(context.run_id, 0):
            record_forecast(context, 0, self.probed)
            self.finetuner.learn(0)
            context.record_spending(0)

    def adapter_before(self, cycle: int) -> Adapter | None:
        """Return the newest adapter of earlier cycles, else the one the run starts with."""
        return self.finetuner.adapter_before(cycle) or self.context.parts.start.adapter

    def reason_to_stop(self, cycle: int) -> str:
        """Return why the run ends after `cycle` before its last cycle, or ""."""
        context = self.context
        if not context.config.stop.enabled or cycle == context.config.cycles:
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
