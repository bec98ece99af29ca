"""What each kind of plug-in must be able to do: one small Protocol per kind.

A plug-in is one file in the kind's folder (see `nngpt.plugins`), with a factory function
`create(...)` whose signature its protocol's docstring gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from nngpt.records import (
    Adapter,
    Candidate,
    Completion,
    Evaluation,
    Exported,
    Novelty,
    Prompt,
    Refusal,
    Retraining,
    Rollout,
    Sampling,
    TrainingPair,
)

if TYPE_CHECKING:
    from pathlib import Path

    from nngpt.data.splits import Splits
    from nngpt.generation.contract.candidate import Defaults
    from nngpt.generation.contract.reader import Reader
    from nngpt.prediction.hpo.proposal import HPOTask, Proposal


Log = Callable[[str], None]
"""Called with one line for the user."""

OnStep = Callable[[int, int, float], None]
"""Called after each optimiser step with its number, the number of steps, and the loss."""


@runtime_checkable
class LLM(Protocol):
    """A language model that continues prompts. `create(config: LLMConfig) -> LLM`.

    Attributes:
        model: the base model's name.
        batch_size: how many completions one call of `generate` writes best.
        facts: what was chosen (device, dtype, quantisation …), to be said aloud.
    """

    model: str
    batch_size: int
    facts: str

    def generate(
        self, prompt: Prompt, count: int, seed: int, sampling: Sampling
    ) -> list[Completion]:
        """Write `count` completions; the same seed gives the same texts on one device kind."""
        ...

    def use_adapter(self, adapter: Adapter | None) -> None:
        """Write with this adapter from now on, or with the bare base. Raises: ModelError."""
        ...

    def stop(self) -> None:
        """Called from another thread: have a running `generate` end soon, with any result."""
        ...

    def close(self) -> None:
        """Free the model's memory, or the connection."""
        ...


@runtime_checkable
class MeasuresPrompts(Protocol):
    """An LLM that knows how long a prompt may be; one that does not is never asked."""

    def room(self, prompt: Prompt, sampling: Sampling) -> int | None:
        """Tokens that prompt and longest answer leave free in its context, negative if they do
        not fit; None if unknown."""
        ...


@runtime_checkable
class WritesJson(Protocol):
    """An LLM that can be made to write JSON of a given schema and nothing else."""

    def generate_json(
        self,
        prompt: Prompt,
        schema: Mapping[str, Any],
        count: int,
        seed: int,
        sampling: Sampling,
    ) -> list[Completion]:
        """Like `LLM.generate`; each text that is `finished` is JSON of this schema."""
        ...

    def check_json(self) -> None:
        """Raises: ModelError if something that `generate_json` needs is missing."""
        ...


@runtime_checkable
class PromptMode(Protocol):
    """How an answer of the LLM holds a network. `create() -> PromptMode`.

    A mode subclasses this Protocol, which gives the attributes their usual values.

    Attributes:
        network_file: True if templates of this mode name a Jinja2 file that completes the answer.
        changes_parent: True if an answer changes the network in `Prompt.parent`.
        defines_blocks: True if an answer may use the prompt's blocks by name; else it copies them.
    """

    network_file: bool = True
    changes_parent: bool = False
    defines_blocks: bool = False

    def read(self, answer: str, reader: Reader) -> Candidate | Refusal:
        """Return the network in a whole answer (prefill and completion), or why there is none.

        `RecursionError` and `MemoryError` may pass: the reader refuses such answers.
        """
        ...

    def novelty_text(self, candidate: Candidate) -> str:
        """Return the code on which novelty is measured: the part that the LLM wrote."""
        ...

    def known_answer(self, candidate: Candidate, prompt: Prompt, defaults: Defaults) -> str:
        """Return a known network as a whole answer to `prompt`."""
        ...


@runtime_checkable
class TakesSettings(Protocol):
    """A mode whose answers may end with settings that fit their code (`sampling.constrain`)."""

    def settings_after(self, answer: str) -> tuple[str, dict[str, Any]] | None:
        """Return the answer up to the end of its code, and the JSON schema of its settings.

        Returns:
            None if the code does not end or cannot be read.
        """
        ...


