"""The interfaces of the plug-ins: one small Protocol per kind, and those a plug-in may add.

The docstring of each kind's Protocol gives the signature of the plug-in's `create`; a plug-in with
options also takes the keyword argument `options` (see `nngpt.plugins` and docs/extending.md).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from nngpt.records import (
    Adapter,
    Candidate,
    Completion,
    Evaluation,
    Exported,
    MeasuredAnswer,
    Novelty,
    Package,
    Prompt,
    Refusal,
    Retraining,
    Rollout,
    Sampling,
    StagedTraining,
    TrackedEvent,
    TrainingPair,
    TrainingStage,
)

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from nngpt.data.image_survey import ImageSettings
    from nngpt.data.splits import Splits
    from nngpt.generation.contract.candidate import Defaults
    from nngpt.generation.contract.reader import Reader
    from nngpt.prediction.hpo.proposal import HPOTask, Proposal


Log = Callable[[str], None]
"""Reports one line to the user."""

OnStep = Callable[[int, int, float], None]
"""Reports an optimiser step: its number, the number of steps, and the loss."""


@runtime_checkable
class LLM(Protocol):
    """A language model that continues prompts. `create(config: LLMConfig) -> LLM`.

    Attributes:
        model: name of the base model.
        batch_size: best number of completions for one call of `generate`.
        facts: the choices made (device, dtype, quantisation …), for the user.
    """

    model: str
    batch_size: int
    facts: str

    def generate(
        self, prompt: Prompt, count: int, seed: int, sampling: Sampling
    ) -> list[Completion]:
        """Return `count` completions; the same seed gives the same texts on one device kind."""

    def use_adapter(self, adapter: Adapter | None) -> None:
        """Switch to an adapter, or to the bare base model; called before each batch.

        Raises: ModelError.
        """

    def stop(self) -> None:
        """Make a running `generate` return soon, with any result; called from another thread."""

    def close(self) -> None:
        """Free the model's memory or close the connection."""


@runtime_checkable
class TellsCompletions(Protocol):
    """An LLM that tells each completion of a batch before the whole batch is written.

    Attributes:
        on_completion: called with each completion as soon as it ends; its seconds are those until
            then.
    """

    on_completion: Callable[[Completion], None] | None


@runtime_checkable
class MeasuresPrompts(Protocol):
    """An LLM that can measure a prompt against its context length."""

    def room(self, prompt: Prompt, sampling: Sampling) -> int | None:
        """Return the tokens that prompt and longest answer leave free in the context.

        Returns:
            A negative number if they do not fit, None if the context length is unknown.
        """


@runtime_checkable
class ScoresAnswers(Protocol):
    """An LLM that can tell how likely an answer is, with the adapter in use."""

    def log_likelihoods(self, prompt: Prompt, written: Sequence[Completion]) -> list[float]:
        """Return the natural logarithm of each text's probability after a prompt.

        The end of the turn counts for those that are finished.
        """


@runtime_checkable
class EmbedsAnswers(Protocol):
    """An LLM that can turn texts into vectors, whatever adapter is in use."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the vector of each text [n, d]; texts alike have vectors near each other."""


@runtime_checkable
class WritesJson(Protocol):
    """An LLM that can be constrained to JSON that follows a schema."""

    def generate_json(
        self, prompt: Prompt, schema: Mapping[str, Any], count: int, seed: int, sampling: Sampling
    ) -> list[Completion]:
        """Return completions as `LLM.generate` does; each finished text is JSON of the schema."""

    def check_json(self) -> None:
        """Check that `generate_json` can run. Raises: ModelError if a package is missing."""


@runtime_checkable
class SharesBase(Protocol):
    """An LLM in this process whose base model the learner tunes in place.

    A learner loads its own copy of the base model for an LLM without this attribute.

    Attributes:
        base: a `nngpt.generation.models.loading.LoadedBase` without an adapter.
    """

    base: Any


@runtime_checkable
class PromptMode(Protocol):
    """How an answer of the LLM holds a network. `create() -> PromptMode`.

    A mode subclasses this Protocol, which gives the attributes their usual values.

    Attributes:
        network_file: True if templates of this mode name a Jinja2 file that completes the answer.
        writes_learn: True if an answer may hold the network's training loop, `learn`.
        changes_parent: True if an answer changes the network in `Prompt.parent`.
        defines_blocks: True if an answer may use the prompt's blocks by name; else it copies them.
    """

    network_file: bool = True
    writes_learn: bool = False
    changes_parent: bool = False
    defines_blocks: bool = False

    def read(self, answer: str, reader: Reader) -> Candidate | Refusal:
        """Return the network in a whole answer (prefill and completion), or why there is none.

        `RecursionError` and `MemoryError` may pass: the reader refuses such answers.
        """

    def novelty_text(self, candidate: Candidate) -> str:
        """Return the code on which novelty is measured: the part that the LLM wrote."""
        return candidate.code

    def known_answer(self, candidate: Candidate, prompt: Prompt, defaults: Defaults) -> str:
        """Return a known network as a whole answer to `prompt`."""


