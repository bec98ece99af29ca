"""Forecast how long a run will take; probe its stages where no times are known.

The forecast is candidates × measured seconds and pairs × measured seconds. The times come from the
run's own earlier cycles, else from a run with the same model, task and protocol in the same
database, else from a probe: the LLM writes one batch, a few of its networks are trained, and the
LLM learns those in an adapter that is thrown away. The bounds are 95% prediction intervals over
cycles; from a single cycle or a probe they rest on an assumed spread.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev

from nngpt.config import Config, with_new_keys
from nngpt.cycle.context import RunContext
from nngpt.cycle.meter import TimeLimit
from nngpt.cycle.parts import Parts, assemble
from nngpt.errors import LearningFailed
from nngpt.files import DATABASE
from nngpt.finetuning.corpus import lemur_corpus
from nngpt.finetuning.selection import learned_share
from nngpt.generation.pairs import corpus_size
from nngpt.protocols import ComparesAnswers, Log
from nngpt.records import Arm, Candidate, Refusal, Sampling, TrainingPair, derive_seed
from nngpt.reports.text import plural
from nngpt.store import ForecastRecord, RunRecord, Store
from nngpt.store.states import now

ASSUMED_SPREAD = 0.3
"""Standard deviation over cycles as a share of the mean, where fewer than two were measured."""

_ASSUMED_T = 2.0

_EQUAL_SECTIONS = (
    *("llm", "task", "prompt", "sampling", "candidates"),
    *("controls", "evaluation", "learning", "without"),
)
"""Sections of the configuration that two runs share if their times compare."""

_TRAININGS = 3


@dataclass(frozen=True)
class MeasuredTimes:
    """Measured times of earlier cycles, from which a forecast is made.

    Attributes:
        source: where they were measured, for a person.
        per_candidate: wall seconds to write and settle a candidate, a value for each cycle.
        per_pair: seconds to learn a training pair, a value for each fine-tuning.
        candidates: mean number of candidates per cycle, repairs and control arms included.
        admitted: mean number of networks that the loop admits per cycle.
        learned: mean number of pairs of a fine-tuning.
    """

    source: str
    per_candidate: tuple[float, ...]
    per_pair: tuple[float, ...]
    candidates: float
    admitted: float
    learned: float


@dataclass(frozen=True)
class Duration:
    """Forecast of a duration: expected seconds with 95% bounds."""

    seconds: float
    low: float
    high: float

    @property
    def line(self) -> str:
        """The forecast as `12 min [9–15]`, or in hours."""
        unit, name = (3600, "h") if self.seconds >= 2 * 3600 else (60, "min")
        values = (value / unit for value in (self.seconds, self.low, self.high))
        return "{:.1f} {unit} [{:.1f}–{:.1f}]".format(*values, unit=name)


def record_forecast(context: RunContext, cycle: int, probed: MeasuredTimes | None) -> None:
    """Store and display the forecast for the cycles from `cycle` on, once times are known.

    Once for each runner: before its first cycle if there were earlier cycles, a similar run or a
    probe, else after that cycle. Cycle 0 is the warm-up.
    """
    config, store, lease = context.config, context.store, context.lease
    run = store.run(lease.run_id)
    made = [f for f in store.forecasts(run.id) if f.basis.get("fence") == lease.fence]
    times = None if made else find_times(store, config, run) or probed
    if times is None:
        return
    spent = sum(activity.seconds for activity in store.activities(run.id))
    corpus, admitted = len(context.parts.start.corpus), len(store.admitted(run.id))
    expected = expected_duration(config, times, cycle, corpus, admitted)
    bounds = (expected.seconds, expected.low, expected.high)
    basis = {**asdict(times), "fence": lease.fence}
    lease.forecast(ForecastRecord(now(), config.cycles, *bounds, spent, basis))
    context.progress.note(
        f"Forecast: {expected.line} to the end of cycle {config.cycles}, from {times.source}."
    )


def find_times(store: Store, config: Config, run: RunRecord | None) -> MeasuredTimes | None:
    """Return the times to forecast from: of this run, else of a similar one, else None."""
    own = times_of_run(store, run) if run is not None else None
    return own or times_of_similar_run(store, config, run.id if run else None)


def times_of_run(store: Store, run: RunRecord) -> MeasuredTimes | None:
    """Return measured times of a run's closed cycles for a forecast, None before the first."""
    summaries = [s for s in store.summary(run.id) if s.closed]
    per_candidate, per_pair, counts = list[float](), list[float](), list[int]()
    learned = list[int]()
    adapters = store.adapters(run.id)
    for s in summaries:
        spent = [a for a in store.activities(run.id) if a.cycle == s.cycle]
        learning = sum(a.seconds for a in spent if "learning" in a.activity)
        count = len(store.attempts(run.id, s.cycle))
        if spent and count:
            counts.append(count)
            per_candidate.append((sum(a.seconds for a in spent) - learning) / count)
        if learning and s.cycle in adapters:
            learned.append(adapters[s.cycle].pairs)
            per_pair.append(learning / learned[-1])
    if not per_candidate:
        return None
    return MeasuredTimes(
        source=f"{plural(len(counts), 'cycle')} of run {run.id}",
        per_candidate=tuple(per_candidate),
        per_pair=tuple(per_pair),
        candidates=fmean(counts),
        admitted=fmean(s.admitted for s in summaries),
        learned=fmean(learned) if learned else 0.0,
    )


