"""What the tables of a comparison show, each figure with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nngpt.finetuning.compare.corpus import Corpus
from nngpt.finetuning.compare.records import ArmFacts, Session
from nngpt.reports.comparison.spread import Compared
from nngpt.statistics import wilson

COPY = 0.90
"""An answer that is more alike than this to a network of the training corpus is a copy."""

ALL = "all prompts"


@dataclass(frozen=True)
class Share:
    """Hits of a total, with the Wilson interval."""

    hits: int
    total: int

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends, 0…1."""
        return wilson(self.hits, self.total)


@dataclass(frozen=True)
class Mean:
    """A mean of `n` values with half the width of its t interval; None where there is none."""

    n: int
    mean: float | None
    half_width: float | None


@dataclass(frozen=True)
class Accuracy:
    """First-epoch accuracies of a cell, 0…1.

    Attributes:
        runs: of every answer that was trained.
        distinct: without exact copies.
        all: of every answer, where one that does not run counts as chance.
        images: validation images each was judged on.
        values: those of `runs`, in the order of the samples.
        all_values: those of `all`.
    """

    runs: Mean
    distinct: Mean
    all: Mean
    median: float | None
    best: float | None
    images: int
    values: tuple[float, ...] = field(repr=False)
    all_values: tuple[float, ...] = field(repr=False)


@dataclass(frozen=True)
class Cell:
    """What became of one arm's answers to one prompt, judged one way.

    Attributes:
        asked: the data sets that the prompt is for, or `ALL` for all prompts of the arm.
        how: `CHECK`, `TRAIN`, or "" where nothing was run.
        task: the data set it was trained on, "" for the others.
        fit: answers that the contract takes.
        runs: built, ran forward and trained (on noise of every task's shape for `CHECK`).
        distinct: of those, neither an example of the prompt nor a copy of an earlier answer.
        refused: number of answers by the stage that refused them.
        finished: everything that was asked for is done.
    """

    arm: str
    asked: str
    how: str
    task: str
    fit: Share
    runs: Share | None
    distinct: Share | None
    refused: Mapping[str, int]
    finished: bool
    accuracy: Accuracy | None


@dataclass(frozen=True)
class Copies:
    """How near an arm's networks are to the training corpus.

    Attributes:
        valid: copies among the answers that ran.
        fit: copies among the answers that the contract takes.
        verbatim: of those that ran, a network of the corpus word for word, numbers included.
        nearest: similarity to the nearest network of the corpus, of each valid answer, 0…1.
        quantiles: of these: name to value.
    """

    arm: str
    valid: Share
    fit: Share
    verbatim: Share
    quantiles: Mapping[str, float]
    nearest: tuple[float, ...] = field(repr=False)


@dataclass(frozen=True)
class Diversity:
    """How different an arm's valid networks are, beside the training corpus.

    Attributes:
        networks: how many there are; `distinct` of them are no exact copy of an earlier one.
        apart: those that are not near-duplicates of an earlier one either.
        figures: what is compared with the corpus, by name.
        kinds: networks that use each kind of layer.
        depths: quantiles of the depth: name to value.
    """

    arm: str
    networks: int
    distinct: Share
    apart: Share
    figures: Mapping[str, Compared]
    kinds: Mapping[str, int]
    depths: Mapping[str, float]


@dataclass(frozen=True)
class Difference:
    """An arm less the frozen base: a share or a mean accuracy, with its interval if it has one."""

    arm: str
    base: str
    what: str
    where: str
    n: int
    base_n: int
    difference: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Speed:
    """What an arm wrote: tokens, seconds, and the share of answers that the limit cut off."""

    arm: str
    samples: int
    tokens: int
    seconds: float
    cut_off: Share

    @property
    def tokens_per_s(self) -> float:
        """Tokens written a second, all of a batch together."""
        return self.tokens / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Figures:
    """Everything that the tables show."""

    arms: tuple[ArmFacts, ...]
    sessions: tuple[Session, ...]
    cells: tuple[Cell, ...]
    copies: tuple[Copies, ...]
    diversity: tuple[Diversity, ...]
    differences: tuple[Difference, ...]
    speed: tuple[Speed, ...]
    corpus: Corpus | None
