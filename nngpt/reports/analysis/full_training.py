"""Full trainings: which candidates to sample, and how well the first epoch ranks them."""

from __future__ import annotations

import json
import math
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from nngpt.records import Arm, canonical_json, derive_seed
from nngpt.statistics import Estimate, accuracy
from nngpt.store import AttemptRecord, Confirmation

FEWEST = 10
"""Smallest number of pairs for which an interval is given."""

REPEAT = "repeat"
"""Key in the protocol of a candidate's second and later full trainings: their number."""

_RESAMPLES = 2000

Floats = npt.NDArray[np.float64]

Stratum = tuple[Arm, int, int]
"""Arm, cycle, and third of the arm by first-epoch accuracy (0 is the lowest)."""


def stratified_sample(
    attempts: Sequence[AttemptRecord], share: float, at_least: int, seed: int
) -> list[AttemptRecord]:
    """Sample attempts by strata for the analysis of full trainings, in writing order.

    All have the same probability, even with more strata than places: each stratum's part is
    rounded up or down at random. With the same seed, a smaller sample is part of a larger one.
    `at_least` is the minimum sample size, unless fewer attempts are trained.
    """
    trained = [attempt for attempt in attempts if attempt.evaluation is not None]
    size = min(len(trained), max(at_least, math.ceil(share * len(trained) - 1e-9)))
    turns = _turns(trained, random.Random(derive_seed(seed, "sample")))
    chosen = sorted(trained, key=lambda attempt: turns[attempt.id])[:size]
    return sorted(chosen, key=lambda attempt: attempt.id)


def first_epoch(attempt: AttemptRecord) -> float:
    """Return an attempt's first-epoch validation accuracy, to compare with full training, 0…1."""
    assert attempt.evaluation is not None
    return attempt.evaluation.epochs[0].accuracy


def strata(trained: Sequence[AttemptRecord]) -> dict[Stratum, list[AttemptRecord]]:
    """Return the strata of attempts for the analysis of full trainings, in a fixed order."""
    arms: dict[Arm, list[AttemptRecord]] = defaultdict(list)
    for attempt in trained:
        arms[attempt.arm].append(attempt)
    found: dict[Stratum, list[AttemptRecord]] = defaultdict(list)
    for arm, members in arms.items():
        ranked = sorted(members, key=lambda attempt: (first_epoch(attempt), attempt.id))
        for rank, attempt in enumerate(ranked):
            found[arm, attempt.cycle, 3 * rank // len(ranked)].append(attempt)
    return dict(sorted(found.items()))


def _turns(trained: Sequence[AttemptRecord], generator: random.Random) -> dict[int, float]:
    """Return a drawing time 0…1 for each attempt: by time t, each stratum has given a share t.

    A stratum's members come at equal distances in random order. The first one's time is random
    too, but evenly spread over the strata, so that the total stays proportional.
    """
    by_stratum = strata(trained)
    places = list(range(len(by_stratum)))
    generator.shuffle(places)
    turns = {}
    for place, members in zip(places, by_stratum.values(), strict=True):
        start = (place + generator.random()) / len(by_stratum)
        generator.shuffle(members)
        for number, attempt in enumerate(members):
            turns[attempt.id] = (number + start) / len(members)
    return turns


@dataclass(frozen=True)
class RankAgreement:
    """Kendall's τ-b between two scores of the same networks.

    Attributes:
        tau: −1…1; None for fewer than two networks, and where a score is the same for all.
        low: lower end of the 95% interval, None for too few networks; `high` likewise.
    """

    tau: float | None
    low: float | None
    high: float | None
    n: int


def rank_agreement(first: Sequence[float], full: Sequence[float], seed: int = 0) -> RankAgreement:
    """Return Kendall's τ-b of first epoch and full training, with a bootstrap interval.

    The same seed gives the same interval. Raises: ValueError if the scores differ in number.
    """
    if len(first) != len(full):
        raise ValueError(f"{len(first)} first scores, {len(full)} full ones")
    n = len(first)
    one, other = _signs(first), _signs(full)
    tau = _taus(one, other, np.ones((1, n)))[0]
    if not np.isfinite(tau):
        return RankAgreement(None, None, None, n)
    if n < FEWEST:
        return RankAgreement(float(tau), None, None, n)
    times = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), _RESAMPLES)
    low, high = np.nanpercentile(_taus(one, other, times.astype(np.float64)), (2.5, 97.5))
    return RankAgreement(float(tau), float(low), float(high), n)


