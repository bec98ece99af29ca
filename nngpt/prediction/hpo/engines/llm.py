"""HPO engine that asks a code LLM for settings as JSON of the search space's schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nngpt import plugins
from nngpt.errors import ConfigError
from nngpt.generation.models.adapters import find_adapter
from nngpt.plugins import PluginOptions
from nngpt.prediction.hpo.prompt import question, read_answer
from nngpt.prediction.hpo.proposal import EngineContext, HPOTask, Proposal
from nngpt.protocols import LLM, WritesJson
from nngpt.records import Completion, Sampling

_GREEDY = Sampling(temperature=0.0, top_k=0, top_p=1.0, max_new_tokens=120)
_RANDOM = Sampling(temperature=0.7, top_k=0, top_p=0.95, max_new_tokens=120)
_UNTUNED = "this LLM was not tuned for the question: nngpt hpo tune"


class Options(PluginOptions):
    """`adapter`: adapter that `nngpt hpo tune` wrote; None for the LLM of the configuration."""

    adapter: Path | None = None


class LLMEngine:
    """Proposes settings that an LLM writes; the first proposal is its most likely answer.

    Args:
        grammar: False to let the LLM write freely, so that its answers may not follow the schema.
    """

    def __init__(self, llm: Any, notes: tuple[str, ...], grammar: bool = True) -> None:
        self._llm, self._notes, self._grammar = llm, notes, grammar

    def without_grammar(self) -> LLMEngine:
        """Return an engine that asks the same LLM the same questions without a grammar."""
        return LLMEngine(self._llm, self._notes, grammar=False)

    def propose(self, task: HPOTask, count: int) -> list[Proposal]:
        """Return the settings in `count` answers of the LLM.

        Raises: ModelError if an answer does not follow the schema: without a grammar, or cut off.
        """
        answers = self._ask(task, 1, _GREEDY)
        if count > 1:
            answers += self._ask(task, count - 1, _RANDOM)
        return [self._proposal(read_answer(answer.text, task.space), task) for answer in answers]

    def _ask(self, task: HPOTask, count: int, sampling: Sampling) -> list[Completion]:
        prompt = question(task)
        found: list[Completion]
        if self._grammar:
            schema = task.space.schema()
            found = self._llm.generate_json(prompt, schema, count, task.seed, sampling)
        else:
            found = self._llm.generate(prompt, count, task.seed, sampling)
        return found

    def _proposal(self, answer: dict[str, Any], task: HPOTask) -> Proposal:
        values, notes = task.space.fixed()
        values |= {name: float(answer[name]) for name in values if name in answer}
        chosen = (values, answer["batch"], answer["transform"])
        return Proposal("llm", *chosen, task.epochs, notes=(*notes, *self._notes))

    def close(self) -> None:
        """Close the LLM."""
        self._llm.close()


def create(context: EngineContext, *, options: Options) -> LLMEngine:
    """Load the configured LLM as an HPO engine; an adapter brings its own base model.

    Raises:
        ConfigError: the backend cannot write JSON of a schema.
        ModelError: the model, the adapter or a package is missing.
    """
    adapter = None if options.adapter is None else find_adapter(options.adapter)
    config = context.config.llm
    if adapter is not None:
        config = config.model_copy(update={"model": adapter.base})
    llm: LLM = plugins.create("LLM backend", config.backend, config, options=config.options)
    engine = LLMEngine(llm, () if adapter else (_UNTUNED,))
    try:
        if not isinstance(llm, WritesJson):
            what = f"the backend of {llm.model!r} cannot write under a constraint"
            raise ConfigError(what, where="llm.backend", hint="Use transformers or openai")
        llm.check_json()
        llm.use_adapter(adapter)
    except BaseException:
        engine.close()
        raise
    return engine
