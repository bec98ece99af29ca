"""Open the parts of a run or of an evaluation: data, prompts, LLM, executor, learner.

Every mistake of the user in the configuration is found here, before anything is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from nngpt import plugins
from nngpt.config import Config
from nngpt.data.loading import data_source, load_splits
from nngpt.errors import ConfigError, UserError
from nngpt.finetuning.corpus import lemur_corpus
from nngpt.finetuning.corpus.networks import learned_networks, named_networks, read_corpus
from nngpt.finetuning.lora import overridden
from nngpt.generation import best_of, modes
from nngpt.generation.contract import Reader, make_reader, novelty_text
from nngpt.generation.models import constrained
from nngpt.generation.models.adapters import starting_adapter
from nngpt.generation.prompts import known
from nngpt.generation.prompts.cycle_prompts import RunPrompts, make_prompts
from nngpt.generation.prompts.known import KnownNetwork, read_pool
from nngpt.novelty.shingles import text_similarity
from nngpt.protocols import LLM, Executor, Learner, Log, NoveltyMeasure
from nngpt.records import Adapter, Arm, Candidate, Prompt, Refusal, Task, TrainingPair

if TYPE_CHECKING:
    from nngpt.data.splits import Splits
    from nngpt.store import RunRecord


@dataclass(frozen=True)
class StartingPoint:
    """What a run has before its first cycle.

    Attributes:
        adapter: the LoRA adapter of the first cycle, None for the bare base.
        corpus: training pairs of `learning.corpus`, with their networks.
        learned: networks that `adapter` was trained on, by name.
        networks: every network that the run knows, by name: the prompt's examples, `corpus`, the
            networks that prompts may show, and `learned`. Copies of them are not novel.
    """

    adapter: Adapter | None
    corpus: list[tuple[TrainingPair, Candidate]]
    learned: dict[str, Candidate]
    networks: dict[str, Candidate]

    @cached_property
    def novelty_texts(self) -> dict[str, str]:
        """The text of each known network on which novelty is measured, by name."""
        return {name: novelty_text(network) for name, network in self.networks.items()}


@dataclass(frozen=True)
class Parts:
    """The opened parts of a run.

    Attributes:
        reader: turns completions into candidates.
        writers: the LLM that writes for each arm.
        tuned: gives a candidate, read in an answer, its hyperparameters (`evaluation.hpo`), or
            returns it unchanged.
        executor: trains candidates.
        learner: fine-tunes the LLM, None if learning is switched off.
        novelty: returns an empty novelty index.
        prompts: makes the prompts of each cycle.
        start: adapter, corpus and networks known before the run.
        images: the run's training, validation and test images.
    """

    reader: Reader
    writers: Mapping[Arm, LLM]
    tuned: Callable[[Candidate, str], Candidate]
    executor: Executor
    learner: Learner | None
    novelty: Callable[[], NoveltyMeasure]
    prompts: RunPrompts
    start: StartingPoint
    images: Splits

    def read(self, text: str, prompt: Prompt | None = None) -> Candidate | Refusal:
        """Return the candidate in a completion, ready to be trained, or a refusal.

        Args:
            prompt: the prompt that it completes; None for the reader's own.
        """
        asked = prompt or self.reader.prompt
        found = self.reader.read_answer(text, asked)
        return self.tuned(found, asked.prefill + text) if isinstance(found, Candidate) else found

    def known_before(self) -> NoveltyMeasure:
        """Return a novelty index of the networks known before the run."""
        index = self.novelty()
        for name, text in self.start.novelty_texts.items():
            index.add(name, text)
        return index

    @property
    def task(self) -> Task:
        """The run's task: data set, shapes, threshold and budgets."""
        return self.reader.task

    @property
    def llm(self) -> LLM:
        """The LLM that writes for the loop, and that the learner fine-tunes."""
        return self.writers[Arm.LOOP]

    @property
    def stoppable(self) -> list[LLM | Executor]:
        """The parts of the run with calls that take long."""
        return [*self.writers.values(), self.executor]


