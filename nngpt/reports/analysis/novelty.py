"""How near each trained network is to the corpus and to those that its arm trained before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    """The nearest network and the exact Jaccard similarity to it, 0…1."""

    name: str
    jaccard: float


@dataclass(frozen=True)
class Place:
    """Where a trained network lies among the known ones.

    Attributes:
        corpus: nearest network of the corpus, None if no corpus is known.
        sibling: nearest of those that the same arm trained before, None for its first.
        stage: the gate that refused it, None if it was admitted or is open.
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
        """Similarity to whatever is nearest, 0…1."""
        return max((near.jaccard for near in (self.corpus, self.sibling) if near), default=None)


class Shingled:
    """Networks as sparse rows of shingles, so that thousands are compared exactly in a moment."""

    def __init__(self) -> None:
        self._columns: dict[int, int] = {}

    def rows(self, texts: Iterable[str], width: int) -> list[npt.NDArray[np.intp]]:
        """The columns of each text's shingles."""
        number = self._columns.setdefault
        found = (shingles(text, width) for text in texts)
        return [np.array([number(s, len(self._columns)) for s in each]) for each in found]

    def matrix(self, rows: Sequence[npt.NDArray[np.intp]]) -> Any:
        """Ones [len(rows), shingles] where a row holds a shingle."""
        from scipy.sparse import csr_array

        ends = np.cumsum([0, *map(len, rows)])
        columns = np.concatenate([*rows, np.array([], np.intp)])
        shape = (len(rows), max(1, len(self._columns)))
        return csr_array((np.ones(len(columns), np.float32), columns, ends), shape=shape)


def nearest(
    rows: Any, known: Any, names: Sequence[str], earlier_only: bool = False
) -> list[Near | None]:
    """For each row the nearest known one (the first of equals).

    Args:
        rows: sparse [n, shingles].
        known: sparse [m, shingles].
        names: of the known ones.
        earlier_only: row i is compared with known ones before i.
    """
    sizes, others = rows.sum(axis=1), known.sum(axis=1)
    found: list[Near | None] = []
    for start in range(0, rows.shape[0], _ROWS):
        part = rows[start : start + _ROWS]
        shared = (part @ known.T).toarray()
        union = sizes[start : start + _ROWS, None] + others[None, :] - shared
        similarity = shared / np.maximum(union, 1)
        for offset, line in enumerate(similarity):
            open_to = line[: start + offset] if earlier_only else line
            best = int(np.argmax(open_to)) if len(open_to) else None
            found.append(None if best is None else Near(names[best], float(open_to[best])))
    return found


def places(
    attempts: Sequence[AttemptRecord], corpus: Mapping[str, Candidate], width: int = 10
) -> list[Place]:
    """Every trained attempt's place, in order; they must bring their code.

    Args:
        attempts: of all arms, in the order of writing.
        corpus: networks by name.
        width: tokens per shingle.
    """
    trained = [a for a in attempts if a.evaluation is not None and a.candidate is not None]
    space = Shingled()
    rows = space.rows((contract.novelty_text(a.candidate) for a in trained if a.candidate), width)
    known = space.rows(map(contract.novelty_text, corpus.values()), width)
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


def _place(attempt: AttemptRecord, corpus: Near | None, sibling: Near | None) -> Place:
    assert attempt.evaluation is not None
    return Place(
        attempt=attempt.id,
        arm=attempt.arm,
        cycle=attempt.cycle,
        accuracy=attempt.evaluation.accuracy,
        admitted=attempt.state == "admitted",
        stage=attempt.refusal.stage if attempt.refusal else None,
        corpus=corpus,
        sibling=sibling,
    )
