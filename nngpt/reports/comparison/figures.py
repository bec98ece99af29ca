"""The figures of a comparison, computed from its record and the training corpus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from nngpt.finetuning.compare.corpus import ReferenceCorpus
from nngpt.finetuning.compare.records import (
    CHECK,
    TRAIN,
    ArmFacts,
    Line,
    Sample,
    SampleKey,
    SampleOutcome,
    Session,
)
from nngpt.records import content_hash
from nngpt.reports.comparison import diversity
from nngpt.reports.comparison.diversity import BesideCorpus, NetworkShape, likeness, shape
from nngpt.statistics import Count, Difference, Measure, differences

COPY = 0.90
"""Jaccard similarity to a network of the training corpus above which an answer is a copy."""

ALL = "all prompts"


@dataclass(frozen=True)
class Accuracies:
    """First-epoch accuracies of a comparison's result, 0…1, in the order of the samples.

    Attributes:
        runs: of every answer that was trained; `distinct` without exact copies.
        everything: of every answer; one that does not run counts as chance.
        images: number of validation images each was judged on.
    """

    runs: tuple[float, ...] = field(repr=False)
    distinct: tuple[float, ...] = field(repr=False)
    everything: tuple[float, ...] = field(repr=False)
    images: int


@dataclass(frozen=True)
class ArmResult:
    """The results of one arm's answers to one prompt, judged one way.

    Attributes:
        asked: data sets of the prompt, or `ALL` for all prompts of the arm.
        how: `CHECK`, `TRAIN`, or "" if nothing was run.
        task: data set it was trained on, "" for other ways of judging.
        fit: answers that the contract accepts, of all.
        runs: answers that were built, ran forward and trained; for `CHECK`, on every task's shape.
        distinct: of these, neither an example of the prompt nor a copy of an earlier answer.
        refused: number of answers by the stage that refused them.
        finished: True if all wanted answers are judged.
    """

    arm: str
    asked: str
    how: str
    task: str
    fit: Count
    runs: Count | None
    distinct: Count | None
    refused: Mapping[str, int]
    finished: bool
    accuracy: Accuracies | None


@dataclass(frozen=True)
class Copies:
    """How similar an arm's networks are to the training corpus.

    Attributes:
        valid: copies among the answers that ran.
        fit: copies among the answers that the contract accepts.
        verbatim: answers that ran and equal a network of the corpus including its numbers.
        nearest: similarity of each valid answer to the nearest network of the corpus, 0…1.
    """

    arm: str
    valid: Count
    fit: Count
    verbatim: Count
    quantiles: Mapping[str, float]
    nearest: tuple[float, ...] = field(repr=False)


@dataclass(frozen=True)
class Diversity:
    """How different an arm's valid networks are, beside the training corpus.

    Attributes:
        distinct: networks that are no exact copy of an earlier one.
        apart: networks that are no near-duplicate of an earlier one.
        kinds: number of networks that use each kind of layer.
    """

    arm: str
    networks: int
    distinct: Count
    apart: Count
    figures: Mapping[str, BesideCorpus]
    kinds: Mapping[str, int]
    depths: Mapping[str, float]


@dataclass(frozen=True)
class AdapterDifference:
    """A share or mean accuracy of an adapter minus that of the base model, on one task."""

    arm: str
    base: str
    what: str
    where: str
    found: Difference


@dataclass(frozen=True)
class Speed:
    """Speed of a compared arm: tokens, wall time of its batches, answers cut off by the limit."""

    arm: str
    samples: int
    tokens: int
    seconds: float
    cut_off: Count

    @property
    def tokens_per_s(self) -> float:
        """Tokens written per second, over all rows of a batch."""
        return self.tokens / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class ComparisonFigures:
    """All numbers of a comparison: of each arm, each session, and the differences."""

    arms: tuple[ArmFacts, ...]
    sessions: tuple[Session, ...]
    results: tuple[ArmResult, ...]
    copies: tuple[Copies, ...]
    diversity: tuple[Diversity, ...]
    differences: tuple[AdapterDifference, ...]
    speed: tuple[Speed, ...]
    corpus: ReferenceCorpus | None


def compute_figures(lines: Iterable[Line], corpus: ReferenceCorpus | None) -> ComparisonFigures:
    """Return a comparison's figures; `corpus` is what the adapters learned, None to omit it."""
    record = _Record(list(lines))
    known = [shape(code) for code in corpus.networks.values()] if corpus else []
    results = [result for arm in record.arms for result in record.results(arm.name)]
    return ComparisonFigures(
        arms=tuple(record.arms),
        sessions=tuple(record.sessions),
        results=tuple(results),
        copies=tuple(_copies(record, arm.name, corpus, known) for arm in record.arms if corpus),
        diversity=tuple(_diversity(record, arm.name, known) for arm in record.arms),
        differences=tuple(_differences(record.arms, results)),
        speed=tuple(record.speed(arm.name) for arm in record.arms),
        corpus=corpus,
    )


