"""How long a run will take, said before it begins and whenever it is carried on.

Where nothing alike was ever run in this database, a probe can measure: the LLM writes one batch, a
few of its networks are trained, and the LLM learns those in an adapter that is thrown away.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from nngpt.config import DATABASE, Config
from nngpt.cycle.forecast import Basis, Expected, expect, measured, of_alike, record
from nngpt.cycle.parts import Parts, assemble
from nngpt.cycle.time_limit import Budget
from nngpt.errors import LearningFailed
from nngpt.generation.pairs import corpus_size
from nngpt.protocols import Log
from nngpt.records import Candidate, Refusal, Sampling, TrainingPair, derive_seed
from nngpt.store import Lease, RunRecord, Store

_TRAININGS = 3


@dataclass(frozen=True)
class _Tried:
    """A network of the probe's batch and the seconds of its training, 0 if it was not trained."""

    candidate: Candidate
    seconds: float
    trained: bool


def known_basis(store: Store, config: Config, run: RunRecord | None) -> Basis | None:
    """What was measured in this run, or else in one alike; None if there is neither."""
    own = measured(store, run) if run is not None else None
    return own or of_alike(store, config, run.id if run else None)


def foresee(
    config: Config,
    parts: Parts,
    store: Store,
    lease: Lease,
    cycle: int,
    log: Log,
    probed: Basis | None = None,
) -> None:
    """Say and record how long the cycles from `cycle` on will take, where that is known.

    Once for each runner, as soon as something was measured: before its first cycle if there were
    earlier ones, a run alike or a probe, else after it.
    """
    run = store.run(lease.run_id)
    made = [f for f in store.forecasts(run.id) if f.basis.get("fence") == lease.fence]
    basis = None if made else known_basis(store, config, run) or probed
    if basis is None:
        return
    spent = sum(activity.seconds for activity in store.activities(run.id))
    expected = expect(config, basis, cycle, len(parts.corpus) + len(store.admitted(run.id)))
    lease.forecast(record(expected, basis, config.cycles, spent, lease.fence))
    log(f"Forecast: {expected.line} to the end of cycle {config.cycles}, from {basis.source}.")


def foresee_from_here(config: Config, log: Log) -> tuple[Expected, Basis, int]:
    """What the rest of a run will take, whether it has begun or not, and how many cycles that is.

    Raises:
        UserError: nothing was run before, and the parts of the run cannot be put together.
    """
    path, basis, first = config.folder / DATABASE, None, 0
    pairs = corpus_size(config.learning.corpus, config.learning.corpus_limit)
    if path.exists():
        with Store.open(path, create=False) as store:
            run = store.current_run(config.name)
            basis = known_basis(store, config, run)
            if run is not None:
                first = sum(s.closed for s in store.summary(run.id)) + 1
                first = first if store.cycle_closed(run.id, 0) or first > 1 else 0
                pairs += len(store.admitted(run.id))
    if basis is None:
        with assemble(config, log) as parts:
            basis = probe(config, parts, log, Budget(None))
    left = max(0, config.cycles - max(first, 1) + 1)
    return expect(config, basis, first, pairs), basis, left


def probe(config: Config, parts: Parts, log: Log, budget: Budget) -> Basis:
    """Measure each stage once or a few times. Raises: BudgetSpent."""
    log("Probing: a batch, a few trainings, a short fine-tuning …")
    prompt = parts.questions.of_cycle([], lambda _: None)(derive_seed(config.seed, "probe"))
    sampling = Sampling(**config.sampling.model_dump())
    count = min(parts.llm.batch_size, config.candidates.per_cycle)
    parts.llm.use_adapter(parts.adapter)
    start = time.monotonic()
    written = parts.llm.generate(prompt, count, derive_seed(config.seed, "probe"), sampling)
    writing = (time.monotonic() - start) / count
    read = [parts.reader.read_answer(completion.text, prompt) for completion in written]
    networks = [found for found in read if isinstance(found, Candidate)]
    tried = []
    for network in networks[:_TRAININGS]:
        budget.check()
        tried.append(_train(network, parts, config))
    training = sum(t.seconds for t in tried) / max(1, len(tried))
    share = len(networks) / count
    good = [TrainingPair(prompt, t.candidate.written, "probe") for t in tried if t.trained]
    settling = writing + share * training / parts.executor.workers
    works = sum(t.trained for t in tried) / max(1, len(tried))
    admitted = share * works * next(iter(config.arms.values()))
    source = f"a probe of {count} answers and {len(tried)} trainings"
    per_pair = _learn(good, parts, config, budget)
    whole = float(config.candidates.per_cycle)
    return Basis(source, (settling,), per_pair, whole, admitted)


def _train(network: Candidate, parts: Parts, config: Config) -> _Tried:
    start = time.monotonic()
    outcome = parts.executor.evaluate(network, derive_seed(config.seed, "probe"))
    trained = not isinstance(outcome, Refusal)
    if trained and config.evaluation.retrain:
        parts.executor.retrain(network, derive_seed(config.seed, "probe again"))
    return _Tried(network, time.monotonic() - start, trained)


def _learn(
    pairs: list[TrainingPair], parts: Parts, config: Config, budget: Budget
) -> tuple[float, ...]:
    """Seconds to learn a pair; () if nothing is to be learned or could be."""
    if parts.learner is None or not pairs:
        return ()

    def on_step(_step: int, _steps: int, _loss: float) -> None:
        budget.check()

    with tempfile.TemporaryDirectory(prefix="nngpt-probe-") as folder:
        start = time.monotonic()
        try:
            parts.learner.learn(pairs, "probe", Path(folder), None, config.seed, on_step)
        except LearningFailed:
            return ()
        return ((time.monotonic() - start) / len(pairs),)
