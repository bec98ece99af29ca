"""The lines of a comparison's record, from which all its figures follow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nngpt.records import Refusal, canonical_json

CHECK, TRAIN = "check", "train"
"""Ways to judge a network: one training step on noise, or one epoch on the task's images."""


@dataclass(frozen=True)
class SharedSettings:
    """The settings that all arms of a comparison share: seed, model, protocol, …"""

    settings: Mapping[str, Any]
    format: int = 1


@dataclass(frozen=True)
class ArmFacts:
    """Record of an arm: facts that must not change while a comparison goes on.

    Attributes:
        adapter: lineage and sha256 of the weights, None for the base model.
        mode: prompt mode: how much of a network the arm writes.
        settings: the arm's configuration without the shared settings.
    """

    name: str
    adapter: Mapping[str, Any] | None
    mode: str
    template_hash: str
    settings: Mapping[str, Any]

    @property
    def is_base(self) -> bool:
        """True for the base model without an adapter."""
        return self.adapter is None


@dataclass(frozen=True)
class Session:
    """Record of one start of a comparison's command.

    Attributes:
        started: time in UTC, ISO 8601.
        samples: number of answers wanted for each prompt.
        how: `CHECK`, `TRAIN`, or "" to run nothing.
        tasks: names of the data sets.
        prompts: data sets of each prompt, by arm and by key of the prompt.
        machine: processor, cores, GPU and versions.
    """

    started: str
    command: str
    samples: int
    how: str
    tasks: tuple[str, ...]
    prompts: Mapping[str, Mapping[str, Sequence[str]]]
    machine: Mapping[str, Any]

    def wants(self, arm: str, asked: str, how: str, task: str) -> int:
        """Return how many of an arm's answers to a prompt the session judges this way."""
        tasks = self.prompts.get(arm, {}).get(asked)
        if tasks is None or how not in ("", self.how):
            return 0
        return self.samples if not how or task in (self.tasks if how == CHECK else tasks) else 0


SampleKey = tuple[str, str, int]
"""Arm, key of the prompt, and index of an answer."""


@dataclass(frozen=True)
class Sample:
    """Record of one answer of an arm.

    Attributes:
        asked: key of the prompt.
        tasks: data sets that the prompt is for.
        index: number among the arm's answers to this prompt, from 0.
        batch: number of its batch; `size` answers were written together from `seed`.
        seconds: wall time of the batch divided by its size.
        finished: False if the token limit cut the answer off.
        refusal: why the contract refuses the answer, None if it does not.
        hash: LEMUR's id of the network, "" if there is none.
        network: canonical form of the network as written; similarity is measured on it.
        shown: True for an exact copy of an example in the prompt.
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
    def key(self) -> SampleKey:
        """Key of the answer."""
        return self.arm, self.asked, self.index


@dataclass(frozen=True)
class SampleOutcome:
    """Record of the result of running a sample's network on one task.

    Attributes:
        how: `CHECK` or `TRAIN`.
        run: digest of code and settings; equal digests give equal outcomes.
        refusal: why the network does not run, None if it does.
        accuracy: validation accuracy after the first epoch, 0…1; None unless trained.
        total: number of validation images.
        parameters: trainable parameters as counted by the candidate's process.
        seconds: wall time of the run; 0 for a copied outcome.
        copied: True if taken from an exact copy, of any arm, that had run before.
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
    def key(self) -> SampleKey:
        """Key of the answer that was run."""
        return self.arm, self.asked, self.index


Line = SharedSettings | Session | ArmFacts | Sample | SampleOutcome
"""A line of the record."""


def differing(old: object, new: object, path: str = "") -> Iterator[tuple[str, object, object]]:
    """Yield path and both values of every setting in which two records of a comparison differ."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from differing(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif canonical_json(old) != canonical_json(new):
        yield path, old, new
