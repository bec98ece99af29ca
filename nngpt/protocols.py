"""What each kind of plug-in must be able to do: one small Protocol per kind.

A plug-in is one file in the kind's folder (see `nngpt.plugins`), with a factory function
`create(...)` whose signature its protocol's docstring gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


@runtime_checkable
class Executor(Protocol):
    """Runs candidates. `create(splits, evaluation: EvaluationConfig, task) -> Executor`.

    Attributes:
        level: containment level in force, with its layers.
        workers: how many threads may call `evaluate` at once.
    """

    level: str
    workers: int

    def evaluate(self, candidate: Candidate, seed: int) -> Evaluation | Refusal:
        """Train the candidate in a process of its own and judge it from its logits."""
        ...

    def retrain(self, candidate: Candidate, seed: int) -> Retraining:
        """Train the candidate's network with our own loop and judge it the same way."""
        ...

    def stop(self) -> None:
        """Called from another thread: have every running `evaluate` raise `ExecutionError`."""
        ...

    def close(self) -> None:
        """End every process this executor started."""
        ...


class Watch(Protocol):
    """Looks at one training between its epochs.

    Attributes:
        would_stop: why it would have been stopped, had it not been chosen to run on; else None.
        ceiling: accuracy that it will hardly exceed, as far as was said; None if nothing was.
    """

    would_stop: str | None
    ceiling: float | None

    def look(self, accuracies: Sequence[float]) -> Refusal | None:
        """A refusal that ends the training after these epochs, None if it goes on."""
        ...


class Foresight(Protocol):
    """Ends trainings that will not become good enough. It may be asked from several threads."""

    def watch(self, candidate: Candidate, seed: int) -> Watch:
        """What looks at one training."""
        ...


@runtime_checkable
class StopsEarly(Protocol):
    """An executor that asks a `Foresight` after each epoch; others train to the end.

    Attributes:
        foresight: whom it asks, None for nobody.
    """

    foresight: Foresight | None


@runtime_checkable
class ExportsWeights(Protocol):
    """An executor that can hand over what it trained; it runs nothing of it outside its sandbox."""

    def export(self, candidate: Candidate, seed: int, onnx: bool) -> Exported | Refusal:
        """Train like `evaluate`, once, and take the weights, with `onnx` as an ONNX file too."""
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