def times_of_similar_run(store: Store, config: Config, exclude: int | None) -> MeasuredTimes | None:
    """Return the times of the newest similar run, for a forecast; None if there is none."""
    wanted = config.model_dump(mode="json")
    for run in reversed(store.runs()):
        began = with_new_keys(run.config, wanted)
        same = all(began.get(section) == wanted.get(section) for section in _EQUAL_SECTIONS)
        if run.id != exclude and same:
            times = times_of_run(store, run)
            if times is not None:
                return times
    return None


def expected_duration(
    config: Config, times: MeasuredTimes, first: int, corpus: int, admitted: int = 0
) -> Duration:
    """Forecast the duration of the cycles from `first` on, if they go on as measured.

    Args:
        first: the next cycle; 0 includes the warm-up.
        corpus: number of training pairs of the corpus.
        admitted: number of networks admitted so far.
    """
    cycles = max(0, config.cycles - max(first, 1) + 1)
    settling = _sum_of(times.per_candidate, cycles, times.candidates)
    learned = float(corpus) if first == 0 and config.learning.warm_up else 0.0
    learned += _learned_pairs(config, times, cycles, corpus, admitted)
    learning = _sum_of(times.per_pair, max(cycles, 1), learned / max(cycles, 1))
    seconds = settling[0] + learning[0]
    half = math.hypot(settling[1], learning[1])
    # From `until_admitted_from` on a cycle writes up to its cap: only the upper bound includes it.
    wanted = config.candidates
    growing = range(max(first, wanted.until_admitted_from, 1), config.cycles + 1)
    more = wanted.max_per_cycle - times.candidates if wanted.until_admitted else 0.0
    most = max(0.0, more) * len(growing) * fmean(times.per_candidate)
    return Duration(seconds, max(0.0, seconds - half), seconds + half + most)


def _learned_pairs(
    config: Config, times: MeasuredTimes, cycles: int, corpus: int, admitted: int
) -> float:
    """Return how many pairs all fine-tunings learn together: every pair, or new and replayed.

    Those of a Pareto front, or of a learner of another kind, are as many as measured.
    """
    learning = config.learning
    if not learning.enabled or "iteration" in config.without:
        return 0.0
    share = learned_share(learning.select)
    if learning.learner != "sft" or share is None:
        return times.learned * cycles
    later = times.admitted * cycles * (cycles + 1) / 2
    whole = cycles * corpus + share * (cycles * admitted + later)
    if learning.start != "last" or learning.replay is None:
        return whole
    new = share * times.admitted * cycles
    replay = learning.replay
    return new + (cycles * replay if isinstance(replay, int) else replay * (whole - new))


