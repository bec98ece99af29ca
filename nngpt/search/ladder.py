"""Successive halving and the final training: which network trains next, and how long."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from nngpt.protocols import Log, TrainsInStages
from nngpt.records import Candidate, Refusal, TrainingStage, derive_seed
from nngpt.search.front import ACCURACY, FINALISTS, ranked
from nngpt.search.journal import Journal, StageRecord
from nngpt.search.projection import Projection
from nngpt.search.recipe import Recipe
from nngpt.statistics import percent_of

KEEP = 3
"""One network of so many goes on to the next rung."""

MOST_EPOCHS = 200.0
"""Passes over the training images in a stage, and in the final training, at most."""

_START_S, _LEAST_S, _LEAST_SHARE = 1.5, 0.1, 0.4
"""Seconds to start a stage's process; seconds of training at least, and as a share of a stage."""

T = TypeVar("T")

_LEAST_PASS_S = 20.0
"""Seconds that are worth training a finished network once more for."""


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
        recipe, advance = entrant.recipe, self.executor.advance
        result = advance(entrant.candidate, seed, stage, state)
        plain = recipe.memory_format == "contiguous" or before is not None
        if isinstance(result, Refusal) and not plain and "failed" in result.reason:
            # Networks may take tensors apart in a way that needs the plain format.
            recipe = replace(recipe, memory_format="contiguous")
            result = advance(entrant.candidate, seed, replace(stage, memory_format="contiguous"))
        record = StageRecord(
            key, entrant.network, recipe=recipe, before=before.key if before else ""
        )
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

    def go_on(
        self,
        name: str,
        standing: Standing,
        seconds: float,
        recipe: Recipe | None = None,
        epochs: float | None = None,
        part: tuple[float, float] = (0.0, 1.0),
        anew: bool = False,
    ) -> Standing:
        """Train a network on, for so many wall seconds with its process's start and its answers.

        Args:
            name: of the stage.
            recipe: None for the network's own.
            epochs: passes over the training images at most; None for `MOST_EPOCHS`.
            part: of the rise and fall of the learning rate.
            anew: begin with new weights.
        """
        entrant, before = standing
        recipe = recipe or entrant.recipe
        entrant = replace(entrant, recipe=recipe)
        besides = _START_S + before.total * self.forward_s(before)
        trained_s = max(seconds - besides, _LEAST_SHARE * seconds, _LEAST_S)
        images = round((epochs or MOST_EPOCHS) * self.train_count)
        passed = 0 if anew else before.images // recipe.batch
        stage = recipe.stage(images, passed, trained_s, *part)
        key = f"{name}-{entrant.network}"
        record = self.train(key, entrant, stage, None if anew else before)
        return replace(entrant, recipe=record.recipe), record

    def forward_s(self, record: StageRecord) -> float:
        """Estimate the seconds in which a network answers an image: a third of a training step."""
        chain = self.journal.chain(record)
        passes = 3 * record.images + sum(one.total for one in chain)
        return sum(one.seconds for one in chain) / max(1, passes)


Standing = tuple[Entrant, StageRecord]


def at_once(executor: TrainsInStages, work: Callable[..., T], *arguments: Iterable[Any]) -> list[T]:
    """Return the results of trainings, as many at once as there are workers.

    An interruption stops them.
    """
    with ThreadPoolExecutor(executor.workers) as pool:
        try:
            return list(pool.map(work, *arguments))
        except BaseException:
            executor.stop()
            raise


def network_line(title: str, facts: str) -> str:
    """Return what happened to a network as a line, in columns with those of others."""
    return f"  {title:<28.28} {facts}"


