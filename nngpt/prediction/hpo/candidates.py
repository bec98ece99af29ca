"""Give the candidates of a run the hyperparameters that an HPO engine proposes for their code."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nngpt import plugins
from nngpt.generation.contract.candidate import USUAL
from nngpt.prediction.hpo.proposal import EngineContext, HPOTask, SearchSpace
from nngpt.prediction.places import facts_of, place_of
from nngpt.records import Candidate, Task, derive_seed

if TYPE_CHECKING:
    from nngpt.config import Config
    from nngpt.protocols import HPOEngine


class CandidateTuner:
    """Asks one HPO engine for the hyperparameters of each candidate (`evaluation.hpo`).

    Args:
        engine: name of the engine.
        images: number of training images.

    Raises: UserError if the engine lacks something, PluginError if there is none of that name.
    """

    def __init__(self, engine: str, config: Config, task: Task, images: int) -> None:
        self._config, self._task, self._images = config, task, images
        context = EngineContext(config)
        self._engine: HPOEngine = plugins.create("HPO engine", engine, context)

    def tuned(self, candidate: Candidate) -> Candidate:
        """Return the candidate with the hyperparameters that the engine proposes for its code.

        Those whose value differs from the configuration's stay, since its answer gave them, and so
        do those without a known range. Batch size and transform stay: they decide how long a
        training takes.

        Raises: UserError if the engine fails.
        """
        names, size = frozenset(candidate.hyperparameters), candidate.batch
        space = SearchSpace(names, max_batch=size, max_side=0, min_batch=size)
        usual = {**USUAL, **self._config.evaluation.hyperparameters}
        values = candidate.hyperparameters
        missing = [name for name in space.tunable if values[name] == usual[name]]
        if not missing:
            return candidate
        (found, *_) = self._engine.propose(self._asked(candidate, space), 1)
        proposed = {name: found.hyperparameters[name] for name in missing}
        return replace(candidate, hyperparameters={**values, **proposed})

    def close(self) -> None:
        """Free the engine's memory."""
        self._engine.close()

    def _asked(self, candidate: Candidate, space: SearchSpace) -> HPOTask:
        return HPOTask(
            candidate.code,
            space,
            place_of(self._task),
            self._config.evaluation.epochs,
            seed=derive_seed(self._config.seed, "hyperparameters", candidate.content_hash),
            facts=facts_of(self._task, self._images),
            images=self._images,
        )