@contextmanager
def assemble(config: Config, log: Log, executor: Executor | None = None) -> Iterator[Parts]:
    """Open all parts of a run; close them at the end of the block, but not a given executor.

    Raises: UserError.
    """
    for kind, (section, key) in plugins.SECTIONS.items():  # a wrong name fails before slow steps
        plugins.load(kind, getattr(getattr(config, section), key))
    new_measure(config)  # as do options of which no measure can be made
    with ExitStack() as stack:
        source = data_source(config)
        reader = make_reader(config, source)
        for path in (config.learning.corpus, config.prompt.corpus):
            lemur_corpus.ensure(path, log)
        corpus, pool = read_corpus(config, reader, log), read_pool(config, reader, log)
        start = starting_point(config, reader, corpus, pool)
        control = _corpus_arm(config, reader, start, pool)
        _check_changes(config, reader)
        splits = load_splits(config, source, log)
        tuned = stack.enter_context(_open_tuner(config, reader.task, splits, log))
        llm = stack.enter_context(closing(_open_llm(config, reader, log)))
        if config.sampling.constrain:
            constrained.check(llm, reader.prompt.mode)
        best_of.check(config.candidates, llm)
        llm.use_adapter(start.adapter)
        learner = _make_learner(config, llm, start.adapter, log)
        executor = executor or stack.enter_context(open_executor(config, splits, reader.task, log))
        level = executor.level.partition(":")[0]
        log(f"Training: {splits.train.count:,} images of {splits.name}, sandbox level {level}")
        yield Parts(
            reader=reader,
            writers={Arm.LOOP: llm, Arm.BASE: llm, **control},
            tuned=tuned,
            executor=executor,
            learner=learner,
            novelty=lambda: new_measure(config),
            prompts=make_prompts(
                config, reader, pool, llm, text_similarity(config.novelty.shingle)
            ),
            start=start,
            images=splits,
        )


def new_measure(config: Config) -> NoveltyMeasure:
    """Return an empty novelty index, a part of a run. Raises: PluginError, ConfigError."""
    settings = config.novelty
    measure: NoveltyMeasure = plugins.create(
        "novelty measure", settings.measure, settings, options=settings.options
    )
    return measure


def starting_point(
    config: Config,
    reader: Reader,
    corpus: list[tuple[TrainingPair, Candidate]],
    pool: Sequence[KnownNetwork],
) -> StartingPoint:
    """Collect what the run has before its first cycle. Raises: ModelError, ConfigError."""
    adapter = starting_adapter(config)
    learned = learned_networks(adapter, reader)
    networks = {**reader.examples(), **named_networks(corpus), **known.candidates(pool), **learned}
    if config.learning.on_collapse == "replay" and not (corpus or learned):
        raise ConfigError(
            "there is no corpus to be replayed",
            where="learning.on_collapse",
            hint="Set learning.corpus, or an llm.adapter that brings its own; or use tell.",
        )
    return StartingPoint(adapter, corpus, learned, networks)


def _corpus_arm(
    config: Config, reader: Reader, start: StartingPoint, pool: Sequence[KnownNetwork]
) -> dict[Arm, LLM]:
    """Return the control arm `corpus` with the LLM that writes for it, {} if the run has none.

    Raises:
        ConfigError: there is no network to change, or an answer of this mode is a change already.
    """
    if Arm.CORPUS not in config.arms:
        return {}
    mode, where = modes.load(reader.prompt.mode), "controls.corpus"
    if mode.changes_parent:
        why = f"answers of {reader.prompt.mode} mode are changes themselves"
        raise ConfigError(why, where=where, hint="Leave this arm out.")
    networks = [
        *(candidate for _, candidate in start.corpus),
        *known.candidates(pool).values(),
        *start.learned.values(),
    ]
    if not networks:
        hint = "Set learning.corpus or prompt.corpus, or an llm.adapter that brings its own."
        raise ConfigError("there is no corpus to draw from", where=where, hint=hint)
    answers = [mode.known_answer(network, reader.prompt, reader.defaults) for network in networks]
    options = {"answers": answers, "changes": config.controls.changes}
    return {Arm.CORPUS: plugins.create("LLM backend", "mutation", config.llm, options=options)}


