"""The stratified sample: proportional, nested, random, the same for a seed."""

from __future__ import annotations

import random
from collections import Counter
from fractions import Fraction

import pytest
from store_samples import completion, evaluation

from nngpt.records import Arm, State
from nngpt.reports.analysis.full_training import Stratum, strata, stratified_sample
from nngpt.store import AttemptRecord


def attempt(number: int, arm: Arm, cycle: int, accuracy: float | None) -> AttemptRecord:
    return AttemptRecord(
        id=number,
        run_id=1,
        cycle=cycle,
        batch=0,
        place=number,
        state=State.REFUSED if accuracy is None else State.ADMITTED,
        mode="full",
        prompt_hash="p",
        completion=completion(),
        content_hash=None,
        candidate=None,
        evaluation=None if accuracy is None else evaluation(accuracy, 0.99),
        novelty=None,
        refusal=None,
        retraining=None,
        restarts=0,
        retrainings=0,
        created="",
        updated="",
        arm=arm,
    )


@pytest.fixture(scope="module")
def attempts() -> list[AttemptRecord]:
    """Two arms, five cycles of different sizes, a third of them never trained."""
    generator = random.Random(1)
    found = []
    for cycle in range(1, 6):
        for place in range(10 + 9 * cycle):
            arm = Arm.BASE if place % 4 == 0 else Arm.LOOP
            accuracy = None if place % 3 == 0 else generator.random()
            found.append(attempt(len(found) + 1, arm, cycle, accuracy))
    return found


def stratum_of(attempts: list[AttemptRecord]) -> dict[int, Stratum]:
    trained = [a for a in attempts if a.evaluation]
    return {a.id: stratum for stratum, members in strata(trained).items() for a in members}


@pytest.mark.parametrize("size", [1, 7, 10, 23, 60, 100])
def test_every_stratum_has_its_part(attempts: list[AttemptRecord], size: int) -> None:
    where = stratum_of(attempts)
    sample = stratified_sample(attempts, 0, size, seed=1)
    assert len({a.id for a in sample}) == len(sample) == size
    sizes, taken = Counter(where.values()), Counter(where[a.id] for a in sample)
    # There is one rate from which every stratum's count differs by less than one.
    lowest = max(Fraction(taken[s] - 1, sizes[s]) for s in sizes)
    highest = min(Fraction(taken[s] + 1, sizes[s]) for s in sizes)
    assert lowest < highest
    assert all(abs(taken[s] - size * sizes[s] / len(where)) < 1.5 for s in sizes)


def test_strata_are_cycles_and_thirds_of_an_arm(attempts: list[AttemptRecord]) -> None:
    where = stratum_of(attempts)
    thirds = Counter((arm, third) for arm, _, third in where.values())
    for arm in (Arm.LOOP, Arm.BASE):
        counts = [thirds[arm, third] for third in range(3)]
        assert max(counts) - min(counts) <= 1
    accuracies = {a.id: a.evaluation.epochs[0].accuracy for a in attempts if a.evaluation}
    loop = [(third, accuracies[n]) for n, (arm, _, third) in where.items() if arm is Arm.LOOP]
    assert [third for third, _ in sorted(loop, key=lambda pair: pair[1])] == sorted(
        third for third, _ in loop
    )


def test_samples_are_nested(attempts: list[AttemptRecord]) -> None:
    before: set[int] = set()
    for size in range(1, 101):
        sample = {a.id for a in stratified_sample(attempts, 0, size, seed=4)}
        assert before < sample
        before = sample


def test_share_and_least(attempts: list[AttemptRecord]) -> None:
    trained = sum(a.evaluation is not None for a in attempts)
    assert len(stratified_sample(attempts, 0.05, 10, seed=1)) == 10
    assert len(stratified_sample(attempts, 0.5, 10, seed=1)) == -(-trained // 2)
    assert len(stratified_sample(attempts, 1, 10, seed=1)) == trained
    assert len(stratified_sample(attempts[:6], 0.05, 10, seed=1)) == 4
    assert stratified_sample([], 1, 10, seed=1) == []


def test_the_seed_decides(attempts: list[AttemptRecord]) -> None:
    one, again, other = (stratified_sample(attempts, 0.1, 1, seed) for seed in (1, 1, 2))
    assert one == again != other

    times = 400
    drawn = Counter(a.id for n in range(times) for a in stratified_sample(attempts, 0, 12, n))
    trained = [a.id for a in attempts if a.evaluation]
    expected = times * 12 / len(trained)
    # Six standard deviations of a binomial: the same chance for all, in strata of any size.
    assert all(abs(drawn[number] - expected) < 6 * expected**0.5 for number in trained)