@runtime_checkable
class TakesSettings(Protocol):
    """A mode whose answers may end with settings that fit their code (`sampling.constrain`)."""

    def settings_after(self, answer: str) -> tuple[str, dict[str, Any]] | None:
        """Return the answer up to the end of its code, and the JSON schema of its settings.

        Returns:
            None if the code does not end or cannot be read.
        """


@runtime_checkable
class AnswersJson(Protocol):
    """A mode whose whole answers are JSON, to which `sampling.constrain` can hold the LLM.

    Attributes:
        schema: JSON schema of an answer.
    """

    schema: Mapping[str, Any]


@runtime_checkable
class ChangesAnswers(Protocol):
    """A mode that changes its answers at random itself; those of the others hold layers."""

    def changed(self, answer: str, changes: int, chance: random.Random) -> str:
        """Return a known answer with so many random changes, "" if that is impossible."""


@runtime_checkable
class CrossesAnswers(Protocol):
    """A mode that crosses its answers at random itself; those of the others hold layers."""

    def crossed(self, answer: str, other: str, chance: random.Random) -> str:
        """Return a random crossover of two known answers, "" if that is impossible."""


@runtime_checkable
class DatasetSource(Protocol):
    """A data set. `create(root: Path | None) -> DatasetSource`.

    Attributes:
        name: registered name, such as "mnist".
        classes: number of classes.
        class_names: name of each class; a data set without this attribute has numbers for names
            (`nngpt.data.loading.class_names`).
        shape: (c, h, w) of an image.
    """

    name: str
    classes: int
    class_names: tuple[str, ...]
    shape: tuple[int, int, int]

    def available(self) -> bool:
        """Return True if the prepared arrays are in the cache."""

    def prepare(self) -> None:
        """Fetch, verify and convert the data to uint8 arrays in the cache. Raises: DataError."""

    def splits(self, seed: int, train_limit: int | None, validation_limit: int | None) -> Splits:
        """Return memory-mapped training, validation and test parts. Raises: DataError."""


@runtime_checkable
class ReadsImageFiles(Protocol):
    """A data set made of image files, which may have any size.

    Attributes:
        usual_size: (height, width) of most files.
        images: number of files.
    """

    @property
    def usual_size(self) -> tuple[int, int]: ...

    images: int

    def with_settings(self, settings: ImageSettings) -> DatasetSource:
        """Return this data set with other settings for reading the files. Raises: DataError."""


@dataclass(frozen=True)
class Verdict:
    """Result of one early-stopping check.

    Attributes:
        refusal: ends the training; None lets it continue.
        would_stop: why a training that is exempt from stopping would have been stopped, else None.
        ceiling: accuracy that the training is not expected to exceed, 0…1; None if not predicted.
    """

    refusal: Refusal | None = None
    would_stop: str | None = None
    ceiling: float | None = None


@runtime_checkable
class Pruner(Protocol):
    """Ends trainings that will not become good enough."""

    def should_stop(self, candidate: Candidate, seed: int, accuracies: Sequence[float]) -> Verdict:
        """Judge a training by the validation accuracies (0…1) of its epochs so far.

        May be called from several threads; equal arguments give equal verdicts until the next
        call of `validate`.
        """

    def validate(self, evaluations: Iterable[Evaluation]) -> str:
        """Check earlier predictions against finished trainings; called between cycles.

        An unreliable pruner stops nothing until a later call finds it reliable again.

        Returns:
            One line for the user, "" if there is nothing to report.
        """


@runtime_checkable
class Executor(Protocol):
    """Trains and judges candidates.

    `create(splits, evaluation: EvaluationConfig, task: Task, pruner: Pruner | None) -> Executor`.

    Attributes:
        level: containment level in force, with its layers.
        workers: number of threads that may call `evaluate` at once.
        pruner: the pruner consulted after each epoch; None if every training runs to its end.
    """

    level: str
    workers: int
    pruner: Pruner | None

    def evaluate(self, candidate: Candidate, seed: int) -> Evaluation | Refusal:
        """Train the candidate in a process of its own and judge it by its logits."""

    def retrain(self, candidate: Candidate, seed: int) -> Retraining:
        """Train the candidate's network with our own training loop and judge it the same way."""

    def stop(self) -> None:
        """Make every running `evaluate` raise `ExecutionError`; called from another thread."""

    def close(self) -> None:
        """End every process this executor started."""


@runtime_checkable
class LimitsTime(Protocol):
    """An executor that ends a training after a multiple of what a reference network needs.

    Attributes:
        limit_s: own seconds of the training's process, None before `calibrate`.
    """

    limit_s: float | None

    def calibrate(self) -> float:
        """Measure the reference network if no limit is known yet; return and keep the limit."""


@runtime_checkable
class ExportsWeights(Protocol):
    """An executor that returns trained weights and measures them, in its sandbox only."""

    def export(self, candidate: Candidate, seed: int) -> Exported | Refusal:
        """Train like `evaluate`, once, and return the weights."""

    def package(
        self, candidate: Candidate, seed: int, weights: bytes, onnx: bool
    ) -> Package | Refusal:
        """Answer the validation and the test images with the code and a safetensors file.

        What the test images give must select nothing ("Test set apart", docs/design.md).

        Args:
            seed: seed of the training that gave the weights; the network is built with it again.
            onnx: make an ONNX file, too, and try it.
        """


