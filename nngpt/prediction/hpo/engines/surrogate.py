"""HPO engine that searches a grid with boosted trees learned from LEMUR's trials."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nngpt.plugins import PluginOptions
from nngpt.prediction.hpo import surrogate
from nngpt.prediction.hpo.grid import best_of_grid
from nngpt.prediction.hpo.proposal import EngineContext, HPOTask, Proposal
from nngpt.prediction.hpo.surrogate import SurrogateFile, default_path

if TYPE_CHECKING:
    from nngpt.prediction.hpo.benchmark import RecordedTrials, Vector


class Options(PluginOptions):
    """Options of the engine.

    Attributes:
        surrogate: file that `nngpt hpo train` wrote; None for the one in the cache.
    """

    surrogate: Path | None = None


class SurrogateEngine:
    """Proposes the points of a grid that the surrogate scores best."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def propose(self, task: HPOTask, count: int) -> list[Proposal]:
        """Return the `count` best points of the grid that differ clearly from one another.

        Raises:
            UserError: the surrogate's file is missing or damaged.
            DataError: the code is not valid Python.
        """
        return best_of_grid(SurrogateFile(self._path), task, count)

    def scores(self, trials: RecordedTrials) -> Vector:
        """Score the trials of each requested fold by trees learned from the other folds [n]."""
        fold = np.array([trials.folds.of(pool.network) for pool in trials.pools])
        scores = np.zeros(len(trials.table.pools))

        def score_fold(number: int) -> None:
            rest = trials.table.of(fold != number)
            own = (fold == number)[trials.table.pools]
            if own.any():
                scores[own] = surrogate.score(surrogate.learn(rest), trials.table.inputs[own])

        with ThreadPoolExecutor(os.cpu_count()) as threads:
            list(threads.map(score_fold, sorted({int(fold[n]) for n in trials.requested})))
        return scores

    def close(self) -> None:
        """Do nothing."""


def create(context: EngineContext, *, options: Options) -> SurrogateEngine:
    """Return the engine; the file is read when a proposal is needed."""
    return SurrogateEngine(options.surrogate or default_path())