def _sum_of(values: Sequence[float], cycles: int, times: float) -> tuple[float, float]:
    """Return the sum over `cycles` cycles of `times` × a value, and its interval's half width."""
    if not values:
        return 0.0, 0.0
    mean = fmean(values)
    if len(values) < 2:
        spread, point = ASSUMED_SPREAD * mean, _ASSUMED_T
    else:
        from scipy.stats import t

        spread, point = stdev(values), float(t.ppf(0.975, len(values) - 1))
    half = point * spread * math.sqrt(cycles + cycles**2 / len(values))
    return cycles * times * mean, times * half


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
    path, times, first, admitted = config.folder / DATABASE, None, 0, 0
    lemur_corpus.ensure(config.learning.corpus, log)
    corpus = corpus_size(config.learning.corpus, config.learning.corpus_limit)
    if path.exists():
        with Store.open(path, create=False) as store:
            run = store.current_run(config.name)
            times = find_times(store, config, run)
            if run is not None:
                first = sum(s.closed for s in store.summary(run.id)) + 1
                first = first if store.cycle_closed(run.id, 0) or first > 1 else 0
                admitted = len(store.admitted(run.id))
    if times is None:
        with assemble(config, log) as parts:
            times = probe(config, parts, log, TimeLimit(None))
    left = max(0, config.cycles - max(first, 1) + 1)
    return expected_duration(config, times, first, corpus, admitted), times, left


def probe(config: Config, parts: Parts, log: Log, limit: TimeLimit) -> MeasuredTimes:
    """Measure one batch, up to three trainings and a fine-tuning. Raises: TimeLimitReached."""
    count = min(parts.llm.batch_size, config.candidates.per_cycle)
    log(f"Probing, for minutes: {plural(count, 'answer')}, some trainings, a fine-tuning …")
    seed = derive_seed(config.seed, "probe")
    prompt = parts.prompts.of_cycle([], lambda _: None).prompt(seed)
    sampling = Sampling(**config.sampling.model_dump())
    parts.llm.use_adapter(parts.start.adapter)
    start = time.monotonic()
    written = parts.llm.generate(prompt, count, seed, sampling)
    writing = (time.monotonic() - start) / count
    read = [parts.read(completion.text, prompt) for completion in written]
    networks = [found for found in read if isinstance(found, Candidate)]
    tried = []
    log(f"  {plural(len(networks), 'network')} after {writing * count:.0f} s")
    for number, network in enumerate(networks[:_TRAININGS], start=1):
        limit.check()
        log(f"  training {number} of {min(len(networks), _TRAININGS)} …")
        tried.append(_train(network, parts, config))
    training = sum(t.seconds for t in tried) / max(1, len(tried))
    share = len(networks) / count
    good = [TrainingPair(prompt, t.candidate.written, "probe") for t in tried if t.trained]
    trainable = sum(t.trained for t in tried) / max(1, len(tried))
    return MeasuredTimes(
        source=f"a probe of {count} answers and {len(tried)} trainings",
        per_candidate=(
            config.candidates.best_of * writing + share * training / parts.executor.workers,
        ),
        per_pair=_learn(good, parts, config, limit, log),
        candidates=float(config.candidates.per_cycle),
        admitted=share * trainable * config.arms[Arm.LOOP],
        learned=share * config.arms[Arm.LOOP],
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
    pairs: list[TrainingPair], parts: Parts, config: Config, limit: TimeLimit, log: Log
) -> tuple[float, ...]:
    """Return the seconds to learn a pair; () if the run learns nothing or the pairs fail."""
    learner: object = parts.learner  # mypy takes the two protocols to be disjoint
    if isinstance(learner, ComparesAnswers):
        log("  fine-tuning: not measured, the learner compares the answers of whole cycles")
        return ()
    if parts.learner is None or not pairs:
        return ()

    def on_step(step: int, steps: int, _loss: float) -> None:
        if step == 1:
            log(f"  fine-tuning: {plural(steps, 'step')} …")
        limit.check()

    with tempfile.TemporaryDirectory(prefix="nngpt-probe-") as folder:
        start = time.monotonic()
        try:
            parts.learner.learn(pairs, "probe", Path(folder), None, config.seed, on_step)
        except LearningFailed:
            return ()
        return ((time.monotonic() - start) / len(pairs),)
