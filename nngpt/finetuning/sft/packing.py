"""Tokenise training pairs and pack them into rows without padding; a shared prompt comes once.

A row is `prompt A, answer 1, answer 2, prompt B, answer 3 …` in one sequence. Each answer attends
to its own prompt and itself, never to another answer (`nngpt.finetuning.sft.attention`), and its
positions continue those of its prompt, so loss and gradients equal those of the pairs one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from nngpt.generation.models import chat
from nngpt.records import TrainingPair

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class TokenizedPair:
    """A training pair as token ids; only its answers have a loss.

    Attributes:
        prompt: token ids of the rendered prompt.
        answer: token ids of the answer, including the end of the turn.
        rival: the same of a worse answer; () for none.
        advantage: `TrainingPair.advantage`.
    """

    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    rival: tuple[int, ...] = ()
    advantage: float = 0.0

    @property
    def answers(self) -> tuple[tuple[int, ...], ...]:
        """The answer, and the rival if there is one."""
        return (self.answer, self.rival) if self.rival else (self.answer,)

    @property
    def answered(self) -> int:
        """Tokens of the answers."""
        return len(self.answer) + len(self.rival)

    @property
    def length(self) -> int:
        """Tokens of prompt and longest answer together."""
        return len(self.prompt) + max(map(len, self.answers))


@dataclass(frozen=True)
class RowSpan:
    """Tokens of a row that attend to each other causally, and to a shared prefix.

    Attributes:
        start: first token of the span.
        stop: token after the span.
        prefix: start and stop of the tokens that all tokens of the span attend to; None without.
    """

    start: int
    stop: int
    prefix: tuple[int, int] | None = None


@dataclass
class PackedRow:
    """A row of t tokens with n answer tokens.

    Attributes:
        ids: token ids [t].
        positions: positions [t], each counted from the start of its own prompt.
        spans: spans of the attention, in order and without gaps.
        sources: index in the row of the token that predicts each answer token [n].
        targets: answer tokens [n].
        pairs: the pairs in the row, in the order of their answers.
    """

    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    spans: list[RowSpan] = field(default_factory=list)
    sources: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    pairs: list[TokenizedPair] = field(default_factory=list)

    def add(self, prompt: Sequence[int], pairs: Sequence[TokenizedPair]) -> None:
        """Append a prompt and the answers of the pairs that share it."""
        self.pairs += pairs
        answers = [answer for pair in pairs for answer in pair.answers]
        first = len(self.ids)
        self._append(prompt, 0)
        end = len(self.ids)
        if len(answers) > 1:
            self.spans.append(RowSpan(first, end))
        for answer in answers:
            start = len(self.ids)
            self.sources += [end - 1, *range(start, start + len(answer) - 1)]
            self.targets += answer
            self._append(answer[:-1], len(prompt))  # its last token predicts nothing
            if len(answers) == 1:
                self.spans.append(RowSpan(first, len(self.ids)))
            elif len(answer) > 1:
                self.spans.append(RowSpan(start, len(self.ids), (first, end)))

    def _append(self, tokens: Sequence[int], position: int) -> None:
        self.ids += tokens
        self.positions += range(position, position + len(tokens))

    def tensors(self, device: torch.device) -> tuple[torch.Tensor, ...]:
        """Return ids [1, t], positions [1, t], sources [n] and targets [n] on a device."""
        import torch

        parts = ([self.ids], [self.positions], self.sources, self.targets)
        return tuple(torch.tensor(part, device=device) for part in parts)


@dataclass(frozen=True)
class SpanLengths:
    """A row's spans as FlashAttention needs them; a shared prefix precedes each span's keys.

    Attributes:
        keys: indices in the row of all spans' keys, span by span [k].
        query_starts: index of each span's first query, int32 [spans + 1].
        key_starts: index in `keys` of each span's first key, int32 [spans + 1].
        longest_query: maximum number of queries of a span.
        longest_key: maximum number of keys of a span.
    """

    keys: torch.Tensor
    query_starts: torch.Tensor
    key_starts: torch.Tensor
    longest_query: int
    longest_key: int

    @classmethod
    def of(cls, spans: Sequence[RowSpan], device: torch.device) -> SpanLengths:
        """Compute the lengths of a row's spans on a device."""
        import torch

        places = [[*range(*(s.prefix or (0, 0))), *range(s.start, s.stop)] for s in spans]
        queries, keys = [s.stop - s.start for s in spans], [len(p) for p in places]

        def starts(sizes: list[int]) -> torch.Tensor:
            return torch.tensor([0, *accumulate(sizes)], dtype=torch.int32, device=device)

        flat = torch.tensor([place for span in places for place in span], device=device)
        return cls(flat, starts(queries), starts(keys), max(queries), max(keys))


def tokenize(tokenizer: Any, pairs: Sequence[TrainingPair]) -> list[TokenizedPair]:
    """Tokenise training pairs for packing; equal prompts are rendered once and share one tuple."""
    prompts: dict[Any, tuple[int, ...]] = {}
    tokenized = []
    for pair in pairs:
        asked = pair.prompt
        if asked not in prompts:
            prompts[asked] = tuple(chat.encode(tokenizer, chat.render(tokenizer, asked)))
        answer, rival = tuple(chat.encode_answer(tokenizer, pair)), tuple[int, ...]()
        if pair.rival:
            rival = tuple(chat.encode_answer(tokenizer, replace(pair, completion=pair.rival)))
        tokenized.append(TokenizedPair(prompts[asked], answer, rival, pair.advantage))
    return tokenized


def drop_long(pairs: Sequence[TokenizedPair], max_length: int) -> list[TokenizedPair]:
    """Return the pairs with an answer, of at most `max_length` tokens; none is truncated."""
    return [pair for pair in pairs if pair.answer and pair.length <= max_length]


def pack(pairs: Sequence[TokenizedPair], max_tokens: int) -> list[PackedRow]:
    """Pack pairs into rows of at most `max_tokens` tokens; a longer pair has its own row."""
    rows = []
    for chosen in _fill(pairs, max_tokens):
        row = PackedRow()
        for prompt, sharing in chosen.items():
            row.add(prompt, sharing)
        rows.append(row)
    return rows


def one_per_row(pair: TokenizedPair) -> list[PackedRow]:
    """Return a row for each answer of a pair, instead of packing several into a row."""
    return [row for ids in pair.answers for row in pack([TokenizedPair(pair.prompt, ids)], 0)]


_Groups = dict[tuple[int, ...], list[TokenizedPair]]


def _fill(pairs: Sequence[TokenizedPair], max_tokens: int) -> Iterator[_Groups]:
    """Yield each row's pairs by prompt; prompts keep the order of their first pair."""
    by_prompt: _Groups = {}
    for pair in pairs:
        by_prompt.setdefault(pair.prompt, []).append(pair)
    chosen: _Groups = {}
    size = 0
    for prompt, sharing in by_prompt.items():
        for pair in sharing:
            if chosen and size + pair.answered + (prompt not in chosen) * len(prompt) > max_tokens:
                yield chosen
                chosen, size = {}, 0
            size += pair.answered + (prompt not in chosen) * len(prompt)
            chosen.setdefault(prompt, []).append(pair)
    yield chosen
