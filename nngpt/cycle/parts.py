"""From a configuration to the parts of a run: data, prompt, model, executor, learner.

Everything a user can have got wrong is found here, before anything is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nngpt import plugins
from nngpt.config import Config
from nngpt.errors import ConfigError
from nngpt.generation import contract, modes
from nngpt.generation.models import constrained
from nngpt.generation.mutation import CorpusSampler
from nngpt.generation.pairs import corpus_pairs
from nngpt.generation.prompts import known
from nngpt.generation.prompts import template as prompts
from nngpt.generation.prompts.cycle_prompts import RunPrompts
from nngpt.generation.prompts.sources import make_prompts, read_pool
from nngpt.novelty.shingles import text_similarity
from nngpt.protocols import LLM, DatasetSource, Executor, Learner, Log, NoveltyMeasure
from nngpt.records import (
    Adapter,
    Arm,
    Candidate,
    Prompt,
    Refusal,
    Task,
    TrainingPair,
)

if TYPE_CHECKING:
    from nngpt.data.splits import Splits


@dataclass
class Reader:
    """Reads completions: the prompt, what it asks for, and the values a network may leave out."""

    task: Task
    template: prompts.Template
    prompt: Prompt
    defaults: contract.Defaults

    def read(self, text: str) -> Candidate | Refusal:
        """The candidate in a completion's text, or why there is none; nothing of it is run."""
        return self.read_answer(text, self.prompt)

    def read_answer(self, text: str, prompt: Prompt) -> Candidate | Refusal:
        """The same for an answer to another prompt of the same mode."""
        return contract.read(text, prompt, self.task, self.template, self.defaults)

    def read_whole(self, answer: str) -> Candidate | Refusal:
        """The network in an answer of `full` mode, such as `Prompt.parent`."""
        return self.read_answer(answer, whole_network(self.prompt))

    def shown(self) -> dict[str, Candidate | Refusal]:
        """The networks shown in the prompt, by a name for reasons."""
        found = {}
        for number, example in enumerate(self.template.examples, 1):
            name, asked = f"example {number} of the prompt", self.prompt
            if example.parent:
                asked = replace(asked, parent=example.parent.strip())
                found[f"{name}, before its change"] = self.read_whole(asked.parent)
            written = example.assistant.strip().removeprefix(asked.prefill)
            found[name] = self.read_answer(written, asked)
        if self.prompt.parent:
            found["the prompt's own network"] = self.read_whole(self.prompt.parent)
        return found

    def examples(self) -> dict[str, Candidate]:
        """The shown networks as candidates; copies of them are not novel."""
        return {name: c for name, c in self.shown().items() if isinstance(c, Candidate)}


def whole_network(prompt: Prompt) -> Prompt:
    """A prompt with no beginning of an answer, for reading whole network files."""
    return replace(prompt, mode="full", prefill="", stop=(), parent="")


@dataclass
class Parts:
    """What a run works with.

    Attributes:
        reader: makes candidates of completions.
        llm: who writes.
        adapter: LoRA adapter the first cycle starts with, None for the bare base.
        executor: who trains.
        learner: who tunes, None if learning is switched off.
        new_measure: makes an empty novelty index.
        corpus: training pairs that were there before the run (`learning.corpus`), with their
            networks.
        seen: networks that the adapter learned elsewhere, as far as it brings them, by a name.
        sampler: writes the control arm `corpus`, None if there is none.
        overlap: the LLM writes while candidates train.
        prompts: makes the prompts of each cycle.
    """

    reader: Reader
    llm: LLM
    adapter: Adapter | None
    executor: Executor
    learner: Learner | None
    new_measure: Callable[[], NoveltyMeasure]
    corpus: list[tuple[TrainingPair, Candidate]]
    overlap: bool
    prompts: RunPrompts
    seen: dict[str, Candidate]
    sampler: CorpusSampler | None = None

    @property
    def task(self) -> Task:
        """Data set, shapes, threshold and budget."""
        return self.reader.task


