"""Does the LLM collapse? Its answers break, or become alike, as it learns from itself.

A cycle is compared with all earlier ones of its run: an alarm is raised when the 95% interval of
the difference lies below zero, for the share of valid answers (Newcombe) or for the distance to the
most similar answer of the same cycle (Welch). Each gives a false alarm in one cycle of forty: it is
a reason to look, or for `learning.on_collapse`.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from nngpt.generation import contract
from nngpt.novelty.shingles import jaccard, shingles
from nngpt.records import Candidate
from nngpt.statistics import newcombe, percent_of, welch
from nngpt.store import CycleSummary

FEWEST = 4
"""Networks that a cycle must have for its diversity to be compared."""

Distances = Sequence[float]


def alarm(summaries: Sequence[CycleSummary], distances: Sequence[Distances]) -> str:
    """What fell in the last cycle, "" if nothing did.

    Args:
        summaries: of the loop's cycles so far, in order.
        distances: of each of these cycles, as `spread` gives them.
    """
    *before, last = summaries
    found = [_validity(before, last), _diversity(distances[:-1], distances[-1])]
    return "; ".join(filter(None, found))


def spreads(cycles: Sequence[Sequence[Candidate]], width: int) -> list[list[float]]:
    """`spread` of each cycle, of as many networks each as the last one has.

    Of more networks the nearest two are nearer, so equal numbers are compared; a cycle with fewer
    counts for nothing, and below `FEWEST` in the last one there is nothing to compare.
    """
    size = len(cycles[-1]) if len(cycles[-1]) >= FEWEST else 0
    return [spread(found[:size], width) if len(found) >= size else [] for found in cycles]


def spread(candidates: Sequence[Candidate], width: int) -> list[float]:
    """For each network of a cycle, 1 − Jaccard similarity to the most similar other one, 0…1.

    Jaccard similarity is that of runs of `width` tokens; with fewer than two there is nothing.
    """
    sets = [shingles(contract.novelty_text(candidate), width) for candidate in candidates]
    if len(sets) < 2:
        return []
    return [
        1 - max(jaccard(one, other) for j, other in enumerate(sets) if j != i)
        for i, one in enumerate(sets)
    ]


def _validity(before: Sequence[CycleSummary], last: CycleSummary) -> str:
    valid, total = sum(s.valid for s in before), sum(s.generated for s in before)
    if not total or not last.generated:
        return ""
    _, _, high = newcombe((last.valid, last.generated), (valid, total))
    if high >= 0:
        return ""
    return f"valid answers fell to {percent_of(last.valid, last.generated)} from {valid}/{total}"


def _diversity(before: Sequence[Distances], last: Distances) -> str:
    earlier = [distance for cycle in before for distance in cycle]
    if len(earlier) < 2 or len(last) < 2:
        return ""
    difference, interval = welch(last, earlier)
    if interval is None or interval[1] >= 0:
        return ""
    return (
        f"the distance to the most similar answer fell to {fmean(last):.2f} from "
        f"{fmean(earlier):.2f} (by {-difference:.2f} [{-interval[1]:.2f}, {-interval[0]:.2f}])"
    )
