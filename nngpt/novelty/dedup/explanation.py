"""Explain why two networks are duplicates or not: similarities, shared lines, differences."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from nngpt import plugins
from nngpt.novelty.dedup.collection import DedupSettings, Network
from nngpt.novelty.dedup.pipeline import deduplicate, threshold
from nngpt.novelty.dedup.shingle_sets import Shingler, Shingles, jaccard

LONGEST = 5_000
"""Maximum number of lines compared."""

_RUNS = 5


@dataclass(frozen=True)
class LevelView:
    """Two networks compared at one dedup level.

    Attributes:
        similarity: exact Jaccard similarity, None if the level cannot read a network.
        threshold: similarity above which the two are duplicates.
        tokens: number of tokens of each; None if the level cannot read it.
        shingles: number of distinct shingles of each; None likewise.
        shared: number of shared shingles, or None.
    """

    level: str
    similarity: float | None
    threshold: float
    tokens: tuple[int | None, int | None]
    shingles: tuple[int | None, int | None]
    shared: int | None


@dataclass(frozen=True)
class SharedRun:
    """Equal lines of two networks, ignoring white space; line numbers count from 1."""

    first_line: int
    second_line: int
    lines: int
    text: tuple[str, ...]


@dataclass(frozen=True)
class Explanation:
    """Why two networks are duplicates or not.

    Attributes:
        levels: one entry per level, in the order of the settings.
        verdict: the level at which the two are duplicates, or None.
        kept: name of the network that deduplication keeps, or None.
        runs: the longest shared runs of lines, longest first.
        diff: unified diff, without line ends.
    """

    one: Network
    other: Network
    levels: tuple[LevelView, ...]
    verdict: str | None
    kept: str | None
    runs: tuple[SharedRun, ...]
    diff: tuple[str, ...]


def explain(one: Network, other: Network, settings: DedupSettings) -> Explanation:
    """Compare two networks at every dedup level. Raises: PluginError."""
    levels = tuple(_view(name, one, other, settings) for name in settings.levels)
    outcome = deduplicate((one, other), replace(settings, per_family=None))
    return Explanation(
        one=one,
        other=other,
        levels=levels,
        verdict=outcome.removed[0].level if outcome.removed else None,
        kept=outcome.kept[0].name if outcome.removed else None,
        runs=_shared_runs(one.code, other.code),
        diff=tuple(unified_diff(one, other)),
    )


def explanation_facts(explanation: Explanation) -> dict[str, Any]:
    """Return the explanation of two networks as JSON values, without their code."""
    values = asdict(explanation)
    for side in ("one", "other"):
        del values[side]["code"]
    return values


def unified_diff(one: Network, other: Network, context: int = 3) -> list[str]:
    """Return the diff that explains two networks' difference, without line ends; [] if equal."""
    first, second = _lines(one.code), _lines(other.code)
    return list(difflib.unified_diff(first, second, one.name, other.name, n=context, lineterm=""))


def _view(name: str, one: Network, other: Network, settings: DedupSettings) -> LevelView:
    level = plugins.load("dedup level", name).create()
    shingler = Shingler(level, settings.shingle)
    tokens: list[int | None] = []
    sets: list[Shingles | None] = []
    for network in (one, other):
        try:
            sets.append(shingler.shingles(network.code))
            tokens.append(sum(len(level.tokens(p)) for p in level.pieces(network.code)))
        except SyntaxError:
            sets.append(None)
            tokens.append(None)
    first, second = sets
    both = None if first is None or second is None else (first, second)
    return LevelView(
        level=name,
        similarity=jaccard(*both) if both else None,
        threshold=threshold(settings, name, one.family, other.family),
        tokens=(tokens[0], tokens[1]),
        shingles=(None if first is None else len(first), None if second is None else len(second)),
        shared=len(np.intersect1d(*both)) if both else None,
    )


def _lines(code: str) -> list[str]:
    # Not splitlines(): to Python's lexer a form feed does not end a line.
    return code.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:LONGEST]


def _shared_runs(one: str, other: str) -> tuple[SharedRun, ...]:
    first, second = _lines(one), _lines(other)
    numbers_a, texts_a = _without_white_space(first)
    numbers_b, texts_b = _without_white_space(second)
    matcher = difflib.SequenceMatcher(None, texts_a, texts_b)
    blocks = sorted((b for b in matcher.get_matching_blocks() if b.size), key=lambda b: -b.size)
    return tuple(
        SharedRun(
            numbers_a[b.a] + 1,
            numbers_b[b.b] + 1,
            b.size,
            tuple(first[i] for i in numbers_a[b.a : b.a + b.size]),
        )
        for b in blocks[:_RUNS]
    )


def _without_white_space(lines: Sequence[str]) -> tuple[list[int], list[str]]:
    """Return numbers of the non-blank lines, and their texts without white space."""
    texts = ["".join(line.split()) for line in lines]
    numbers = [number for number, text in enumerate(texts) if text]
    return numbers, [texts[number] for number in numbers]