@contextmanager
def assemble(config: Config, log: Log) -> Iterator[Parts]:
    """All parts of a run; what they hold is freed at the end. Raises: UserError."""
    for kind, (section, key) in plugins.SECTIONS.items():  # refuse a wrong name first
        plugins.load(kind, getattr(getattr(config, section), key))
    with ExitStack() as stack:
        source = data_source(config)
        reader = make_reader(config, source)
        corpus = read_corpus(config, reader, log)
        pool = read_pool(config, reader, log)
        adapter = starting_adapter(config)
        seen = seen_by(adapter, reader)
        before = [*(candidate for _, candidate in corpus), *known.candidates(pool).values()]
        sampler = corpus_sampler(config, reader, [*before, *seen.values()])
        if config.learning.on_collapse == "replay" and not (corpus or seen):
            raise ConfigError(
                "there is no corpus to be replayed",
                where="learning.on_collapse",
                hint="Set learning.corpus, or an llm.adapter that brings its own; or use tell.",
            )
        splits = load_splits(config, source, log)
        log(f"Writing: {config.llm.backend}, {reader.prompt.mode} mode …")
        llm: LLM = plugins.create(
            "LLM backend", config.llm.backend, config.llm, options=config.llm.options
        )
        stack.enter_context(closing(llm))
        log(f"  {llm.facts}")
        if config.sampling.constrain:
            constrained.check(llm, reader.prompt.mode)
        llm.use_adapter(adapter)
        learning, novelty = config.learning, config.novelty
        tuner: Learner | None = (
            plugins.create("learner", learning.learner, config, llm, options=learning.options)
            if learning.enabled
            else None
        )
        log(f"Learning: {tuner.facts if tuner else 'switched off'}")
        runner = stack.enter_context(training(config, splits, reader.task, log))
        level = runner.level.partition(":")[0]
        log(f"Training: {splits.train.count:,} images of {splits.name}, sandbox level {level}")
        yield Parts(
            reader,
            llm,
            adapter,
            runner,
            tuner,
            lambda: plugins.create(
                "novelty measure", novelty.measure, novelty, options=novelty.options
            ),
            corpus,
            config.candidates.overlap,
            make_prompts(config, reader, pool, llm, text_similarity(config.novelty.shingle)),
            seen,
            sampler,
        )


def corpus_sampler(
    config: Config, reader: Reader, networks: Sequence[Candidate]
) -> CorpusSampler | None:
    """Who writes the control arm `corpus`, None if the run has none.

    Raises:
        ConfigError: there is no network to draw from, or an answer of this mode is a change.
    """
    if Arm.CORPUS not in config.arms:
        return None
    if modes.load(reader.prompt.mode).changes_parent:
        why, hint = "answers of delta mode are changes themselves", "Leave this arm out."
        raise ConfigError(why, where="controls.corpus", hint=hint)
    if not networks:
        raise ConfigError(
            "there is no corpus to draw from",
            where="controls.corpus",
            hint="Set learning.corpus or prompt.corpus, or an llm.adapter that brings its own.",
        )
    return CorpusSampler(networks, reader.prompt, reader.defaults, config.controls.changes)


@contextmanager
def evaluator(config: Config, log: Log) -> Iterator[tuple[Reader, Executor]]:
    """What reads and trains networks that are there already. Raises: UserError."""
    plugins.load("executor", config.evaluation.executor)  # a wrong name is told before the rest
    source = data_source(config)
    reader = make_reader(config, source)
    splits = load_splits(config, source, log)
    with training(config, splits, reader.task, log) as runner:
        yield reader, runner


@contextmanager
def training(config: Config, splits: Splits, task: Task, log: Log) -> Iterator[Executor]:
    """Open the configured executor, with the pruner of `evaluation.early_stop`.

    Raises:
        ConfigError: the executor cannot stop trainings early.
        UserError: the executor cannot run here, or the predictor is missing.
    """
    evaluation = config.evaluation
    pruner = None
    if config.evaluation.early_stop:
        from nngpt.prediction.early_stopping import load_pruner

        pruner = load_pruner(config, task, log)
    arguments = (splits, evaluation, task, pruner)
    made = plugins.create(
        "executor", evaluation.executor, *arguments, options=evaluation.options
    )
    with closing(made) as runner:
        if runner.pruner is not pruner:
            raise ConfigError(
                f"the executor {config.evaluation.executor!r} trains to the end",
                where="evaluation.early_stop",
                hint="Use the executor local, bubblewrap or container",
            )
        yield runner


