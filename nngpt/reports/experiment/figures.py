"""The figures that an experiment compares: each arm's runs, differences from the first arm.

Arms may have different data sets; only those on the same one are compared.

Networks of one run share an LLM and a seed, so an interval over networks alone is too narrow. A
difference therefore has two: over all networks, and, for three seeds or more, over seeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nngpt import statistics
from nngpt.novelty.shingles import near_duplicate
from nngpt.records import Arm, State
from nngpt.reports.analysis.uplift import AT_CHANCE, at_chance, thirds
from nngpt.statistics import FEWEST, Count, Difference, Interval, Measure, mean_half_width
from nngpt.store import RunRecord, Store


@dataclass(frozen=True)
class StartedRun:
    """A started run of an experiment; above `novelty_threshold` networks are near-duplicates."""

    arm: str
    seed: int
    novelty_threshold: float
    store: Store
    run: RunRecord


@dataclass(frozen=True)
class Cycle:
    """A writer's cycle in an experiment's run; `accuracies` and `above` are of valid networks."""

    number: int
    written: int
    accuracies: tuple[float, ...] = field(repr=False)
    above: int


@dataclass(frozen=True)
class RunFigures:
    """The figures of one writer within one run of an experiment.

    Attributes:
        arm: name of the run's arm in the experiment.
        writer: the loop or a control arm within the run.
        novel: number of those whose nearest known network is no near-duplicate.
        seconds: wall time of the whole run, controls included; 0 if not measured.
        chance: accuracy, 0…1, counted for an answer that was not trained; None if unknown.
        dataset: name of the run's data set, with its options and folder.
    """

    arm: str
    writer: Arm
    seed: int
    by_cycle: tuple[Cycle, ...] = field(repr=False)
    admitted: int
    novel: int
    seconds: float
    chance: float | None = None
    dataset: str = ""

    @property
    def written(self) -> int:
        """Number of first answers."""
        return sum(cycle.written for cycle in self.by_cycle)

    @property
    def accuracies(self) -> tuple[float, ...]:
        """Accuracies of the valid networks, 0…1."""
        return tuple(accuracy for cycle in self.by_cycle for accuracy in cycle.accuracies)

    @property
    def last_third(self) -> RunFigures:
        """The same figures of the last third of the cycles alone, rounded up to whole cycles."""
        _, first = thirds(len(self.by_cycle))
        return replace(self, by_cycle=self.by_cycle[first - 1 :])

    @property
    def at_chance(self) -> list[float]:
        """Accuracies of all answers, one that was not trained as chance; [] if that is unknown."""
        return [] if self.chance is None else at_chance(self.accuracies, self.written, self.chance)

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
    """A figure of one arm of an experiment minus that of the first arm on the same data set.

    Attributes:
        base: the arm subtracted.
        over_networks: the difference with its interval over all networks; None if there are none.
        by_seed: the difference for each seed that both arms have.
        over_seeds: t interval of the mean of `by_seed`; None for fewer than three seeds, and if all
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
        head = {"name": self.name, "base": self.base, "what": self.what}
        pooled = {"value": self.over_networks.value, "interval": self.over_networks.interval}
        return {**head, **pooled, "by_seed": self.by_seed, "over_seeds": self.over_seeds}


def figures(runs: Iterable[StartedRun], arms: Sequence[str]) -> list[RunFigures]:
    """Return an experiment's figures of each run, ordered by arm, writer (loop first) and seed.

    Runs are read one by one, so that each store may be closed before the next is opened.
    """
    found = [_figures(run, writer) for run in runs for writer in run.store.arms(run.run.id)]
    writers = list(Arm)
    return sorted(found, key=lambda f: (arms.index(f.arm), writers.index(f.writer), f.seed))


def measures(runs: Sequence[RunFigures]) -> dict[str, Measure]:
    """Return the figures that an experiment compares, over all networks of some runs."""
    accuracies = [accuracy for run in runs for accuracy in run.accuracies]
    written = sum(run.written for run in runs)
    late = [run.last_third for run in runs]
    return {
        "valid": Count(len(accuracies), written),
        "above the threshold": Count(sum(run.above for run in runs), written),
        "mean accuracy": accuracies,
        "mean accuracy, last third": [a for run in late for a in run.accuracies],
        AT_CHANCE: [a for run in runs for a in run.at_chance],
        f"{AT_CHANCE}, last third": [a for run in late for a in run.at_chance],
    }


def differences(found: Sequence[RunFigures]) -> list[ArmDifference]:
    """Return an experiment's figures of difference: each arm and control minus the first loop.

    The first one on the same data set, as accuracies on different ones do not compare.
    """
    compared = []
    for dataset in dict.fromkeys(f.dataset for f in found):
        same = [f for f in found if f.dataset == dataset]
        first, *others = dict.fromkeys(f.name for f in same)
        base = [f for f in same if f.name == first]
        for name in others:
            compared += _compare([f for f in same if f.name == name], base)
    return compared


def _figures(started: StartedRun, writer: Arm) -> RunFigures:
    store, run_id, limit = started.store, started.run.id, started.novelty_threshold
    task = started.run.config["task"]
    data = (task["dataset"], *task.get("options", {}).values(), task.get("root"))
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
        novel=sum(
            a.novelty is not None and not near_duplicate(a.novelty.jaccard, limit) for a in admitted
        ),
        seconds=sum(activity.seconds for activity in store.activities(run_id)),
        chance=1 / len(started.run.class_names) if started.run.class_names else None,
        dataset=" ".join(str(part) for part in data if part),
    )


def _compare(mine: Sequence[RunFigures], base: Sequence[RunFigures]) -> list[ArmDifference]:
    pooled = statistics.differences(measures(mine), measures(base))
    return [_difference(w, mine, base, found) for w, found in pooled.items() if found is not None]


def _difference(
    what: str, mine: Sequence[RunFigures], base: Sequence[RunFigures], pooled: Difference
) -> ArmDifference:
    there = {run.seed: _value(run, what) for run in base}
    pairs = [(_value(run, what), there.get(run.seed)) for run in mine]
    by_seed = tuple(a - b for a, b in pairs if a is not None and b is not None)
    mean, half = mean_half_width(by_seed) if len(by_seed) >= FEWEST else (0.0, None)
    # Seeds that agree to the last digit do so by chance: there is no interval of width 0.
    over_seeds = (mean - half, mean + half) if half else None
    return ArmDifference(mine[0].name, base[0].name, what, pooled, by_seed, over_seeds)


def _value(run: RunFigures, what: str) -> float | None:
    found = statistics.estimate(measures([run])[what])
    return found.value if found else None
