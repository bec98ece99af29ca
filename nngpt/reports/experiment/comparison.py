"""What an experiment found: each arm's figures, and its differences from the first arm.

Two kinds of intervals stand side by side. Those over networks take all networks of an arm for
independent (Wilson, t, Newcombe, Welch); those over seeds take a run as one observation (t, paired
by seed), are honest about what one run's networks have in common, and are wide with few seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from nngpt.config import DATABASE
from nngpt.cycle.experiment import begun
from nngpt.cycle.grid import Cell
from nngpt.records import Arm, State
from nngpt.statistics import mean_half_width, newcombe, welch
from nngpt.store import RunRecord, Store

Interval = tuple[float, float]


@dataclass(frozen=True)
class Cycle:
    """One cycle of one arm of one run: see `RunFigures`."""

    number: int
    written: int
    accuracies: tuple[float, ...] = field(repr=False)
    above: int


@dataclass(frozen=True)
class RunFigures:
    """One arm of one run.

    Attributes:
        arm: of the experiment; `writer` is who wrote within the run: the loop or a control.
        novel: admitted ones whose nearest known network is no near-duplicate.
        seconds: of the whole run, controls included; 0 if nobody measured.
    """

    arm: str
    writer: Arm
    seed: int
    by_cycle: tuple[Cycle, ...] = field(repr=False)
    admitted: int
    novel: int
    seconds: float

    @property
    def cycles(self) -> int:
        """How many there were."""
        return len(self.by_cycle)

    @property
    def written(self) -> int:
        """Candidates."""
        return sum(cycle.written for cycle in self.by_cycle)

    @property
    def accuracies(self) -> tuple[float, ...]:
        """Of the valid ones, 0…1."""
        return tuple(accuracy for cycle in self.by_cycle for accuracy in cycle.accuracies)

    @property
    def late(self) -> tuple[float, ...]:
        """Of the valid ones in the last third of the cycles."""
        last = self.by_cycle[-max(1, self.cycles // 3) :]
        return tuple(accuracy for cycle in last for accuracy in cycle.accuracies)

    @property
    def above(self) -> int:
        """Valid ones that reached the threshold."""
        return sum(cycle.above for cycle in self.by_cycle)

    @property
    def name(self) -> str:
        """For tables."""
        return self.arm if self.writer is Arm.LOOP else f"{self.arm}, control {self.writer}"


@dataclass(frozen=True)
class Difference:
    """An arm's figure less the first arm's: over networks, and over seeds.

    Attributes:
        what: the figure.
        value: the difference over all networks, with `interval`.
        by_seed: the difference for each seed that both have.
        over_seeds: t interval of their mean, None below two and where all are the same.
    """

    name: str
    base: str
    what: str
    value: float
    interval: Interval | None
    by_seed: tuple[float, ...]
    over_seeds: Interval | None


def figures(cells: Sequence[Cell]) -> list[RunFigures]:
    """The figures of all runs that have begun, the loop before its controls.

    Raises:
        UserError: one of them began with other settings.
    """
    found = []
    for cell in cells:
        path = cell.settings.folder / DATABASE
        if not path.exists():
            continue
        with Store.open(path, create=False) as store:
            run = begun(store, cell)
            if run is not None:
                found += [_figures(store, run, cell, arm) for arm in store.arms(run.id)]
    order = {cell.arm: number for number, cell in reversed(list(enumerate(cells)))}
    writers = list(Arm)
    return sorted(found, key=lambda f: (order[f.arm], writers.index(f.writer), f.seed))


def differences(found: Sequence[RunFigures]) -> list[Difference]:
    """Every arm and control against the first arm's loop."""
    names = list(dict.fromkeys(f.name for f in found))
    if len(names) < 2:
        return []
    base = [f for f in found if f.name == names[0]]
    return [
        difference
        for name in names[1:]
        for difference in _compare([f for f in found if f.name == name], base)
    ]


def _figures(store: Store, run: RunRecord, cell: Cell, arm: Arm) -> RunFigures:
    summaries = store.summary(run.id, arm)
    limit = cell.settings.novelty.threshold
    admitted = [a for a in store.attempts(run.id, state=State.ADMITTED, arm=arm) if not a.repairs]
    return RunFigures(
        arm=cell.arm,
        writer=arm,
        seed=cell.seed,
        by_cycle=tuple(Cycle(s.cycle, s.generated, s.accuracies, s.above) for s in summaries),
        admitted=len(admitted),
        novel=sum(a.novelty is not None and a.novelty.jaccard <= limit for a in admitted),
        seconds=sum(activity.seconds for activity in store.activities(run.id)),
    )


def _compare(mine: Sequence[RunFigures], base: Sequence[RunFigures]) -> list[Difference]:
    one, other = _Pooled(mine), _Pooled(base)
    found = []
    if one.written and other.written:
        valid = newcombe((one.valid, one.written), (other.valid, other.written))
        found.append(_difference("valid", mine, base, valid, _valid))
    if one.valid and other.valid:
        means = _welch(one.accuracies, other.accuracies)
        found.append(_difference("mean accuracy", mine, base, means, _mean))
        late = _welch(one.late, other.late)
        found.append(_difference("mean accuracy, last third", mine, base, late, _late))
        above = newcombe((one.above, one.valid), (other.above, other.valid))
        found.append(_difference("above the threshold", mine, base, above, _above))
    return found


class _Pooled:
    """All networks of an arm's runs."""

    def __init__(self, runs: Sequence[RunFigures]) -> None:
        self.written = sum(run.written for run in runs)
        self.accuracies = [accuracy for run in runs for accuracy in run.accuracies]
        self.late = [accuracy for run in runs for accuracy in run.late]
        self.valid = len(self.accuracies)
        self.above = sum(run.above for run in runs)


_Figure = Callable[[RunFigures], float | None]


def _difference(
    what: str,
    mine: Sequence[RunFigures],
    base: Sequence[RunFigures],
    pooled: tuple[float, float, float],
    figure: _Figure,
) -> Difference:
    value, low, high = pooled
    there = {run.seed: figure(run) for run in base}
    pairs = [(figure(run), there.get(run.seed)) for run in mine]
    by_seed = tuple(a - b for a, b in pairs if a is not None and b is not None)
    over = None
    if len(by_seed) > 1:
        mean, half = mean_half_width(by_seed)
        assert half is not None, "there are two or more"
        # Seeds that agree to the last digit are luck, not certainty.
        over = (mean - half, mean + half) if half else None
    interval = None if math.isnan(low) else (low, high)
    return Difference(mine[0].name, base[0].name, what, value, interval, by_seed, over)


def _welch(one: Sequence[float], other: Sequence[float]) -> tuple[float, float, float]:
    if not (one and other):
        return math.nan, math.nan, math.nan
    value, interval = welch(one, other)
    return (value, *interval) if interval else (value, math.nan, math.nan)


def _valid(run: RunFigures) -> float | None:
    return len(run.accuracies) / run.written if run.written else None


def _mean(run: RunFigures) -> float | None:
    return fmean(run.accuracies) if run.accuracies else None


def _late(run: RunFigures) -> float | None:
    return fmean(run.late) if run.late else None


def _above(run: RunFigures) -> float | None:
    return run.above / len(run.accuracies) if run.accuracies else None