def _signs(scores: Sequence[float]) -> Floats:
    """Return for each pair which is better, as −1, 0 or 1 [n, n]."""
    values = np.asarray(scores, np.float64)
    return np.sign(values[:, None] - values[None, :])


def _taus(one: Floats, other: Floats, times: Floats) -> Floats:
    """Return τ-b of each resample [samples], given counts [samples, n]; NaN where undefined."""
    together = _over_pairs(one * other, times)
    apart = _over_pairs(np.abs(one), times) * _over_pairs(np.abs(other), times)
    taus = np.full(len(times), np.nan)
    np.divide(together, np.sqrt(apart), out=taus, where=apart > 0)
    return taus


def _over_pairs(values: Floats, times: Floats) -> Floats:
    """Return the sum of `values` [n, n] over all pairs of each resample [samples]."""
    sums: Floats = ((times @ values) * times).sum(axis=1)
    return sums


@dataclass(frozen=True)
class Reliability:
    """How much of the variance of one training's accuracy lies between networks.

    Attributes:
        networks: number of networks, each trained `trainings` times with other seeds.
        between: standard deviation of the networks' expected accuracies, 0…1.
        within: standard deviation of a network's accuracies over seeds, 0…1.
        share: `between`² / (`between`² + `within`²), the intraclass correlation: 1 if one training
            tells all there is to tell, 0 if it tells nothing.
        low: lower end of its 95% interval; `high` likewise.
        epochs: epochs of each training, 0 if unknown.
    """

    networks: int
    trainings: int
    between: float
    within: float
    share: float
    low: float
    high: float
    epochs: int = 0

    @property
    def verdict(self) -> str:
        """Whether one training can be trusted to tell networks apart."""
        if self.low > 0.5:
            return "one training differs more between networks than between seeds"
        if self.high < 0.5:
            return "one training differs more between seeds than between networks"
        return "whether one training differs more between networks or seeds is not decided"


def reliability(accuracies: Sequence[Sequence[float]]) -> Reliability | None:
    """Divide the variance of accuracies [networks, trainings] in that of networks and of seeds.

    By a one-way analysis of variance with random effects; the interval is exact for normal
    deviations (P. Shrout and J. Fleiss, Intraclass Correlations, Psychological Bulletin 86, 1979,
    case 1). No component is less than 0.

    Returns:
        None for fewer than two networks or two trainings, and if all accuracies are equal.

    Raises: ValueError if networks have different numbers of trainings.
    """
    from scipy.special import fdtri

    values = np.asarray(accuracies, np.float64)
    if len(accuracies) < 2 or values.shape[1] < 2 or np.ptp(values) == 0:
        return None
    networks, trainings = values.shape
    within = float(values.var(axis=1, ddof=1).mean())
    of_means = float(values.mean(axis=1).var(ddof=1))
    between = max(of_means - within / trainings, 0.0)
    ratio = trainings * of_means / within if within else math.inf
    freedom, rest = networks - 1, networks * (trainings - 1)
    ends = ratio / fdtri(freedom, rest, 0.975), ratio * fdtri(rest, freedom, 0.975)
    low, high = (
        1.0 if math.isinf(end) else max(0.0, (end - 1) / (end + trainings - 1)) for end in ends
    )
    share = between / (between + within)
    deviations = math.sqrt(between), math.sqrt(within)
    return Reliability(networks, trainings, *deviations, share, low, high)


def longest(confirmations: Sequence[Confirmation]) -> dict[int, Confirmation]:
    """Return the longest full training of each attempt, the newest of equal ones; no repeats."""
    good = [c for c in confirmations if c.accuracy is not None and not _is_repeat(c)]
    return {c.attempt_id: c for c in sorted(good, key=lambda c: len(c.epochs))}


def _is_repeat(confirmation: Confirmation) -> bool:
    """Return True for a candidate's second or later training by a protocol."""
    return REPEAT in json.loads(confirmation.protocol)


