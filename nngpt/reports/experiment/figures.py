"""An experiment's figures: each arm's runs, and differences from the first arm.

Networks of one run share an LLM and a seed, so an interval over networks alone is too narrow. A
difference therefore has two: over all networks, and over seeds, which is wide with few seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from nngpt.records import Arm, State
from nngpt.statistics import (
    Difference,
    Interval,
    mean_difference,
    mean_half_width,
    share_difference,
)
from nngpt.store import RunRecord, Store


@dataclass(frozen=True)
class StartedRun:
    """A run of an experiment that has begun.

    Attributes:
        arm: name of its arm in the experiment.
        novelty_threshold: Jaccard similarity above which a network is a near-duplicate.
        store: open database that holds the run.
    """

    arm: str
    seed: int
    novelty_threshold: float
    store: Store
    run: RunRecord


@dataclass(frozen=True)
class Cycle:
    """One cycle of one writer within one run.

    Attributes:
        number: number of the cycle, from 1.
        written: number of first answers.
        accuracies: accuracies of the valid ones, 0…1.
        above: number of valid ones at or above the admission threshold.
    """

    number: int
    written: int
    accuracies: tuple[float, ...] = field(repr=False)
    above: int


@dataclass(frozen=True)
class RunFigures:
    """The figures of one writer within one run.

    Attributes:
        arm: name of the run's arm in the experiment.
        writer: the loop or a control arm within the run.
        admitted: number of first answers admitted.
        novel: number of those whose nearest known network is no near-duplicate.
        seconds: wall time of the whole run, controls included; 0 if not measured.
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
        """Number of cycles."""
        return len(self.by_cycle)

    @property
    def written(self) -> int:
        """Number of first answers."""
        return sum(cycle.written for cycle in self.by_cycle)

    @property
    def accuracies(self) -> tuple[float, ...]:
        """Accuracies of the valid networks, 0…1."""
        return tuple(accuracy for cycle in self.by_cycle for accuracy in cycle.accuracies)

    @property
    def late(self) -> tuple[float, ...]:
        """Accuracies of the valid networks of the last third of the cycles."""
        last = self.by_cycle[-max(1, self.cycles // 3) :]
        return tuple(accuracy for cycle in last for accuracy in cycle.accuracies)

    @property
    def above(self) -> int:
        """Number of valid networks at or above the admission threshold."""
        return sum(cycle.above for cycle in self.by_cycle)

    @property
    def name(self) -> str:
        """Name of arm and writer, as in tables."""
        return self.arm if self.writer is Arm.LOOP else f"{self.arm}, control {self.writer}"


@dataclass(frozen=True)
class ArmDifference:
    """A figure of one arm minus that of the first arm.

    Attributes:
        name: the arm.
        base: the arm subtracted.
        what: the figure.
        over_networks: the difference with its interval over all networks; None if there are none.
        by_seed: the difference for each seed that both arms have.
        over_seeds: t interval of the mean of `by_seed`; None for fewer than two seeds, and if all
            seeds give the same difference.
    """

    name: str
    base: str
    what: str
    over_networks: Difference
    by_seed: tuple[float, ...]
    over_seeds: Interval | None

    def as_json(self) -> dict[str, Any]:
        """Return the difference for a script."""
        return {
            "name": self.name,
            "base": self.base,
            "what": self.what,
            "value": self.over_networks.value,
            "interval": self.over_networks.interval,
            "by_seed": self.by_seed,
            "over_seeds": self.over_seeds,
        }


def figures(runs: Iterable[StartedRun], arms: Sequence[str]) -> list[RunFigures]:
    """Return the figures of all runs, ordered by arm, writer (the loop first) and seed.

    Runs are read one by one, so that each store may be closed before the next is opened.
    """
    found = [_figures(run, writer) for run in runs for writer in run.store.arms(run.run.id)]
    writers = list(Arm)
    return sorted(found, key=lambda f: (arms.index(f.arm), writers.index(f.writer), f.seed))


def differences(found: Sequence[RunFigures]) -> list[ArmDifference]:
    """Compare every arm and control with the first arm's loop."""
    names = list(dict.fromkeys(f.name for f in found))
    base = [f for f in found if f.name in names[:1]]
    return [
        difference
        for name in names[1:]
        for difference in _compare([f for f in found if f.name == name], base)
    ]


def _figures(started: StartedRun, writer: Arm) -> RunFigures:
    store, run_id, limit = started.store, started.run.id, started.novelty_threshold
    summaries = store.summary(run_id, writer)
    admitted = [
        a for a in store.attempts(run_id, state=State.ADMITTED, arm=writer) if not a.repairs
    ]
    return RunFigures(
        arm=started.arm,
        writer=writer,
        seed=started.seed,
        by_cycle=tuple(Cycle(s.cycle, s.generated, s.accuracies, s.above) for s in summaries),
        admitted=len(admitted),
        novel=sum(a.novelty is not None and a.novelty.jaccard <= limit for a in admitted),
        seconds=sum(activity.seconds for activity in store.activities(run_id)),
    )


def _compare(mine: Sequence[RunFigures], base: Sequence[RunFigures]) -> list[ArmDifference]:
    one, other = _Pooled(mine), _Pooled(base)
    pooled = {
        "valid": (share_difference((one.valid, one.written), (other.valid, other.written)), _valid),
        "mean accuracy": (mean_difference(one.accuracies, other.accuracies), _mean),
        "mean accuracy, last third": (mean_difference(one.late, other.late), _late),
        "above the threshold": (
            share_difference((one.above, one.valid), (other.above, other.valid)),
            _above,
        ),
    }
    return [
        _difference(what, mine, base, found, figure)
        for what, (found, figure) in pooled.items()
        if found is not None
    ]


class _Pooled:
    """All networks of an arm's runs."""

    def __init__(self, runs: Sequence[RunFigures]) -> None:
        self.written = sum(run.written for run in runs)
        self.accuracies = [accuracy for run in runs for accuracy in run.accuracies]
        self.late = [accuracy for run in runs for accuracy in run.late]
        self.valid = len(self.accuracies)
        self.above = sum(run.above for run in runs)


def _difference(
    what: str,
    mine: Sequence[RunFigures],
    base: Sequence[RunFigures],
    pooled: Difference,
    figure: Callable[[RunFigures], float | None],
) -> ArmDifference:
    there = {run.seed: figure(run) for run in base}
    pairs = [(figure(run), there.get(run.seed)) for run in mine]
    by_seed = tuple(a - b for a, b in pairs if a is not None and b is not None)
    mean, half = mean_half_width(by_seed) if by_seed else (0.0, None)
    # Seeds that agree to the last digit do so by chance: there is no interval of width 0.
    over_seeds = (mean - half, mean + half) if half else None
    return ArmDifference(mine[0].name, base[0].name, what, pooled, by_seed, over_seeds)


def _valid(run: RunFigures) -> float | None:
    return len(run.accuracies) / run.written if run.written else None


def _mean(run: RunFigures) -> float | None:
    return fmean(run.accuracies) if run.accuracies else None


def _late(run: RunFigures) -> float | None:
    return fmean(run.late) if run.late else None


def _above(run: RunFigures) -> float | None:
    return run.above / len(run.accuracies) if run.accuracies else None
