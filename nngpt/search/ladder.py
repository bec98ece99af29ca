"""Successive halving, tuning and the final training: which network trains next, and how long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from nngpt.protocols import Log, TrainsInStages
from nngpt.records import Candidate, Refusal, TrainingStage, derive_seed
from nngpt.search.front import ACCURACY, FINALISTS, ranked
from nngpt.search.journal import Journal, StageRecord
from nngpt.statistics import percent_of

KEEP = 3
"""One network of so many goes on to the next rung, which trains it so many times longer."""

WARM_UP = 0.1
"""Share of a stage in which the learning rate rises."""


@dataclass(frozen=True)
class Recipe:
    """How networks train in a search.

    Attributes:
        optimiser: "sgd" or "adamw".
        lr: highest learning rate.
    """

    optimiser: str = "adamw"
    lr: float = 0.003
    batch: int = 64
    weight_decay: float = 0.05
    transform: str = "norm"

    @property
    def note(self) -> str:
        """The recipe in a few words."""
        return f"{self.optimiser} {self.lr:g}, batch {self.batch}, {self.transform}"

    def stage(
        self, images: int, first: int, seconds: float, start: float = 0.0, end: float = 1.0
    ) -> TrainingStage:
        """Return a stage: the part from `start` to `end` of one rise and fall of the rate."""
        progress, rates = (0.0, WARM_UP, 1.0), (0.0, self.lr, 0.0)
        points = sorted({start, *(p for p in progress if start < p < end), end})
        at = np.interp(points, progress, rates)
        schedule = tuple(
            ((p - start) / (end - start), float(r)) for p, r in zip(points, at, strict=True)
        )
        return TrainingStage(
            images=max(1, images),
            first=first,
            schedule=schedule,
            seconds=seconds,
            optimiser=self.optimiser,
            batch=self.batch,
            weight_decay=self.weight_decay,
            transform=self.transform,
        )


@dataclass(frozen=True)
class Entrant:
    """A network that takes part.

    Attributes:
        title: name for the user.
        candidate: its code.
        author: who wrote it, for the card.
        licence: SPDX expression of its code, "" if nobody's.
        recipe: how it trains.
    """

    title: str
    candidate: Candidate
    author: str
    licence: str
    recipe: Recipe

    @property
    def network(self) -> str:
        """Content hash of the network."""
        return self.candidate.content_hash


@dataclass(frozen=True)
class Trainer:
    """Trains stages of entrants, once each.

    Attributes:
        executor: the sandbox.
        journal: what was trained already.
        seed: seed of the search.
        train_count: number of training images.
    """

    executor: TrainsInStages
    journal: Journal
    seed: int
    train_count: int

    def train(
        self, key: str, entrant: Entrant, stage: TrainingStage, before: StageRecord | None
    ) -> StageRecord:
        """Train one stage, unless the journal has it; a refusal is a record, too."""
        if key in self.journal.stages:
            return self.journal.stages[key]
        state = self.journal.state(before.key) if before else None
        seed = derive_seed(self.seed, "search", entrant.network)
        result = self.executor.advance(entrant.candidate, seed, stage, state)
        record = StageRecord(key, entrant.network, note=entrant.recipe.note)
        if isinstance(result, Refusal):
            record = replace(record, refused=result.reason, refused_at=result.stage)
            return self.journal.add(record, None)
        record = replace(
            record,
            correct=result.correct,
            total=result.total,
            batches=result.batches,
            parameters=result.claimed_parameters,
            macs=None if result.claimed_flops is None else result.claimed_flops // 2,
            latency_ms=result.claimed_latency_ms,
            seconds=round(result.seconds, 2),
        )
        return self.journal.add(record, result.state)


Standing = tuple[Entrant, StageRecord]


def climb(
    trainer: Trainer,
    standings: Sequence[Standing],
    seconds: float,
    most_epochs: int,
    log: Log,
    objectives: Sequence[str] = (ACCURACY,),
) -> list[Standing]:
    """Halve the field until one worker each is left; every rung trains `KEEP` times longer.

    With several objectives, `FINALISTS` are left at least.

    Args:
        seconds: wall seconds of all rungs together.

    Returns: all of the last rung, the best first.
    """
    field = ranked(standings, objectives)
    if seconds <= 0:
        return field
    least = FINALISTS if len(objectives) > 1 else 1
    sizes = rung_sizes(len(field), trainer.executor.workers, least)
    for number, size in enumerate(sizes, 1):
        rounds = -(-size // trainer.executor.workers)
        each = seconds / len(sizes) / rounds
        log(f"Rung {number}: the {size} best train on, up to {each:.0f} s each")

        def go_on(one: Standing, number: int = number, each: float = each) -> Standing:
            entrant, before = one
            stage = entrant.recipe.stage(most_epochs * trainer.train_count, before.batches, each)
            key = f"rung{number}-{entrant.network}"
            return entrant, trainer.train(key, entrant, stage, before)

        with ThreadPoolExecutor(trainer.executor.workers) as pool:
            found = ranked(list(pool.map(go_on, field[:size])), objectives)
        for entrant, record in found:
            log(f"  {entrant.title:<28} {percent_of(record.correct, record.total)}")
        field = found or field
    return field


def rung_sizes(count: int, workers: int, least: int = 1) -> list[int]:
    """Return how many networks each rung has: from `count` to a worker each, `least` at least."""
    sizes = []
    while (size := -(-count // KEEP)) > max(workers, least):
        sizes.append(count := size)
    return [*sizes, max(size, min(count, least))] if count else []


def tune(
    trainer: Trainer,
    leader: Standing,
    proposals: Mapping[str, Recipe],
    seconds: float,
    most_epochs: int,
    log: Log,
) -> Standing:
    """Train the leader on with other recipes from the same weights; return the best.

    Args:
        proposals: recipes by a short name; the leader's own is among them.
        seconds: wall seconds of all trainings together.
    """
    if seconds <= 0:
        return leader
    entrant, before = leader
    each = seconds / -(-len(proposals) // trainer.executor.workers)

    def attempt(name: str) -> Standing:
        tried = replace(entrant, recipe=proposals[name])
        stage = tried.recipe.stage(most_epochs * trainer.train_count, before.batches, each)
        return tried, trainer.train(f"tune-{name}-{entrant.network}", tried, stage, before)

    log(f"Tuning {entrant.title}: {len(proposals)} recipes, {each:.0f} s each")
    with ThreadPoolExecutor(trainer.executor.workers) as pool:
        found = ranked(list(pool.map(attempt, proposals)))
    for one, record in found:
        log(f"  {one.recipe.note:<40} {percent_of(record.correct, record.total)}")
    return found[0] if found else leader


def finish(
    trainer: Trainer,
    leader: Standing,
    seconds: float,
    parts: int,
    most_epochs: int,
    log: Log,
) -> Standing:
    """Train the leader with all that is left, in parts with a checkpoint each; return the best.

    The learning rate rises and falls once over all parts. A part takes its share of the time that
    is left when it begins, so the end is kept whatever the machine does.
    """
    entrant, record = leader
    best, end = leader, trainer.journal.spent + seconds
    log(f"Final training of {entrant.title}: {max(0.0, seconds):.0f} s")
    for part in range(parts):
        left = end - trainer.journal.spent
        if left <= 0 and f"final{part}-{entrant.network}" not in trainer.journal.stages:
            break
        each = left / (parts - part)
        images = most_epochs * trainer.train_count // parts
        stage = entrant.recipe.stage(
            images, record.batches, max(each, 0.1), part / parts, (part + 1) / parts
        )
        found = trainer.train(f"final{part}-{entrant.network}", entrant, stage, record)
        if found.refused:
            log(f"  stopped: {found.refused}")
            break
        record = found
        log(f"  {(part + 1) / parts:.0%}: {percent_of(record.correct, record.total)}")
        if record.accuracy >= best[1].accuracy:
            best = entrant, record
    return best