class _Record:
    """The lines of a record, by arm and prompt."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self.arms = [line for line in lines if isinstance(line, ArmFacts)]
        self.sessions = [line for line in lines if isinstance(line, Session)]
        self._samples: dict[tuple[str, str], list[Sample]] = {}
        for sample in sorted((s for s in lines if isinstance(s, Sample)), key=lambda s: s.index):
            self._samples.setdefault((sample.arm, sample.asked), []).append(sample)
        self._outcomes: dict[SampleKey, dict[tuple[str, str], SampleOutcome]] = {}
        for outcome in (line for line in lines if isinstance(line, SampleOutcome)):
            self._outcomes.setdefault(outcome.key, {})[outcome.how, outcome.task] = outcome

    def samples(self, arm: str) -> list[Sample]:
        """Return all answers of an arm."""
        return [s for (of, _), found in self._samples.items() if of == arm for s in found]

    def speed(self, arm: str) -> Speed:
        """Return how much an arm wrote, and how fast."""
        samples = self.samples(arm)
        cut_off = Count(sum(not s.finished for s in samples), len(samples))
        tokens, seconds = sum(s.tokens for s in samples), sum(s.seconds for s in samples)
        return Speed(arm, len(samples), tokens, seconds, cut_off)

    def valid(self, arm: str) -> list[Sample]:
        """Return the answers that ran wherever they were run; those that fit if none was run."""
        fit = [s for s in self.samples(arm) if s.refusal is None]
        ran = [s for s in fit if s.key in self._outcomes]
        valid = [s for s in ran if not any(o.refusal for o in self._outcomes[s.key].values())]
        return valid if ran else fit

    def results(self, arm: str) -> list[ArmResult]:
        """Return a result for each prompt and way of judging, then for all prompts together."""
        prompts = [asked for (of, asked) in self._samples if of == arm]
        found = [result for asked in prompts for result in self._of_prompts(arm, [asked])]
        if len(prompts) > 1:
            found += [result for result in self._of_prompts(arm, prompts) if result.how != TRAIN]
        return found

    def _of_prompts(self, arm: str, prompts: Sequence[str]) -> list[ArmResult]:
        tasks = sorted({task for session in self.sessions for task in session.tasks})
        shapes = tuple(t for t in tasks if all(self._wanted(arm, a, CHECK, t) for a in prompts))
        ways = [(CHECK, shapes)] if shapes else []
        for task in tasks:
            if all(self._wanted(arm, asked, TRAIN, task) for asked in prompts):
                ways.append((TRAIN, (task,)))
        return [self._result(arm, prompts, how, on) for how, on in ways or [("", ())]]

    def _result(self, arm: str, prompts: Sequence[str], how: str, on: Sequence[str]) -> ArmResult:
        done, whole = [], 0
        for asked in prompts:
            wanted = min((self._wanted(arm, asked, how, task) for task in on or ("",)), default=0)
            done += self._done(self._samples[arm, asked][:wanted], how, on)
            whole += wanted
        refusals = [refusal for s in done if (refusal := self._refusal(s, how, on))]
        runs = [s for s in done if not self._refusal(s, how, on)]
        distinct = _distinct(runs)
        return ArmResult(
            arm=arm,
            asked=ALL if len(prompts) > 1 else self._datasets(arm, prompts[0]),
            how=how,
            task=on[0] if how == TRAIN else "",
            fit=Count(sum(s.refusal is None for s in done), len(done)),
            runs=Count(len(runs), len(done)) if how else None,
            distinct=Count(len(distinct), len(done)) if how else None,
            refused=dict(Counter(refusals).most_common()),
            finished=len(done) == whole,
            accuracy=self._accuracy(on[0], done, runs, distinct) if how == TRAIN else None,
        )

    def _wanted(self, arm: str, asked: str, how: str, task: str) -> int:
        return max((s.wants(arm, asked, how, task) for s in self.sessions), default=0)

    def _datasets(self, arm: str, asked: str) -> str:
        found = (s.prompts.get(arm, {}).get(asked, ()) for s in self.sessions)
        return ", ".join(dict.fromkeys(task for tasks in found for task in tasks))

    def _done(self, samples: Sequence[Sample], how: str, on: Sequence[str]) -> list[Sample]:
        """Return the answers before the first that is not judged yet."""
        ways = [(how, task) for task in on]
        found = []
        for place, sample in enumerate(samples):
            seen = self._outcomes.get(sample.key, {})
            judged = sample.refusal is not None or all(way in seen for way in ways)
            if sample.index != place or not judged:
                break
            found.append(sample)
        return found

    def _refusal(self, sample: Sample, how: str, on: Sequence[str]) -> str | None:
        if sample.refusal is not None:
            return str(sample.refusal.stage)
        outcomes = (self._outcomes[sample.key][how, task] for task in on)
        return next((str(o.refusal.stage) for o in outcomes if o.refusal), None)

    def _accuracy(
        self, task: str, done: Sequence[Sample], runs: Sequence[Sample], distinct: Sequence[Sample]
    ) -> Accuracies | None:
        on_task = [seen[TRAIN, task] for seen in self._outcomes.values() if (TRAIN, task) in seen]
        if not on_task or not done:
            return None
        of = {o.key: o.accuracy for o in on_task if o.accuracy is not None}
        return Accuracies(
            runs=tuple(of[s.key] for s in runs),
            distinct=tuple(of[s.key] for s in distinct),
            everything=tuple(of.get(s.key, 1 / on_task[0].classes) for s in done),
            images=max(o.total for o in on_task),
        )


def _distinct(samples: Iterable[Sample]) -> list[Sample]:
    """Return the answers that copy neither an example of the prompt nor an earlier answer."""
    seen: set[str] = set()
    found = []
    for sample in samples:
        if not sample.shown and sample.hash not in seen:
            found.append(sample)
        seen.add(sample.hash)
    return found


def _copies(
    record: _Record, arm: str, corpus: ReferenceCorpus, known: Sequence[NetworkShape]
) -> Copies:
    valid = {sample.key for sample in record.valid(arm)}
    fit = [s for s in record.samples(arm) if s.refusal is None]
    alike = likeness([shape(s.network) for s in fit], known).max(axis=1, initial=0.0)
    nearest = [float(x) for s, x in zip(fit, alike, strict=True) if s.key in valid]
    texts = {content_hash(code) for code in corpus.networks.values()}
    verbatim = sum(content_hash(s.network) in texts for s in fit if s.key in valid)
    return Copies(
        arm=arm,
        valid=Count(sum(x > COPY for x in nearest), len(nearest)),
        fit=Count(int((alike > COPY).sum()), len(fit)),
        verbatim=Count(verbatim, len(nearest)),
        quantiles=_quantiles(nearest),
        nearest=tuple(nearest),
    )


def _diversity(record: _Record, arm: str, known: Sequence[NetworkShape]) -> Diversity:
    samples = record.valid(arm)
    networks = [shape(s.network) for s in samples]
    nearest = np.tril(likeness(networks, networks), -1).max(axis=1, initial=0.0)
    kinds = Counter(kind for n in networks for kind in sorted(n.kinds))
    return Diversity(
        arm=arm,
        networks=len(samples),
        distinct=Count(len({s.hash for s in samples}), len(samples)),
        apart=Count(int((nearest <= COPY).sum()), len(samples)),
        figures=diversity.beside_corpus(networks, known),
        kinds=dict(kinds.most_common()),
        depths=_quantiles([float(n.depth) for n in networks]),
    )


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    places = {"min": 0.0, "10%": 0.1, "median": 0.5, "90%": 0.9, "max": 1.0}
    return {name: float(np.quantile(values, place)) for name, place in places.items()}


def _differences(
    arms: Sequence[ArmFacts], results: Sequence[ArmResult]
) -> Iterator[AdapterDifference]:
    """Yield every adapter minus every arm without one, where both were judged the same way."""
    bases = [arm.name for arm in arms if arm.is_base]
    adapters = [arm.name for arm in arms if not arm.is_base]
    for base, arm in product(bases, adapters):
        mine = [result for result in results if result.arm == arm]
        theirs = [result for result in results if result.arm == base]
        for one, other in product(mine, theirs):
            if _comparable(one, other):
                for what, found in differences(_measures(one), _measures(other)).items():
                    if found is not None:
                        yield AdapterDifference(arm, base, what, one.task or one.asked, found)


def _comparable(one: ArmResult, other: ArmResult) -> bool:
    if TRAIN in (one.how, other.how):
        return (one.how, one.task) == (other.how, other.task)
    return (one.how, one.asked) == (other.how, other.asked)


def _measures(result: ArmResult) -> dict[str, Measure]:
    found: dict[str, Measure] = {"fit the contract": result.fit}
    if result.runs and result.distinct:
        found |= {"run": result.runs, "distinct": result.distinct}
    if result.accuracy:
        found["mean accuracy, of those that run"] = result.accuracy.runs
        found["mean accuracy, others as chance"] = result.accuracy.everything
    return found