def climb(
    trainer: Trainer,
    standings: Sequence[Standing],
    seconds: float,
    log: Log,
    objectives: Sequence[str] = (ACCURACY,),
    projection: Projection | None = None,
) -> list[Standing]:
    """Halve the field until one worker each is left; every rung has the same time.

    With several objectives, `FINALISTS` are left at least. With one, those go on that are expected
    to be the best at the end, and none that is expected to stay too far behind.

    Args:
        seconds: wall seconds of all rungs together.
        projection: to the end of the search; None to go by the accuracy of now.

    Returns: all of the last rung, the best first.
    """
    single, journal = projection if len(objectives) == 1 else None, trainer.journal

    def in_order(standings: Sequence[Standing]) -> list[Standing]:
        found = ranked(standings, objectives)
        return single.ranked(found, journal) if single else found

    field = in_order(standings)
    if seconds <= 0:
        return field
    least = FINALISTS if len(objectives) > 1 else 1
    sizes = rung_sizes(len(field), trainer.executor.workers, least)
    for number, size in enumerate(sizes, 1):
        going = field[:size]
        if single:
            going = single.able(going, journal)
            if stopped := [one[0].title for one in field[:size] if one not in going]:
                log(f"Stopped early, too far behind {field[0][0].title}: {', '.join(stopped)}")
        rounds = -(-len(going) // trainer.executor.workers)
        each = seconds / len(sizes) / rounds
        keys = {f"rung{number}-{one[0].network}" for one in going}
        whom = f"{len(going)} best" if len(going) > 1 else "best"
        how = "trained before" if keys <= journal.stages.keys() else f"up to {each:.0f} s more"
        log(f"Rung {number}, for the {whom}: {how}")

        stages = itertools.repeat(f"rung{number}"), going, itertools.repeat(each)
        found = in_order(at_once(trainer.executor, trainer.go_on, *stages))
        for entrant, record in found:
            log(network_line(entrant.title, percent_of(record.correct, record.total)))
        field = found or field
    return field


def last_rung(journal: Journal) -> list[StageRecord]:
    """Return the stages of the highest rung; the first stages if there is none above them."""
    rungs = {key.partition("-")[0] for key in journal.stages if key.startswith("rung")}
    name = max(rungs, default="first")
    return [one for key, one in journal.stages.items() if key.startswith(f"{name}-")]


def rung_sizes(count: int, workers: int, least: int = 1) -> list[int]:
    """Return how many networks each rung has: about a third of the one before, `least` at least.

    Workers train so many at once, so none of them waits for another.
    """
    sizes, last = list[int](), max(workers, least)
    while count > last:
        rounds = -(-count // (KEEP * workers))
        if (size := max(rounds * workers, last)) >= count:
            break
        sizes.append(count := size)
    return sizes or [count][: count > 1]


def finish(
    trainer: Trainer,
    leader: Standing,
    seconds: float,
    parts: int,
    log: Log,
) -> Standing:
    """Train the leader with all that is left, in parts with a checkpoint each; return the best.

    The learning rate rises and falls once over all parts. A part takes its share of the time that
    is left when it begins, so the end is kept whatever the machine does. A network that has passed
    all parts, in a search whose time was raised, passes them once more, from its best checkpoint.
    """
    entrant, journal = leader[0], trainer.journal
    end, tried = journal.spent + seconds, finals(journal, entrant.network)
    own = [one for one in journal.stages.values() if one.network == entrant.network]
    own = [one for one in own if journal.has_state(one.key)]
    best = ranked([leader, *((replace(entrant, recipe=one.recipe), one) for one in own)])[0]
    done, at = [one for one in tried if not one.refused], leader
    first = len(done) % parts
    if done:
        if first == 0 and seconds < _LEAST_PASS_S:
            return best
        at = (entrant, done[-1]) if first and journal.has_state(done[-1].key) else best
    how_long = f"{seconds:.0f} s" if seconds > 0 else "no time is left"
    log(f"Final training of {entrant.title}{' goes on' if first else ''}: {how_long}")
    for part in range(first, parts):
        if end <= journal.spent:
            break
        found = _final_part(trainer, at, end, (part, parts), tried, log)
        if found[1].refused:
            break
        at = found
        log(f"  {(part + 1) / parts:.0%}: {percent_of(at[1].correct, at[1].total)}")
        if at[1].accuracy >= best[1].accuracy:
            best = at
    return best


def _final_part(
    trainer: Trainer,
    at: Standing,
    end: float,
    part: tuple[int, int],
    tried: list[StageRecord],
    log: Log,
) -> Standing:
    """Train one of a number of parts of a final training, and add what it gives to those tried.

    One that fails is tried once more from the same weights with half the batch and half the rate,
    which helps when numbers overflow or memory is short; all parts after it follow.
    """
    number, parts = part
    rise, epochs = (number / parts, (number + 1) / parts), MOST_EPOCHS / parts
    for last in (False, True):
        recipe = tried[-1].recipe if tried else at[0].recipe
        if tried and tried[-1].refused:
            recipe = replace(recipe, lr=recipe.lr / 2, batch=max(2, recipe.batch // 2))
        seconds = (end - trainer.journal.spent) / (parts - number)
        found = trainer.go_on(f"final{len(tried)}", at, seconds, recipe, epochs, rise)
        tried.append(found[1])
        if not found[1].refused:
            break
        then = "the training ends here" if last else "once more with half the batch and rate"
        log(f"  failed: {found[1].refused}; {then}")
    return found


def finals(journal: Journal, network: str) -> list[StageRecord]:
    """Return the parts of a network's final training that were tried, in order."""
    keys = (f"final{number}-{network}" for number in itertools.count())
    found = itertools.takewhile(lambda key: key in journal.stages, keys)
    return [journal.stages[key] for key in found]
