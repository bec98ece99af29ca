"""Measure how long the stages of a run take, before a run without earlier cycles.

The LLM writes one batch, a few of its networks are trained, and the LLM learns those in an adapter
that is thrown away.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from nngpt.config import Config
from nngpt.cycle.forecast import Duration, MeasuredTimes, expected_duration, find_times
from nngpt.cycle.meter import TimeLimit
from nngpt.cycle.parts import Parts, assemble
from nngpt.errors import LearningFailed
from nngpt.files import DATABASE
from nngpt.generation.pairs import corpus_size
from nngpt.protocols import Log
from nngpt.records import Candidate, Refusal, Sampling, TrainingPair, derive_seed
from nngpt.store import Store

_TRAININGS = 3


@dataclass(frozen=True)
class _Tried:
    """A network of the probe's batch, the seconds of its trainings, and whether it trained."""

    candidate: Candidate
    seconds: float
    trained: bool


def forecast_rest(config: Config, log: Log) -> tuple[Duration, MeasuredTimes, int]:
    """Return times of the open cycles from records, else from a probe: duration, basis, number.

    Probes if neither the run nor a similar one has a closed cycle.

    Raises: UserError if the parts of the run cannot be opened for the probe.
    """
    path, times, first = config.folder / DATABASE, None, 0
    pairs = corpus_size(config.learning.corpus, config.learning.corpus_limit)
    if path.exists():
        with Store.open(path, create=False) as store:
            run = store.current_run(config.name)
            times = find_times(store, config, run)
            if run is not None:
                first = sum(s.closed for s in store.summary(run.id)) + 1
                first = first if store.cycle_closed(run.id, 0) or first > 1 else 0
                pairs += len(store.admitted(run.id))
    if times is None:
        with assemble(config, log) as parts:
            times = probe(config, parts, log, TimeLimit(None))
    left = max(0, config.cycles - max(first, 1) + 1)
    return expected_duration(config, times, first, pairs), times, left


def probe(config: Config, parts: Parts, log: Log, limit: TimeLimit) -> MeasuredTimes:
    """Measure one batch, up to three trainings and a fine-tuning. Raises: TimeLimitReached."""
    log("Probing: a batch, a few trainings, a short fine-tuning …")
    seed = derive_seed(config.seed, "probe")
    prompt = parts.prompts.of_cycle([], lambda _: None).prompt(seed)
    sampling = Sampling(**config.sampling.model_dump())
    count = min(parts.llm.batch_size, config.candidates.per_cycle)
    parts.llm.use_adapter(parts.start.adapter)
    start = time.monotonic()
    written = parts.llm.generate(prompt, count, seed, sampling)
    writing = (time.monotonic() - start) / count
    read = [parts.reader.read_answer(completion.text, prompt) for completion in written]
    networks = [found for found in read if isinstance(found, Candidate)]
    tried = []
    for network in networks[:_TRAININGS]:
        limit.check()
        tried.append(_train(network, parts, config))
    training = sum(t.seconds for t in tried) / max(1, len(tried))
    share = len(networks) / count
    good = [TrainingPair(prompt, t.candidate.written, "probe") for t in tried if t.trained]
    trainable = sum(t.trained for t in tried) / max(1, len(tried))
    return MeasuredTimes(
        source=f"a probe of {count} answers and {len(tried)} trainings",
        per_candidate=(writing + share * training / parts.executor.workers,),
        per_pair=_learn(good, parts, config, limit),
        candidates=float(config.candidates.per_cycle),
        admitted=share * trainable * next(iter(config.arms.values())),
    )


def _train(network: Candidate, parts: Parts, config: Config) -> _Tried:
    """Train a network as the run would."""
    start = time.monotonic()
    outcome = parts.executor.evaluate(network, derive_seed(config.seed, "probe"))
    trained = not isinstance(outcome, Refusal)
    if trained and config.evaluation.retrain:
        parts.executor.retrain(network, derive_seed(config.seed, "probe again"))
    return _Tried(network, time.monotonic() - start, trained)


def _learn(
    pairs: list[TrainingPair], parts: Parts, config: Config, limit: TimeLimit
) -> tuple[float, ...]:
    """Return the seconds to learn a pair; () if the run learns nothing or the pairs fail."""
    if parts.learner is None or not pairs:
        return ()

    def on_step(_step: int, _steps: int, _loss: float) -> None:
        limit.check()

    with tempfile.TemporaryDirectory(prefix="nngpt-probe-") as folder:
        start = time.monotonic()
        try:
            parts.learner.learn(pairs, "probe", Path(folder), None, config.seed, on_step)
        except LearningFailed:
            return ()
        return ((time.monotonic() - start) / len(pairs),)