def data_source(config: Config) -> DatasetSource:
    """The data set of the configuration. Raises: PluginError, DataError."""
    source: DatasetSource = plugins.create(
        "data set", config.task.dataset, config.task.root, options=config.task.options
    )
    return source


def load_splits(config: Config, source: DatasetSource, log: Log) -> Splits:
    """The task's images, fetched first if they are not in the cache. Raises: DataError."""
    if not source.available():
        log(f"Fetching {source.name} …")
        source.prepare()
    task = config.task
    return source.splits(config.seed, task.train_limit, task.validation_limit)


def make_reader(config: Config, source: DatasetSource) -> Reader:
    """Task, prompt and defaults. Raises: ConfigError."""
    task = Task(
        dataset=source.name,
        in_shape=(1, *source.shape),
        out_shape=(source.classes,),
        threshold=config.task.threshold,
        max_parameters=config.task.max_parameters,
        max_latency_ms=config.task.max_latency_ms,
    )
    template = prompts.load(config.prompt.template)
    prompt = template.render(
        task, config.evaluation.hyperparameters, template.examples[: config.prompt.shots]
    )
    reader = Reader(task, template, prompt, contract.Defaults.of(config.evaluation))
    _check_defaults(reader)
    return reader


def _check_defaults(reader: Reader) -> None:
    """The prompt's own examples must pass with the configuration's values. Raises: ConfigError."""
    fault = contract.check_transform(reader.defaults.transform)
    if fault is not None:
        raise ConfigError(fault.reason, where="evaluation.transform", hint=fault.detail)
    for outcome in reader.shown().values():
        if isinstance(outcome, Refusal):
            raise ConfigError(
                f"with it an example of prompt {reader.template.name!r} is refused: "
                f"{outcome.reason}",
                where="evaluation",
                hint="Compare evaluation.hyperparameters with what the prompt's networks need.",
            )


def read_corpus(config: Config, reader: Reader, log: Log) -> list[tuple[TrainingPair, Candidate]]:
    """`learning.corpus`, each pair with its network; what does not fit the contract is left out.

    Raises:
        ConfigError: the file cannot be read, or nothing in it fits.
    """
    path = config.learning.corpus
    if path is None:
        return []
    pairs = corpus_pairs(path, reader.prompt, config.learning.corpus_limit)
    read = [(pair, reader.read_answer(pair.completion, pair.prompt)) for pair in pairs]
    good = [(pair, found) for pair, found in read if isinstance(found, Candidate)]
    refused = [found for _, found in read if isinstance(found, Refusal)]
    why = f"{refused[0].stage}: {refused[0].reason}" if refused else "it is empty"
    if not good:
        raise ConfigError(f"no pair fits the contract ({why})", where=f"learning.corpus: {path}")
    more = f" ({len(refused):,} left out, the first for {why})" if refused else ""
    log(f"Corpus: {len(good):,} pairs of {path}{more}")
    return good


def seen_by(adapter: Adapter | None, reader: Reader) -> dict[str, Candidate]:
    """The networks on which an adapter was trained, if they lie beside it: copies are not novel.

    Raises:
        ConfigError: the file is damaged.
    """
    if adapter is None:
        return {}
    file = Path(adapter.path) / f"{reader.prompt.mode}.jsonl.gz"
    if not file.is_file():
        return {}
    pairs = corpus_pairs(file, reader.prompt)
    read = (reader.read_answer(pair.completion, pair.prompt) for pair in pairs)
    return {
        f"network {number} that adapter {adapter.name} learned": found
        for number, found in enumerate(read, 1)
        if isinstance(found, Candidate)
    }


def starting_adapter(config: Config) -> Adapter | None:
    """The adapter in `llm.adapter`. Raises: ModelError if there is none."""
    if config.llm.adapter is None:
        return None
    from nngpt.generation.models.adapters import find_adapter

    return find_adapter(config.llm.adapter)