def repeated(confirmations: Sequence[Confirmation]) -> list[list[Confirmation]]:
    """Return the full trainings of each network that was trained several times, in order.

    Of several protocols the one begun last counts. Networks with a failed training are left out,
    and so are trainings that not all others have as well, because they were interrupted.
    """
    by_protocol: dict[str, dict[int, list[Confirmation]]] = defaultdict(lambda: defaultdict(list))
    for one in confirmations:
        protocol = {k: v for k, v in json.loads(one.protocol).items() if k != REPEAT}
        by_protocol[canonical_json(protocol)][one.attempt_id].append(one)
    for networks in reversed(by_protocol.values()):
        several = [n for n in networks.values() if len(n) > 1]
        whole = [n for n in several if all(c.accuracy is not None for c in n)]
        if whole:
            rounds = min(map(len, whole))
            return [trainings[:rounds] for trainings in whole]
    return []


def reliability_of(confirmations: Sequence[Confirmation]) -> Reliability | None:
    """Return the reliability of one full training, None if none was repeated."""
    trained = repeated(confirmations)
    found = reliability([[c.accuracy or 0.0 for c in trainings] for trainings in trained])
    return replace(found, epochs=len(trained[0][0].epochs)) if found else None


@dataclass(frozen=True)
class Confirmed:
    """A candidate's first-epoch validation accuracy and its test accuracy after full training."""

    attempt: int
    arm: Arm
    cycle: int
    first: Estimate
    full: Estimate
    epochs: int


@dataclass(frozen=True)
class Ranking:
    """How well the first epoch ranks a run's candidates.

    Attributes:
        protocol: protocol of the longest full trainings, of these the most common, as JSON.
        confirmed: candidates trained by it, in the order of training.
        failed: number of full trainings by it that failed.
        others: number of full trainings by other protocols, which are left out.
        tau: Kendall's τ-b over all cycles; None for fewer than ten candidates or equal scores.
        by_cycle: cycle and τ-b of each cycle that has one.
        reliability: None if no training was repeated; repeats do not count elsewhere.
    """

    protocol: str
    confirmed: tuple[Confirmed, ...]
    failed: int
    others: int
    tau: Estimate | None
    by_cycle: tuple[tuple[int, Estimate], ...]
    reliability: Reliability | None


def ranking(
    confirmations: Sequence[Confirmation], attempts: Sequence[AttemptRecord]
) -> Ranking | None:
    """Compare first-epoch validation with full test accuracies; None without full trainings."""
    if not confirmations:
        return None
    known = {a.id: a for a in attempts}
    first = [c for c in confirmations if not _is_repeat(c)]
    # The newer of two equally common ones: failures were repeated with other limits.
    common = [text for text, _ in Counter(c.protocol for c in reversed(first)).most_common()]
    protocol = max(common, key=lambda p: max(len(c.epochs) for c in first if c.protocol == p))
    mine = [c for c in first if c.protocol == protocol]
    found = [c for c in (_confirmed(one, known.get(one.attempt_id)) for one in mine) if c]
    cycles = sorted({c.cycle for c in found})
    each = [(n, _tau_of([c for c in found if c.cycle == n])) for n in cycles]
    return Ranking(
        protocol=protocol,
        confirmed=tuple(found),
        failed=sum(c.accuracy is None for c in mine),
        others=len(first) - len(mine),
        tau=_tau_of(found),
        by_cycle=tuple((n, tau) for n, tau in each if tau is not None),
        reliability=reliability_of(confirmations),
    )


def _tau_of(confirmed: Sequence[Confirmed]) -> Estimate | None:
    """Return τ-b of first-epoch and full accuracies; None for fewer than ten, or equal scores."""
    found = rank_agreement([c.first.value for c in confirmed], [c.full.value for c in confirmed])
    if found.tau is None or found.low is None or found.high is None:
        return None
    return Estimate(found.tau, found.low, found.high, found.n)


def _confirmed(one: Confirmation, attempt: AttemptRecord | None) -> Confirmed | None:
    if one.accuracy is None or attempt is None or attempt.evaluation is None:
        return None
    first, full = accuracy(*attempt.evaluation.curve[0]), accuracy(one.accuracy, one.total)
    return Confirmed(attempt.id, attempt.arm, attempt.cycle, first, full, len(one.epochs))
