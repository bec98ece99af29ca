"""The figures of a run, against numbers worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from report_samples import confirm, network, study, three_arms

from nngpt.records import Arm, Stage
from nngpt.reports.analysis import uplift
from nngpt.reports.analysis.study import Study
from nngpt.statistics import newcombe, welch, wilson
from nngpt.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:Column-expression-level unary distinct")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    """Three arms over three cycles, all confirmed; attempt 2's network is in the corpus."""
    with Store.open(tmp_path_factory.mktemp("study") / "nngpt.db") as store:
        run = three_arms(store)
        confirm(store, run)
        yield study(store, run, known=network(2))


def test_a_cycle_counts_raw_with_intervals(found: Study) -> None:
    first = found.loop[0]
    assert (first.written, len(first.accuracies), first.admitted) == (4, 3, 2)
    assert first.valid is not None and first.valid.hits == 3
    assert (first.valid.low, first.valid.high) == wilson(3, 4)
    assert first.mean is not None and first.mean.value == pytest.approx(1.4 / 3)
    # t(0.975, 2) = 4.302653; standard deviation of 0.3, 0.5, 0.6
    half = 4.302653 * 0.1527525 / math.sqrt(3)
    assert first.mean.high == pytest.approx(1.4 / 3 + half, abs=1e-5)
    assert first.median is not None and (first.median.value, first.median.low) == (0.5, None)
    assert first.best is not None and (first.best.low, first.best.high) == wilson(60, 100)
    assert first.above_trained is not None and first.above_trained.value == 2 / 3
    assert first.above_written is not None and first.above_written.value == 2 / 4
    assert dict(first.refused) == {Stage.PARSE: 1, Stage.THRESHOLD: 1}
    assert [p.corpus for p in found.loop] == [7, 11, 14]
    assert found.points[Arm.BASE][0].corpus is None
    assert [p.alarm for p in found.loop] == ["", "collapse", ""]


def test_gates_lose_what_they_refused(found: Study) -> None:
    left = {gate.stage: gate.left for gate in found.funnels[Arm.LOOP]}
    assert (left[None], left[Stage.PARSE], left[Stage.JUDGE]) == (12, 10, 10)
    assert (left[Stage.THRESHOLD], left[Stage.NOVELTY]) == (9, 9)


def test_differences_from_the_controls(found: Study) -> None:
    whole = next(c for c in found.comparisons if (c.other, c.span) == (Arm.BASE, uplift.ALL))
    loop = [0.3, 0.5, 0.6, 0.55, 0.65, 0.7, 0.45, 0.6, 0.7, 0.8]
    base = [0.3, 0.35, 0.5, 0.4]
    valid, mean = whole.differences[uplift.VALID], whole.differences[uplift.MEAN]
    assert valid is not None and mean is not None
    assert (valid.value, valid.low, valid.high) == newcombe((10, 12), (4, 6))
    assert (mean.value, (mean.low, mean.high)) == welch(loop, base)
    every = whole.differences[uplift.AT_CHANCE]
    assert every is not None
    assert every.value == pytest.approx((5.85 + 2 * 0.1) / 12 - (1.55 + 2 * 0.1) / 6)


def test_thirds_of_a_single_cycle_are_not_compared(found: Study) -> None:
    assert {c.span for c in found.comparisons} == {uplift.ALL}
    again = {
        arm: (*points, *(replace(p, cycle=p.cycle + 3) for p in points))
        for arm, points in found.points.items()
    }
    longer = uplift.comparisons(again, 0.4, None)
    assert {c.span for c in longer} == {uplift.ALL, uplift.LAST, uplift.OVER_TIME}
    rise = next(c for c in longer if c.span == uplift.OVER_TIME).differences[uplift.MEAN]
    assert rise is not None
    middle = 0.55 + 0.65 + 0.7 + 0.45
    assert rise.value == pytest.approx((middle + 2.1) / 7 - (1.4 + middle) / 7)


def test_nearest_of_corpus_and_of_earlier_siblings(found: Study) -> None:
    places = {p.attempt: p for p in found.places}
    assert places[1].sibling is None
    near = places[2].corpus
    assert near is not None and (near.name, near.jaccard) == ("known", 1.0)
    assert all(p.corpus is not None and p.corpus.jaccard < 0.9 for n, p in places.items() if n != 2)
    loop = [p for p in found.places if p.arm is Arm.LOOP]
    assert all(p.sibling and int(p.sibling.name.split()[1]) < p.attempt for p in loop[1:])


def test_adapters_with_their_parents(found: Study) -> None:
    names = [(w.name, w.parent, w.wrote) for w in found.writers]
    assert names == [
        ("base model", None, 4),
        ("a1", "base model", 4),
        ("a2", "a1", 4),
        ("a3", "a2", 0),
    ]
    assert found.initial == 5


def test_a_perfect_ranking_is_one(found: Study) -> None:
    assert found.ranking is not None and found.ranking.tau is not None
    tau = found.ranking.tau
    assert (tau.value, tau.low, tau.high, tau.count) == (
        pytest.approx(1),
        *[pytest.approx(1)] * 2,
        20,
    )
    assert found.ranking.by_cycle == ()  # fewer than ten in each


def test_costs_and_forecast(found: Study) -> None:
    spent = found.costs
    assert (spent.seconds, spent.joules, spent.measured) == (300.0, 300.0, True)
    assert spent.activities == ("training+writing", "writing")
    assert spent.per_hour == pytest.approx(24 / 300 * 3600)
    assert spent.per_admitted == pytest.approx(300 / 9)
    (one,) = spent.forecasts
    assert (one.actual, one.held) == (300.0, True)
    assert one.error == pytest.approx(0.2)


def test_the_front_has_no_worse_and_dearer_network(found: Study) -> None:
    by_size = found.fronts[0]
    assert len(by_size.networks) == 20
    assert [w.accuracy.value for w in by_size.front] == [0.8]  # all have 1,234 parameters


def test_an_older_run_has_sums_instead(tmp_path: Path) -> None:
    from store_samples import admit, start, write

    with Store.open(tmp_path / "nngpt.db") as store:
        run = start(store)
        with store.lease(run.id) as lease:
            admit(lease, write(lease)[0])
        found = study(store, run)
    assert not found.costs.measured and found.costs.seconds == 4.5
    assert found.ranking is None and found.comparisons == ()
