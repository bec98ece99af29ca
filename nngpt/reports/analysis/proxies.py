"""How well zero-cost proxies rank a run's networks, beside size and the first epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nngpt.records import Evaluation, Proxy
from nngpt.reports.analysis.full_training import RankAgreement, first_epoch, rank_agreement
from nngpt.store import AttemptRecord


@dataclass(frozen=True)
class ProxyRanks:
    """Rank agreement of one score of networks with what they reached.

    Attributes:
        name: "first epoch", "parameters", "FLOPs" or the name of a proxy.
        first: with first-epoch validation accuracy, of all networks that have the score; None for
            the first epoch itself.
        full: with the test accuracy after full training; None if no network was fully trained.
    """

    name: str
    first: RankAgreement | None
    full: RankAgreement | None


def proxy_ranks(
    attempts: Sequence[AttemptRecord], full: Mapping[int, float]
) -> tuple[ProxyRanks, ...]:
    """Return the rank agreement of each score of a run's trained networks; () without proxies.

    Args:
        full: test accuracy after full training by attempt, all by one protocol.
    """
    trained = [a for a in attempts if a.evaluation and a.evaluation.claimed_proxies is not None]
    if not trained:
        return ()
    accuracies = {a.id: first_epoch(a) for a in trained}
    scores = {a.id: scores_of(a.evaluation) for a in trained if a.evaluation}
    found = [ProxyRanks("first epoch", None, _agreement(accuracies, full))] if full else []
    for name in ("parameters", "FLOPs", *Proxy):
        known = {key: score for key, each in scores.items() if (score := each[name]) is not None}
        first = _agreement(known, accuracies)
        found.append(ProxyRanks(str(name), first, _agreement(known, full)))
    return tuple(found)


def scores_of(evaluation: Evaluation) -> dict[str, float | None]:
    """Return an evaluation's sizes and proxies by name, None where unknown."""
    sizes = {"parameters": evaluation.claimed_parameters, "FLOPs": evaluation.claimed_flops}
    return {**dict.fromkeys(Proxy), **(evaluation.claimed_proxies or {}), **sizes}


def _agreement(scores: Mapping[int, float], reached: Mapping[int, float]) -> RankAgreement | None:
    """Return the rank agreement of two scores by attempt; None if nothing has been reached."""
    if not reached:
        return None
    both = sorted(scores.keys() & reached.keys())
    return rank_agreement([scores[key] for key in both], [reached[key] for key in both])
