"""Similarity of each trained network to the corpus and to its arm's earlier networks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nngpt.generation import contract
from nngpt.novelty.shingles import shingles
from nngpt.records import Arm, Candidate, Stage
from nngpt.store import AttemptRecord

_ROWS = 256


@dataclass(frozen=True)
class Near:
    """The nearest known network, and the exact Jaccard similarity to it, 0…1."""

    name: str
    jaccard: float


@dataclass(frozen=True)
class NetworkPlace:
    """A trained network with the nearest network of the corpus and of its own arm.

    Attributes:
        stage: gate that refused it, None if it was admitted or is undecided.
        corpus: nearest network of the corpus, None if the corpus is unknown.
        sibling: nearest network that the same arm had trained before, None for its first.
    """

    attempt: int
    arm: Arm
    cycle: int
    accuracy: float
    admitted: bool
    stage: Stage | None
    corpus: Near | None
    sibling: Near | None

    @property
    def jaccard(self) -> float | None:
        """Similarity to the nearer of `corpus` and `sibling`, 0…1; None without either."""
        return max((near.jaccard for near in (self.corpus, self.sibling) if near), default=None)


class Shingled:
    """Networks as sparse rows of shingles, so that thousands can be compared exactly."""

    def __init__(self) -> None:
        self._columns: dict[int, int] = {}

    def rows(self, sets: Iterable[Collection[int]]) -> list[npt.NDArray[np.intp]]:
        """Return the columns of each set of shingles."""
        number = self._columns.setdefault
        return [np.array([number(s, len(self._columns)) for s in each]) for each in sets]

    def matrix(self, rows: Sequence[npt.NDArray[np.intp]]) -> Any:
        """Return a sparse matrix [len(rows), shingles] with 1 where a row holds a shingle."""
        from scipy.sparse import csr_array

        ends = np.cumsum([0, *map(len, rows)])
        columns = np.concatenate([*rows, np.array([], np.intp)])
        shape = (len(rows), max(1, len(self._columns)))
        return csr_array((np.ones(len(columns), np.float32), columns, ends), shape=shape)


def similarities(rows: Any, known: Any) -> Any:
    """Return the Jaccard similarities [n, m] from which novelty is analysed, in their dtype."""
    shared = (rows @ known.T).toarray()
    union = rows.sum(axis=1)[:, None] + known.sum(axis=1)[None, :] - shared
    return shared / np.maximum(union, 1)


def nearest(
    rows: Any, known: Any, names: Sequence[str], earlier_only: bool = False
) -> list[Near | None]:
    """Return the known network nearest to each row of shingles, to analyse novelty.

    `rows` is sparse [n, shingles], `known` sparse [m, shingles], named `names`; `earlier_only`
    compares row i only with known networks before i.
    """
    found: list[Near | None] = []
    for start in range(0, rows.shape[0], _ROWS):
        for offset, line in enumerate(similarities(rows[start : start + _ROWS], known)):
            open_to = line[: start + offset] if earlier_only else line
            best = int(np.argmax(open_to)) if len(open_to) else None
            found.append(None if best is None else Near(names[best], float(open_to[best])))
    return found


def places(
    attempts: Sequence[AttemptRecord], corpus: Mapping[str, Candidate], width: int = 10
) -> list[NetworkPlace]:
    """Return how novel every trained attempt is: its nearest known networks, in order.

    `corpus` holds networks by name; `width` is the number of tokens in a shingle.
    """
    trained = [a for a in attempts if a.result is not None and a.candidate is not None]
    space = Shingled()

    def shingled(candidate: Candidate) -> frozenset[int]:
        return shingles(contract.novelty_text(candidate), width)

    rows = space.rows(shingled(a.candidate) for a in trained if a.candidate)
    known = space.rows(map(shingled, corpus.values()))
    to_corpus: list[Near | None] = [None] * len(trained)
    if corpus and trained:
        to_corpus = nearest(space.matrix(rows), space.matrix(known), list(corpus))
    to_sibling: dict[int, Near | None] = {}
    for arm in Arm:
        mine = [n for n, a in enumerate(trained) if a.arm is arm]
        if mine:
            own = space.matrix([rows[n] for n in mine])
            names = [f"attempt {trained[n].id}" for n in mine]
            to_sibling.update(zip(mine, nearest(own, own, names, earlier_only=True), strict=True))
    return [_place(a, to_corpus[n], to_sibling[n]) for n, a in enumerate(trained)]


def _place(attempt: AttemptRecord, corpus: Near | None, sibling: Near | None) -> NetworkPlace:
    assert attempt.result is not None
    return NetworkPlace(
        attempt=attempt.id,
        arm=attempt.arm,
        cycle=attempt.cycle,
        accuracy=attempt.result[0],
        admitted=attempt.state == "admitted",
        stage=attempt.refusal.stage if attempt.refusal else None,
        corpus=corpus,
        sibling=sibling,
    )
