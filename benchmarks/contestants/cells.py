"""Searches of NAS-Bench-201 without a language model; each look-up observes one noisy training."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial

import numpy as np

from nngpt import config
from nngpt.cycle.answer_pool import MUTATED
from nngpt.data.nasbench201 import OPERATIONS, Cell, Table
from nngpt.generation.expectation import Matrix, Try, promise
from nngpt.generation.llm import transformers
from nngpt.generation.llm.transformers import TransformersLLM

Numbers = tuple[int, ...]
"""The operations of a cell by number."""

POPULATION, SAMPLE = 20, 5


@dataclass
class Search:
    """A search with a number of look-ups.

    Attributes:
        trace: looked-up cells with the observed percentages, in order.
        random_changes: numbers, from 0, of the look-ups that are random changes of known cells, in
            a run of the LLM.
    """

    table: Table
    budget: int
    chance: random.Random
    trace: list[tuple[Numbers, float]] = field(default_factory=list)
    random_changes: list[int] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Return True if the budget is used up."""
        return len(self.trace) >= self.budget

    @property
    def known(self) -> dict[Numbers, float]:
        """The observed percentage of each cell; of several the last."""
        return dict(self.trace)

    def look_up(self, cell: Numbers) -> float:
        """Observe one of the cell's trainings, drawn at random."""
        found = self.table.training(Cell.of(cell), self.chance.getrandbits(31))
        self.trace.append((cell, 100 * found.correct / self.table.images))
        return self.trace[-1][1]

    def any_cell(self) -> Numbers:
        """Draw a cell."""
        return tuple(self.chance.randrange(len(OPERATIONS)) for _ in range(6))

    def changed(self, cell: Numbers) -> Numbers:
        """Exchange one operation for another."""
        return self.chance.choice(neighbours(cell))

    def fresh(self, cell: Numbers) -> Numbers:
        """Return a cell unless it is known, else a change of one of the ten best, as the loop."""
        known = self.known
        best = sorted(known, key=lambda one: -known[one])[:MUTATED]
        while cell in known:
            cell = self.changed(self.chance.choice(best))
        return cell


def neighbours(cell: Numbers) -> list[Numbers]:
    """Return the cells that differ in one operation."""
    return [
        (*cell[:place], number, *cell[place + 1 :])
        for place in range(len(cell))
        for number in range(len(OPERATIONS))
        if number != cell[place]
    ]


def random_search(search: Search, fresh: bool = False) -> None:
    """Draw every cell at random; with `fresh`, repeats are replaced as in the loop."""
    while not search.over:
        cell = search.any_cell()
        search.look_up(search.fresh(cell) if fresh else cell)


def mutate(search: Search) -> None:
    """Draw ten cells at random, then change one of the ten best as the loop replaces repeats."""
    while not search.over:
        enough = len(search.known) >= MUTATED
        search.look_up(search.fresh(search.trace[0][0] if enough else search.any_cell()))


def evolution(
    search: Search, fresh: bool = False, population: int = POPULATION, sample: int = SAMPLE
) -> None:
    """Regularised evolution (Real et al. 2019): the oldest dies, the best of a sample is changed.

    With `fresh`, repeats are replaced as in the loop.
    """
    living: deque[tuple[float, Numbers]] = deque(maxlen=population)
    while not search.over:
        cell = search.any_cell()
        if len(living) == population:
            cell = search.changed(max(search.chance.sample(list(living), sample))[1])
        cell = search.fresh(cell) if fresh else cell
        living.append((search.look_up(cell), cell))


def local_search(search: Search) -> None:
    """Move to the first better neighbour, in random order; begin anew where there is none.

    Known cells are not looked up again.
    """

    def value(cell: Numbers) -> float:
        return search.known[cell] if cell in search.known else search.look_up(cell)

    while not search.over:
        here: Numbers | None = search.any_cell()
        while here is not None and not search.over:
            level = value(here)
            here = next((cell for cell in _shuffled(search, here) if value(cell) > level), None)


def _shuffled(search: Search, cell: Numbers) -> Iterator[Numbers]:
    around = neighbours(cell)
    search.chance.shuffle(around)
    for one in around:
        if search.over:
            return
        yield one


