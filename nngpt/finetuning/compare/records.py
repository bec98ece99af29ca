"""What a comparison is made of: arms, the prompts they answer, and what is recorded of each answer.

A `Sample` is one answer of one arm, an `Outcome` what running its network on one task gave. All
figures follow from these and from the training corpus.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from nngpt.records import Adapter, Candidate, Prompt, Refusal, Sampling, Task
from nngpt.store import prompt_hash

CHECK, TRAIN = "check", "train"
"""How a network was judged: one training step on noise, or an epoch on the task's images."""


class AnswerReader(Protocol):
    """Reads answers for one task; `nngpt.generation.contract.Reader` is one."""

    task: Task

    def read_answer(self, text: str, prompt: Prompt) -> Candidate | Refusal:
        """The candidate in a completion to `prompt`, or why there is none."""
        ...

    def examples(self) -> dict[str, Candidate]:
        """The networks shown in the prompt, by name."""
        ...


@dataclass(frozen=True)
class Asked:
    """A prompt, and the data sets that it does not tell apart."""

    prompt: Prompt
    tasks: tuple[str, ...]

    @property
    def key(self) -> str:
        """What names the prompt in the records: 12 digits of its hash."""
        return prompt_hash(self.prompt)[:12]


@dataclass(frozen=True)
class ArmFacts:
    """What is recorded of an arm; it must not change while a comparison goes on.

    Attributes:
        name: what the user calls it.
        adapter: lineage and sha256 of the weights, None for the frozen base.
        mode: how much of a network it writes.
        template_hash: of its prompt template.
        settings: its configuration, but for what all arms share.
    """

    name: str
    adapter: Mapping[str, Any] | None
    mode: str
    template_hash: str
    settings: Mapping[str, Any]

    @property
    def is_base(self) -> bool:
        """True for the model without an adapter."""
        return self.adapter is None


@dataclass(frozen=True)
class Arm:
    """Who writes: the base model or an adapter, with prompts and sampling settings.

    Attributes:
        readers: read its answers, by data set.
        asked: its prompts, each once.
    """

    facts: ArmFacts
    adapter: Adapter | None
    sampling: Sampling
    readers: Mapping[str, AnswerReader]
    asked: tuple[Asked, ...]

    @property
    def name(self) -> str:
        """What the user calls it."""
        return self.facts.name

    @property
    def mode(self) -> str:
        """How much of a network it writes."""
        return self.asked[0].prompt.mode


@dataclass(frozen=True)
class Setting:
    """What all arms share: seed, model, protocol … as in the configuration."""

    settings: Mapping[str, Any]
    format: int = 1


@dataclass(frozen=True)
class Session:
    """One start of the command: when, how, and on which machine with which versions.

    Attributes:
        samples: how many answers to each prompt were wanted.
        how: `CHECK`, `TRAIN`, or "" if nothing was to be run.
        tasks: the data sets.
        prompts: by arm, the data sets of each prompt, by its key.
    """

    started: str
    command: str
    samples: int
    how: str
    tasks: tuple[str, ...]
    prompts: Mapping[str, Mapping[str, Sequence[str]]]
    machine: Mapping[str, Any]

    def wants(self, arm: str, asked: str, how: str, task: str) -> int:
        """How many of an arm's answers to a prompt it wanted judged that way; 0 for not at all."""
        tasks = self.prompts.get(arm, {}).get(asked)
        if tasks is None or how not in ("", self.how):
            return 0
        return self.samples if not how or task in (self.tasks if how == CHECK else tasks) else 0


@dataclass(frozen=True)
class Sample:
    """One answer.

    Attributes:
        arm: who wrote it.
        asked: key of the prompt.
        tasks: the data sets that the prompt is for.
        index: its place among the arm's answers to this prompt.
        batch: number of its batch; `size` answers were written together from `seed`.
        tokens: tokens written.
        seconds: wall time of the batch divided by its size.
        finished: False when the token limit cut it off.
        refusal: why the contract does not take it, None if it does.
        hash: LEMUR's id of the network, "" if there is none.
        network: what the LLM wrote of it in canonical form; likeness is measured on it.
        shown: it is an exact copy of an example in the prompt.
    """

    arm: str
    asked: str
    tasks: tuple[str, ...]
    index: int
    batch: int
    size: int
    seed: int
    text: str = field(repr=False)
    prompt_tokens: int
    tokens: int
    seconds: float
    finished: bool
    refusal: Refusal | None
    hash: str = ""
    network: str = field(default="", repr=False)
    shown: bool = False

    @property
    def key(self) -> tuple[str, str, int]:
        """Arm, prompt and index."""
        return self.arm, self.asked, self.index


@dataclass(frozen=True)
class Outcome:
    """What running a sample's network on one task gave.

    Attributes:
        how: `CHECK` or `TRAIN`.
        classes: of the task; guessing is right in one of so many.
        run: what was run, code and settings: equal ones give equal outcomes.
        refusal: why it does not run, None if it does.
        accuracy: after the first epoch, None unless trained.
        total: validation images it was judged on.
        parameters: as the candidate's process counted them.
        seconds: wall time of running it; 0 if the outcome is that of an exact copy.
        copied: taken from an exact copy that had run already, of whichever arm.
    """

    arm: str
    asked: str
    index: int
    how: str
    task: str
    classes: int
    run: str
    refusal: Refusal | None
    accuracy: float | None = None
    total: int = 0
    parameters: int = 0
    seconds: float = 0.0
    copied: bool = False

    @property
    def key(self) -> tuple[str, str, int]:
        """Arm, prompt and index of the sample."""
        return self.arm, self.asked, self.index


Line = Setting | Session | ArmFacts | Sample | Outcome
"""A line of the record."""
