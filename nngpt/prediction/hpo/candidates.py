"""Give the candidates of a run the hyperparameters that an HPO engine proposes for their code."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nngpt import plugins
from nngpt.errors import ConfigError
from nngpt.generation.contract.answers import given_hyperparameters
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

    Raises:
        PluginError: there is no such engine.
        UserError: the engine lacks something.
        ConfigError: it trains, or asks an LLM, to propose.
    """

    def __init__(self, engine: str, config: Config, task: Task, images: int) -> None:
        self._config, self._task, self._images = config, task, images
        self._engine: HPOEngine = plugins.create("HPO engine", engine, EngineContext(config))
        if not getattr(self._engine, "immediate", False):
            self._engine.close()
            what = f"the engine {engine!r} trains, or asks an LLM, to propose"
            raise ConfigError(what, where="evaluation.hpo", hint="Use the engine surrogate.")

    def tuned(self, candidate: Candidate, answer: str) -> Candidate:
        """Return the candidate with the hyperparameters that the engine proposes for its code.

        An answer that gives one of them itself keeps all its values, as they belong together, and
        those without a known range stay. Batch size and transform stay, because they decide how
        long a training takes.

        Args:
            answer: the whole answer in which the candidate was read, prefill included.

        Raises: UserError if the engine fails.
        """
        names, size = frozenset(candidate.hyperparameters), candidate.batch
        space = SearchSpace(names, size, min_batch=size, transform=candidate.transform)
        if given_hyperparameters(answer) & set(space.tunable):
            return candidate
        proposals = self._engine.propose(self._asked(candidate, space), 1)
        found = proposals[0].hyperparameters if proposals else {}
        proposed = {name: found[name] for name in space.tunable if name in found}
        return replace(candidate, hyperparameters={**candidate.hyperparameters, **proposed})

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
