"""From a comparison's record and the training corpus to all figures: a pure function."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median

import numpy as np

from nngpt.finetuning.compare.corpus import Corpus
from nngpt.finetuning.compare.diversity import Network, likeness, network
from nngpt.finetuning.compare.records import CHECK, TRAIN, ArmFacts, Line, Outcome, Sample, Session
from nngpt.records import content_hash
from nngpt.reports.comparison import spread
from nngpt.reports.comparison.figures import (
    ALL,
    COPY,
    Accuracy,
    Cell,
    Copies,
    Difference,
    Diversity,
    Figures,
    Mean,
    Share,
    Speed,
)
from nngpt.statistics import mean_half_width, newcombe, welch


def summarise(lines: Iterable[Line], corpus: Corpus | None) -> Figures:
    """The figures of a record; `corpus` is what the adapters learned, None to leave it out."""
    record = _Record(list(lines))
    known = [network(code) for code in corpus.networks.values()] if corpus else []
    cells = [cell for arm in record.arms for cell in record.cells(arm.name)]
    return Figures(
        arms=tuple(record.arms),
        sessions=tuple(record.sessions),
        cells=tuple(cells),
        copies=tuple(_copies(record, arm.name, corpus, known) for arm in record.arms if corpus),
        diversity=tuple(_diversity(record, arm.name, known) for arm in record.arms),
        differences=tuple(_differences(record.arms, cells)),
        speed=tuple(record.speed(arm.name) for arm in record.arms),
        corpus=corpus,
    )


class _Record:
    """The lines of a record, sorted out."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self.arms = [line for line in lines if isinstance(line, ArmFacts)]
        self.sessions = [line for line in lines if isinstance(line, Session)]
        self._samples: dict[tuple[str, str], list[Sample]] = {}
        for sample in sorted((s for s in lines if isinstance(s, Sample)), key=lambda s: s.index):
            self._samples.setdefault((sample.arm, sample.asked), []).append(sample)
        self._outcomes: dict[tuple[str, str, int], dict[tuple[str, str], Outcome]] = {}
        for outcome in (line for line in lines if isinstance(line, Outcome)):
            self._outcomes.setdefault(outcome.key, {})[outcome.how, outcome.task] = outcome

    def samples(self, arm: str) -> list[Sample]:
        """All answers of an arm."""
        return [s for (of, _), found in self._samples.items() if of == arm for s in found]

    def speed(self, arm: str) -> Speed:
        """What it wrote, and how fast."""
        samples = self.samples(arm)
        cut_off = Share(sum(not s.finished for s in samples), len(samples))
        tokens, seconds = sum(s.tokens for s in samples), sum(s.seconds for s in samples)
        return Speed(arm, len(samples), tokens, seconds, cut_off)

    def valid(self, arm: str) -> list[Sample]:
        """Answers that ran wherever they were run; with nothing run at all, that fit."""
        fit = [s for s in self.samples(arm) if s.refusal is None]
        if not any(s.key in self._outcomes for s in fit):
            return fit
        ran = [s for s in fit if s.key in self._outcomes]
        return [s for s in ran if not any(o.refusal for o in self._outcomes[s.key].values())]

    def cells(self, arm: str) -> list[Cell]:
        """One for each prompt and way of judging, and one for all prompts together."""
        prompts = [asked for (of, asked) in self._samples if of == arm]
        found = [cell for asked in prompts for cell in self._cells(arm, [asked])]
        if len(prompts) > 1:
            found += [cell for cell in self._cells(arm, prompts) if cell.how != TRAIN]
        return found

    def _cells(self, arm: str, prompts: Sequence[str]) -> list[Cell]:
        tasks = sorted({task for session in self.sessions for task in session.tasks})
        shapes = tuple(t for t in tasks if all(self._wanted(arm, a, CHECK, t) for a in prompts))
        ways = [(CHECK, shapes)] if shapes else []
        for task in tasks:
            if all(self._wanted(arm, asked, TRAIN, task) for asked in prompts):
                ways.append((TRAIN, (task,)))
        return [self._cell(arm, prompts, how, on) for how, on in ways or [("", ())]]

    def _cell(self, arm: str, prompts: Sequence[str], how: str, on: Sequence[str]) -> Cell:
        done, whole = [], 0
        for asked in prompts:
            wanted = min((self._wanted(arm, asked, how, task) for task in on or ("",)), default=0)
            done += self._done(self._samples[arm, asked][:wanted], how, on)
            whole += wanted
        refusals = [refusal for s in done if (refusal := self._refusal(s, how, on))]
        runs = [s for s in done if not self._refusal(s, how, on)]
        fits = sum(s.refusal is None for s in done)
        distinct = _distinct(runs)
        return Cell(
            arm=arm,
            asked=ALL if len(prompts) > 1 else self._asked_for(arm, prompts[0]),
            how=how,
            task=on[0] if how == TRAIN else "",
            fit=Share(fits, len(done)),
            runs=Share(len(runs), len(done)) if how else None,
            distinct=Share(len(distinct), len(done)) if how else None,
            refused=dict(Counter(refusals).most_common()),
            finished=len(done) == whole,
            accuracy=self._accuracy(on[0], done, runs, distinct) if how == TRAIN else None,
        )

    def _wanted(self, arm: str, asked: str, how: str, task: str) -> int:
        return max((s.wants(arm, asked, how, task) for s in self.sessions), default=0)

    def _asked_for(self, arm: str, asked: str) -> str:
        """The data sets of a prompt."""
        found = (s.prompts.get(arm, {}).get(asked, ()) for s in self.sessions)
        return ", ".join(dict.fromkeys(task for tasks in found for task in tasks))

    def _done(self, samples: Sequence[Sample], how: str, on: Sequence[str]) -> list[Sample]:
        """The answers up to the first that is yet to be judged."""
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
        """The first stage that refused it."""
        if sample.refusal is not None:
            return str(sample.refusal.stage)
        outcomes = (self._outcomes[sample.key][how, task] for task in on)
        return next((str(o.refusal.stage) for o in outcomes if o.refusal), None)

    def _accuracy(
        self,
        task: str,
        done: Sequence[Sample],
        runs: Sequence[Sample],
        distinct: Sequence[Sample],
    ) -> Accuracy | None:
        on_task = [seen[TRAIN, task] for seen in self._outcomes.values() if (TRAIN, task) in seen]
        if not on_task or not done:
            return None
        of = {o.key: o.accuracy for o in on_task if o.accuracy is not None}
        values = tuple(of[s.key] for s in runs)
        everything = tuple(of.get(s.key, 1 / on_task[0].classes) for s in done)
        return Accuracy(
            runs=_mean(values),
            distinct=_mean([of[s.key] for s in distinct]),
            all=_mean(everything),
            median=median(values) if values else None,
            best=max(values, default=None),
            images=max(o.total for o in on_task),
            values=values,
            all_values=everything,
        )


