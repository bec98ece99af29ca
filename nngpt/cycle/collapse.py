"""Detect model collapse: the answers of an LLM that learns from itself break, or become alike.

A cycle is compared with all earlier cycles of its run. An alarm means that the 95% interval of the
difference lies below zero, for the share of valid answers (Newcombe) or for the distance to the
most similar answer of the same cycle (Welch). Each test gives a false alarm in one of forty cycles.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from nngpt.generation import contract
from nngpt.novelty.shingles import jaccard, shingles
from nngpt.records import Candidate
from nngpt.statistics import newcombe, percent_of, welch
from nngpt.store import CycleSummary

MIN_NETWORKS = 4
"""Smallest number of networks in a cycle whose diversity is compared."""

Distances = Sequence[float]


def alarm(summaries: Sequence[CycleSummary], distances: Sequence[Distances]) -> str:
    """Return what collapsed in the last cycle (validity, diversity), "" if nothing did.

    Args:
        summaries: summaries of the loop's cycles so far, in order.
        distances: distances between the networks of each of these cycles (`spreads`).
    """
    *before, last = summaries
    found = [_validity(before, last), _diversity(distances[:-1], distances[-1])]
    return "; ".join(filter(None, found))


def spreads(cycles: Sequence[Sequence[Candidate]], width: int) -> list[list[float]]:
    """Return the diversity (`spread`) of each cycle, on as many networks as the last cycle has.

    Among more networks the nearest two are nearer, so equal numbers are compared. The spread is
    empty for a cycle with fewer networks, and for all if the last has fewer than `MIN_NETWORKS`.
    """
    size = len(cycles[-1]) if len(cycles[-1]) >= MIN_NETWORKS else 0
    return [spread(found[:size], width) if len(found) >= size else [] for found in cycles]


def spread(candidates: Sequence[Candidate], width: int) -> list[float]:
    """Return a cycle's diversity: each network's distance to the most similar other one, 0…1.

    The distance is 1 minus the Jaccard similarity of runs of `width` tokens; [] for fewer than two
    networks.
    """
    sets = [shingles(contract.novelty_text(candidate), width) for candidate in candidates]
    if len(sets) < 2:
        return []
    return [
        1 - max(jaccard(one, other) for j, other in enumerate(sets) if j != i)
        for i, one in enumerate(sets)
    ]


def _validity(before: Sequence[CycleSummary], last: CycleSummary) -> str:
    """Return how the share of valid answers fell, "" if it did not."""
    valid, total = sum(s.valid for s in before), sum(s.generated for s in before)
    if not total or not last.generated:
        return ""
    _, _, high = newcombe((last.valid, last.generated), (valid, total))
    if high >= 0:
        return ""
    return f"valid answers fell to {percent_of(last.valid, last.generated)} from {valid}/{total}"


def _diversity(before: Sequence[Distances], last: Distances) -> str:
    """Return how the distance to the most similar answer fell, "" if it did not."""
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