def tpe(search: Search, fresh: bool = False) -> None:
    """Optuna's multivariate TPE over six categories, ten random cells first.

    With `fresh`, repeats are replaced as in the loop, and TPE learns of the replacements instead.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(
        seed=search.chance.getrandbits(31), multivariate=True, constant_liar=False
    )
    choices = list(range(len(OPERATIONS)))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    while not search.over:
        trial = study.ask()
        asked = tuple(trial.suggest_categorical(f"op{n}", choices) for n in range(6))
        cell = search.fresh(asked) if fresh else asked
        observed = search.look_up(cell)
        if cell == asked:
            study.tell(trial, observed)
            continue
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        params = {f"op{n}": number for n, number in enumerate(cell)}
        taken = optuna.trial.create_trial(
            params=params, distributions=trial.distributions, value=observed
        )
        study.add_trial(taken)


ROUND, BEST, UNIFORM = 10, 0.25, 0.3
"""Of `counts`: look-ups of a round as in the loop, share of the best, and of uniform draws."""


def counts(search: Search, times: int = 1) -> None:
    """Draw operations as often as the best quarter has them, edge by edge; ten random cells first.

    With `times`, so many cells are drawn for each that is looked up, and chosen are those whose
    operations are more frequent in the best quarter than in the rest. This is what the loop does
    with `candidates.best_of`, with counts in place of the LLM.
    """
    while not search.over:
        if len(search.trace) < ROUND:
            search.look_up(search.any_cell())
            continue
        ranked = sorted(search.trace, key=lambda one: -one[1])
        size = max(3, math.ceil(BEST * len(ranked)))
        best, rest = (
            _shares([cell for cell, _ in part]) for part in (ranked[:size], ranked[size:])
        )
        drawn: list[Numbers] = []
        while len(drawn) < times * ROUND:
            cell = tuple(_operation(search, shares) for shares in best)
            while cell in search.known or cell in drawn:
                cell = search.changed(search.chance.choice(ranked[:MUTATED])[0])
            drawn.append(cell)
        drawn.sort(key=lambda cell: _ratio(cell, rest, best))
        for cell in drawn[: min(ROUND, search.budget - len(search.trace))]:
            search.look_up(cell)


def process(search: Search, times: int = 5, reads: bool = False) -> None:
    """Let a Gaussian process choose among random cells and changes; ten random cells first.

    In rounds of ten, from `times` random cells and as many changes of the ten best for each. It
    does what the loop does with `candidates.choose_by: embedding`, without an LLM that writes: a
    cell's vector says which operation is on which edge; with `reads`, it is what the embedded LLM
    makes of the cell's text.
    """
    vectors = _hidden_states if reads else _vectors
    while not search.over:
        if len(search.trace) < ROUND:
            search.look_up(search.any_cell())
            continue
        tries = [Try("", observed) for _, observed in search.trace]
        ranked = sorted(search.trace, key=lambda one: -one[1])
        pool = [search.any_cell() for _ in range(times * ROUND)]
        best = [cell for cell, _ in ranked[:MUTATED]]
        pool += [search.changed(search.chance.choice(best)) for _ in range(times * ROUND)]
        new = [cell for cell in dict.fromkeys(pool) if cell not in search.known]
        bounds = promise(vectors([cell for cell, _ in search.trace]), tries, vectors(new))
        for number in np.argsort(-bounds)[: min(ROUND, search.budget - len(search.trace))]:
            search.look_up(new[number])


def _vectors(cells: list[Numbers]) -> Matrix:
    """Return cells as one-hot vectors [n, 30]."""
    return np.eye(len(OPERATIONS))[np.array(cells)].reshape(len(cells), -1)


def _hidden_states(cells: list[Numbers]) -> Matrix:
    """Return cells as the embedded LLM sees them [n, d]."""
    return _reader().embed([Cell.of(cell).model_dump_json() for cell in cells])


@cache
def _reader() -> TransformersLLM:
    return transformers.create(config.load("nasbench201", []).llm)


def _shares(cells: list[Numbers]) -> list[list[float]]:
    """Return the share of each operation on each edge, one added to every count."""
    total = len(cells) + len(OPERATIONS)
    return [
        [
            (1 + sum(cell[edge] == number for cell in cells)) / total
            for number in range(len(OPERATIONS))
        ]
        for edge in range(6)
    ]


def _operation(search: Search, shares: list[float]) -> int:
    if search.chance.random() < UNIFORM:
        return search.chance.randrange(len(OPERATIONS))
    return search.chance.choices(range(len(OPERATIONS)), shares)[0]


def _ratio(cell: Numbers, one: list[list[float]], other: list[list[float]]) -> float:
    """Return the log-ratio of a cell's shares in `one` to those in `other`."""
    return sum(
        math.log(a[number] / b[number]) for number, a, b in zip(cell, one, other, strict=True)
    )


POLICIES: dict[str, Callable[[Search], None]] = {
    "random": random_search,
    "novel-random": partial(random_search, fresh=True),
    "mutate": mutate,
    "evolution": evolution,
    "evolution-10-3": partial(evolution, population=10, sample=3),
    "novel-evolution": partial(evolution, fresh=True),
    "local": local_search,
    "tpe": tpe,
    "counts": counts,
    "counts-10": partial(counts, times=10),
    "process": process,
    "reading": partial(process, reads=True),
    "novel-tpe": partial(tpe, fresh=True),
}
"""Name of a policy → the search."""