@runtime_checkable
class TrainsInStages(Protocol):
    """An executor that trains a network in stages, with nngpt's own recipe.

    Attributes:
        workers: number of threads that may call `advance` at once.
        device: "cpu" or "cuda".
    """

    workers: int
    device: str

    def advance(
        self,
        candidate: Candidate,
        seed: int,
        stage: TrainingStage,
        before: bytes | None = None,
    ) -> StagedTraining | Refusal:
        """Train one stage, from the state after the stage before, and judge the network."""

    def stop(self) -> None:
        """Make every `advance`, running or future, raise ExecutionError."""


@runtime_checkable
class NoveltyMeasure(Protocol):
    """Finds near-duplicates. `create(config: NoveltyConfig) -> NoveltyMeasure`."""

    def compare(self, text: str) -> Novelty:
        """Return the nearest known text and its similarity, exact or estimated."""

    def add(self, key: str, text: str) -> None:
        """Add `text` to the known texts under `key`, unless the key is known already."""


@runtime_checkable
class DedupLevel(Protocol):
    """Turns code into the tokens that `nngpt dedup` compares. `create() -> DedupLevel`."""

    def pieces(self, code: str) -> list[str]:
        """Split code into parts that can be tokenised separately; equal parts share the work."""

    def tokens(self, piece: str) -> list[str]:
        """Return the tokens of a part, in order. Raises: SyntaxError if it cannot be parsed."""


@runtime_checkable
class Learner(Protocol):
    """Tunes the LLM. `create(config: Config, llm: LLM) -> Learner`.

    Attributes:
        facts: the choices made (optimiser …), for the user.
    """

    facts: str

    def learn(
        self,
        pairs: Sequence[TrainingPair],
        name: str,
        folder: Path,
        parent: Adapter | None,
        seed: int,
        on_step: OnStep,
        held_out: Sequence[TrainingPair] = (),
    ) -> Adapter:
        """Train on `pairs` and write the adapter to `folder / name`, atomically.

        Never trains on `held_out`; the adapter's record may tell their loss before and after.

        Raises:
            LearningFailed: no pair fits, the loss diverged, or nothing changed; the run continues.
        """


@runtime_checkable
class ComparesAnswers(Protocol):
    """A learner that compares a run's answers by accuracy, those that were refused too.

    Attributes:
        noun: what it trains on, in the singular.
    """

    noun: str

    def compare(
        self,
        learned: Sequence[TrainingPair],
        answers: Sequence[MeasuredAnswer],
        cycle: int,
        seed: int,
    ) -> list[TrainingPair]:
        """Return the pairs for `Learner.learn`; none if there is nothing to compare.

        Args:
            learned: the pairs that supervised fine-tuning would learn, as `learning.select` and
                `prompt.better_than` make them; sources name their answers.
            answers: all answers up to the cycle that may be learned, in the order of writing.
            seed: seed of random choices.
        """


@runtime_checkable
class HPOEngine(Protocol):
    """Proposes hyperparameters for a network. `create(context: EngineContext) -> HPOEngine`.

    An engine with the attribute `immediate = True` neither trains nor asks an LLM to propose; runs
    may use it for each of their candidates (`evaluation.hpo`).
    """

    def propose(self, task: HPOTask, count: int) -> list[Proposal]:
        """Return up to `count` different proposals, the best first. Raises: UserError."""

    def close(self) -> None:
        """Free the engine's memory."""


@runtime_checkable
class Reward(Protocol):
    """One term of the reward in reinforcement learning.

    `create(task: Task, known: NoveltyMeasure, new_measure) -> Reward`; `known` holds the networks
    known before, and `new_measure()` returns an empty measure. A reward must not depend on claims
    of a candidate's own process (No self-grading, docs/design.md).

    Attributes:
        low: smallest value; 0, or negative for a penalty.
        high: largest value.
    """

    low: float
    high: float

    def score(self, group: Sequence[Rollout]) -> list[float]:
        """Return a value from `low` to `high` for each answer of a group, deterministically."""


@runtime_checkable
class Tracker(Protocol):
    """Shows runs in another program. `create(run: TrackedRun) -> Tracker`.

    Its calls come from one thread and may be slow. An exception ends the tracking of this process,
    never the run; what was not logged is logged when the run resumes. An event may come a second
    time after a kill.

    Attributes:
        key: finds the run again when it resumes (`TrackedRun.key`).
    """

    key: str

    def log(self, events: Sequence[TrackedEvent]) -> None:
        """Log events in the order in which they happened."""

    def add_artefact(self, name: str, path: Path) -> None:
        """Add a file or folder, such as a report; a later one of the same name replaces it."""

    def close(self, finished: bool | None) -> None:
        """Send everything that is left.

        Args:
            finished: True if all cycles are closed, False if the run may resume, None if only an
                artefact was added.
        """