def _distinct(samples: Iterable[Sample]) -> list[Sample]:
    """Those that are neither an example of the prompt nor a copy of an earlier one."""
    seen: set[str] = set()
    found = []
    for sample in samples:
        if not sample.shown and sample.hash not in seen:
            found.append(sample)
        seen.add(sample.hash)
    return found


def _mean(values: Sequence[float]) -> Mean:
    if not values:
        return Mean(0, None, None)
    return Mean(len(values), *mean_half_width(values))


def _copies(record: _Record, arm: str, corpus: Corpus, known: Sequence[Network]) -> Copies:
    valid = {sample.key for sample in record.valid(arm)}
    fit = [s for s in record.samples(arm) if s.refusal is None]
    alike = likeness([network(s.network) for s in fit], known).max(axis=1, initial=0.0)
    nearest = [float(x) for s, x in zip(fit, alike, strict=True) if s.key in valid]
    texts = {content_hash(code) for code in corpus.networks.values()}
    verbatim = sum(content_hash(s.network) in texts for s in fit if s.key in valid)
    return Copies(
        arm,
        Share(sum(x > COPY for x in nearest), len(nearest)),
        Share(int((alike > COPY).sum()), len(fit)),
        Share(verbatim, len(nearest)),
        _quantiles(nearest),
        tuple(nearest),
    )


def _diversity(record: _Record, arm: str, known: Sequence[Network]) -> Diversity:
    samples = record.valid(arm)
    networks = [network(s.network) for s in samples]
    alike = likeness(networks, networks)
    nearest = np.tril(alike, -1).max(axis=1, initial=0.0)
    return Diversity(
        arm,
        len(samples),
        Share(len({s.hash for s in samples}), len(samples)),
        Share(int((nearest <= COPY).sum()), len(samples)),
        spread.compared(networks, known),
        dict(Counter(kind for n in networks for kind in sorted(n.kinds)).most_common()),
        _quantiles([float(n.depth) for n in networks]),
    )


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    places = {"min": 0.0, "10%": 0.1, "median": 0.5, "90%": 0.9, "max": 1.0}
    return {name: float(np.quantile(values, place)) for name, place in places.items()}


def _differences(arms: Sequence[ArmFacts], cells: Sequence[Cell]) -> Iterable[Difference]:
    """Every adapter against every arm without one, where both were judged the same way."""
    bases = [arm.name for arm in arms if arm.is_base]
    for base in bases:
        for arm in (a.name for a in arms if a.name not in bases):
            for cell in (c for c in cells if c.arm == arm):
                for other in (c for c in cells if c.arm == base and _comparable(c, cell)):
                    yield from _between(cell, other)


def _comparable(one: Cell, other: Cell) -> bool:
    if one.how == TRAIN:
        return other.how == TRAIN and one.task == other.task
    return (one.how, one.asked) == (other.how, other.asked)


def _between(cell: Cell, base: Cell) -> Iterable[Difference]:
    where = cell.task or cell.asked
    shares = {
        "fit the contract": (cell.fit, base.fit),
        "run": (cell.runs, base.runs),
        "distinct": (cell.distinct, base.distinct),
    }
    for what, (one, other) in shares.items():
        if one and other and one.total and other.total:
            found, *ends = newcombe((one.hits, one.total), (other.hits, other.total))
            ns = one.total, other.total
            yield Difference(cell.arm, base.arm, what, where, *ns, found, (ends[0], ends[1]))
    if cell.accuracy and base.accuracy:
        values = {
            "mean accuracy, of those that run": (cell.accuracy.values, base.accuracy.values),
            "mean accuracy, others as chance": (
                cell.accuracy.all_values,
                base.accuracy.all_values,
            ),
        }
        for what, (here, there) in values.items():
            if not (here and there):
                continue
            gap, interval = welch(here, there)
            yield Difference(cell.arm, base.arm, what, where, len(here), len(there), gap, interval)