@runtime_checkable
class DatasetSource(Protocol):
    """A data set. A file in `nngpt/data/` with `create(root: Path | None) -> DatasetSource`."""

    name: str
    classes: int
    shape: tuple[int, int, int]

    def available(self) -> bool:
        """True if the prepared arrays are in the cache."""
        ...

    def prepare(self) -> None:
        """Fetch, verify and convert to uint8 arrays in the cache. Raises: DataError."""
        ...

    def splits(self, seed: int, train_limit: int | None, validation_limit: int | None) -> Splits:
        """Train, validation and test parts, memory-mapped. Raises: DataError."""
        ...


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
        ...

    def validate(self, evaluations: Iterable[Evaluation]) -> str:
        """Check earlier predictions against finished trainings; called between cycles.

        An unreliable pruner stops nothing until a later call finds it reliable again.

        Returns:
            One line for the user, "" if there is nothing to report.
        """
        ...


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
        ...

    def retrain(self, candidate: Candidate, seed: int) -> Retraining:
        """Train the candidate's network with our own training loop and judge it the same way."""
        ...

    def stop(self) -> None:
        """Make every running `evaluate` raise `ExecutionError`; called from another thread."""
        ...

    def close(self) -> None:
        """End every process this executor started."""
        ...


@runtime_checkable
class ExportsWeights(Protocol):
    """An executor that returns trained weights; the network runs in its sandbox only."""

    def export(self, candidate: Candidate, seed: int, onnx: bool) -> Exported | Refusal:
        """Train like `evaluate`, once, and return the weights; with `onnx`, an ONNX file too."""
        ...


@runtime_checkable
class NoveltyMeasure(Protocol):
    """Finds near-duplicates. `create(config: NoveltyConfig) -> NoveltyMeasure`."""

    def compare(self, text: str) -> Novelty:
        """The nearest known text and its exact similarity."""
        ...

    def add(self, key: str, text: str) -> None:
        """Make `text` known under `key`; a key that is known already is left as it is."""
        ...


@runtime_checkable
class DedupLevel(Protocol):
    """Turns code into tokens. A file in `nngpt/novelty/dedup/levels/` with `create()`."""

    def pieces(self, code: str) -> list[str]:
        """Parts of `code` that can be read one by one; equal parts are read only once."""
        ...

    def tokens(self, piece: str) -> list[str]:
        """What is compared, in order. Raises: SyntaxError if this level cannot read it."""
        ...


@runtime_checkable
class Learner(Protocol):
    """Tunes the LLM. `create(config: Config, llm: LLM) -> Learner`.

    Attributes:
        facts: what was chosen (optimiser …), to be said aloud.
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
    ) -> Adapter:
        """Train on `pairs` and write the adapter to `folder / name`, atomically.

        Raises:
            LearningFailed: these pairs cannot be learned; the run goes on without.
        """
        ...


@runtime_checkable
class HPOEngine(Protocol):
    """Proposes hyperparameters for a network. A file in `nngpt/prediction/hpo/engines/` with
    `create(context: EngineContext) -> HPOEngine`."""

    def propose(self, task: HPOTask, count: int) -> list[Proposal]:
        """Return up to `count` different proposals, the best first. Raises: UserError."""
        ...

    def close(self) -> None:
        """Free the engine's memory."""
        ...


@runtime_checkable
class Reward(Protocol):
    """One term of what reinforcement learning pays. A file in `nngpt/finetuning/rewards/` with
    `create(task: Task, known: NoveltyMeasure, new_measure) -> Reward`; `new_measure()` gives an
    empty novelty measure. Nothing is paid for what a candidate's own process claims.

    Attributes:
        low: the least it gives; 0, or less for a penalty.
        high: the most it gives.
    """

    low: float
    high: float

    def score(self, group: Sequence[Rollout]) -> list[float]:
        """A value, `low` to `high`, for each answer of a group; the same for the same group."""
        ...
