"""Packs examples into rows without padding; a prompt that several share is read once.

A row is `prompt A, answer 1, answer 2, prompt B, answer 3 …` in one sequence. Each answer sees its
own prompt and itself, never another answer (`nngpt.finetuning.tuning.attention`), and its positions
go on from its prompt's, so loss and gradients are those of the examples one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING

from nngpt.finetuning.tuning.examples import Example

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Span:
    """Tokens `start` to `stop` of a row see each other, causally, and all from `prefix` on.

    Attributes:
        prefix: start and stop of what every token of the span sees as well, None for nothing.
    """

    start: int
    stop: int
    prefix: tuple[int, int] | None = None


@dataclass
class Row:
    """A row of t tokens with n answer tokens.

    Attributes:
        ids: t token ids.
        positions: t positions, each counted from the start of its own prompt.
        spans: who sees whom, in order and without gaps.
        sources: for each answer token the place whose output predicts it.
        targets: the n answer tokens.
    """

    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    sources: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)

    def add(self, prompt: Sequence[int], answers: Sequence[Sequence[int]]) -> None:
        """Append a prompt and the answers that share it."""
        first = len(self.ids)
        self._append(prompt, 0)
        end = len(self.ids)
        if len(answers) > 1:
            self.spans.append(Span(first, end))
        for answer in answers:
            start = len(self.ids)
            self.sources += [end - 1, *range(start, start + len(answer) - 1)]
            self.targets += answer
            self._append(answer[:-1], len(prompt))  # its last token predicts nothing
            if len(answers) == 1:
                self.spans.append(Span(first, len(self.ids)))
            elif len(answer) > 1:
                self.spans.append(Span(start, len(self.ids), (first, end)))

    def _append(self, tokens: Sequence[int], position: int) -> None:
        self.ids += tokens
        self.positions += range(position, position + len(tokens))

    def tensors(self, device: torch.device) -> tuple[torch.Tensor, ...]:
        """ids [1, t], positions [1, t], sources [n] and targets [n] on a device."""
        import torch

        parts = ([self.ids], [self.positions], self.sources, self.targets)
        return tuple(torch.tensor(part, device=device) for part in parts)


@dataclass(frozen=True)
class Lengths:
    """A row's spans as FlashAttention wants them; a shared prefix stands before each span's keys.

    Attributes:
        keys: [k] places in the row of all spans' keys, one span after the other.
        query_starts: [spans + 1] where each span's queries begin, int32.
        key_starts: [spans + 1] the same in `keys`.
        longest_query: most queries of a span.
        longest_key: most keys of a span.
    """

    keys: torch.Tensor
    query_starts: torch.Tensor
    key_starts: torch.Tensor
    longest_query: int
    longest_key: int

    @classmethod
    def of(cls, spans: Sequence[Span], device: torch.device) -> Lengths:
        """The lengths of a row's spans."""
        import torch

        places = [[*range(*(s.prefix or (0, 0))), *range(s.start, s.stop)] for s in spans]
        queries, keys = [s.stop - s.start for s in spans], [len(p) for p in places]

        def starts(sizes: list[int]) -> torch.Tensor:
            return torch.tensor([0, *accumulate(sizes)], dtype=torch.int32, device=device)

        flat = torch.tensor([place for span in places for place in span], device=device)
        return cls(flat, starts(queries), starts(keys), max(queries), max(keys))


def pack(examples: Sequence[Example], budget: int) -> list[Row]:
    """Rows of at most `budget` tokens; an example that is longer has a row of its own."""
    rows = []
    for chosen in _fill(examples, budget):
        row = Row()
        for prompt, answers in chosen.items():
            row.add(prompt, answers)
        rows.append(row)
    return rows


def single(examples: Sequence[Example]) -> list[Row]:
    """One row for each example."""
    return [row for example in examples for row in pack([example], 0)]


_Chosen = dict[tuple[int, ...], list[tuple[int, ...]]]


def _fill(examples: Sequence[Example], budget: int) -> Iterator[_Chosen]:
    """Answers by prompt for each row, the prompts in the order in which they come first."""
    by_prompt: _Chosen = {}
    for example in examples:
        by_prompt.setdefault(example.prompt, []).append(example.answer)
    chosen: _Chosen = {}
    size = 0
    for prompt, answers in by_prompt.items():
        for answer in answers:
            if chosen and size + len(answer) + (prompt not in chosen) * len(prompt) > budget:
                yield chosen
                chosen, size = {}, 0
            size += len(answer) + (prompt not in chosen) * len(prompt)
            chosen.setdefault(prompt, []).append(answer)
    yield chosen