def _check_changes(config: Config, reader: Reader) -> None:
    """Check that answers can be changed at random, if wanted. Raises: ConfigError."""
    mode, wanted = reader.prompt.mode, config.candidates
    if not modes.load(mode).changes_parent:
        return
    why = f"answers of {mode} mode are changes themselves"
    if wanted.repeats != "refuse":
        raise ConfigError(why, where="candidates.repeats", hint="Set it to refuse.")
    if wanted.mutations:
        raise ConfigError(why, where="candidates.mutations", hint="Set it to 0.")


def _open_llm(config: Config, reader: Reader, log: Log) -> LLM:
    """Load the LLM of the configuration. Raises: UserError."""
    settings = config.llm
    log(f"Writing: {settings.backend}, {reader.prompt.mode} mode …")
    llm: LLM = plugins.create("LLM backend", settings.backend, settings, options=settings.options)
    log(f"  {llm.facts}")
    return llm


@contextmanager
def _open_tuner(
    config: Config, task: Task, splits: Splits, log: Log
) -> Iterator[Callable[[Candidate, str], Candidate]]:
    """Open what gives candidates their hyperparameters. Raises: UserError."""
    engine = config.evaluation.hpo
    if engine is None:
        yield lambda candidate, _: candidate
        return
    from nngpt.prediction.hpo.candidates import CandidateTuner

    log(f"Hyperparameters: proposed for each candidate by {engine}")
    with closing(CandidateTuner(engine, config, task, splits.train.count)) as tuner:
        yield tuner.tuned


def _make_learner(config: Config, llm: LLM, parent: Adapter | None, log: Log) -> Learner | None:
    """Return the configured learner, None if learning is switched off. Raises: UserError."""
    settings = config.learning
    learner: Learner | None = None
    if settings.enabled:
        learner = plugins.create("learner", settings.learner, config, llm, options=settings.options)
    log(f"Learning: {learner.facts if learner else 'switched off'}")
    if settings.start == "last" and (ignored := overridden(settings, parent)):
        log(f"  {ignored}")
    return learner


@contextmanager
def open_evaluator(config: Config, log: Log) -> Iterator[tuple[Reader, Executor]]:
    """Open the parts that judge networks without a run: reader and executor. Raises: UserError."""
    plugins.load("executor", config.evaluation.executor)  # a wrong name fails before the rest
    source = data_source(config)
    reader = make_reader(config, source)
    splits = load_splits(config, source, log)
    with open_executor(config, splits, reader.task, log) as executor:
        yield reader, executor


def check_same_images(run: RunRecord, config: Config, images: Splits) -> None:
    """Check that a run that goes on, or is used, has the images with which it began.

    Raises: UserError if it began with others.
    """
    from nngpt.data.cache import old_digests

    before = {run.images_digest} if run.images_digest else old_digests(config.task.root)
    if before and images.digest not in before:
        raise UserError(
            f"run {run.id} {run.name!r} began with other images: the files have changed, or this "
            "version of nngpt reads them in another way",
            where=str(config.task.root or images.name),
            hint="Bring the files back, or begin anew with --fresh (the old run is kept).",
        )


@contextmanager
def open_executor(config: Config, splits: Splits, task: Task, log: Log) -> Iterator[Executor]:
    """Open the executor, a part of a run or evaluation, with the pruner of `evaluation.early_stop`.

    Raises:
        ConfigError: the executor cannot stop trainings early.
        UserError: the executor cannot run here, or the predictor is missing.
    """
    settings, pruner = config.evaluation, None
    if settings.early_stop:
        from nngpt.prediction.early_stopping import load_pruner

        pruner = load_pruner(config, task, log)
    executor: Executor = plugins.create(
        "executor", settings.executor, splits, settings, task, pruner, options=settings.options
    )
    with closing(executor):
        if executor.pruner is not pruner:
            raise ConfigError(
                f"the executor {settings.executor!r} trains to the end",
                where="evaluation.early_stop",
                hint="Use the executor local, bubblewrap or container",
            )
        yield executor
