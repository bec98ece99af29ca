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
from nngpt.reports.analysis.lead import leads
from nngpt.reports.analysis.study import Study
from nngpt.reports.run.verdict import verdict, warnings
from nngpt.reports.tables.costs import reached_sheet, spent_sheet
from nngpt.statistics import newcombe, welch, wilson
from nngpt.store import Outcome, Store

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
    assert (spent.admitted, spent.admitted_by_cycle) == (9, {1: 2, 2: 4, 3: 3})
    sheet = spent_sheet(spent)
    assert sheet.heads[3:] == ("total", "admitted", "per admitted", "energy", "per admitted")
    assert sheet.rows[0][3:] == ("1.7 min", "2", "50 s", "100 J", "50 J")
    assert sheet.rows[-1][3:6] == ("5.0 min", "9", "33 s")
    (one,) = spent.forecasts
    assert (one.actual, one.held) == (300.0, True)
    assert one.error == pytest.approx(0.2)


def test_cost_of_an_accuracy(found: Study) -> None:
    by = {(one.level, one.arm): one for one in found.reached}
    first = by["admission threshold", Arm.LOOP]
    # Two answers of 0.5 s, each trained for 4 s.
    assert (first.attempt, first.cycle, first.written, first.seconds) == (2, 1, 2, 9.0)
    equal = by["best of frozen LLM", Arm.BASE]
    assert (equal.accuracy, equal.cycle, equal.written, equal.joules) == (0.5, 2, 4, 200.0)
    best = by["best of loop", Arm.LOOP]
    assert (best.accuracy, best.cycle, best.written, best.joules) == (0.8, 3, 11, 300.0)
    assert best.seconds == 11 * 0.5 + 10 * 4 + 2 * 9  # two adapters were trained before it
    never = by["best of loop", Arm.BASE]
    assert (never.attempt, never.written, never.seconds) == (None, 6, 6 * 0.5 + 4 * 4)
    sheet = reached_sheet(found.reached)
    assert sheet is not None and sheet.rows[-2][2:6] == ("frozen LLM", "not reached", "6", "19 s")


def test_the_lead_so_far(found: Study) -> None:
    whole = next(c for c in found.comparisons if (c.other, c.span) == (Arm.BASE, uplift.ALL))
    every, last = whole.differences[uplift.AT_CHANCE], found.leads[Arm.BASE][-1]
    assert every is not None and every.interval is not None
    assert last.difference.value == pytest.approx(every.value)  # one figure, two intervals
    low, high = last.difference.interval or (0, 0)
    assert low < every.interval[0] and high > every.interval[1]
    assert [(lead.cycle, lead.difference.count) for lead in found.leads[Arm.BASE]] == [
        (1, 4),
        (2, 8),
        (3, 12),
    ]
    assert last.line() == (
        f"Loop minus frozen LLM so far, at any time: +21.2 points [{low * 100:.1f}".replace(
            "-", "−"
        )
        + f", +{high * 100:.1f}] in the mean accuracy of all answers (12 and 6): "
        "no difference is shown."
    )


def test_a_run_in_progress_claims_only_what_holds_at_any_time(found: Study) -> None:
    def said(status: str) -> str:
        return " ".join(verdict(replace(found, run=replace(found.run, status=status))))

    assert "the loop is better" in said("done")  # by an interval for one look
    going_on = said("active")
    assert "the loop is better" not in going_on and going_on.count("no difference is shown.") == 2
    assert any(
        "hold for one look" in note
        for note in warnings(replace(found, run=replace(found.run, status="active")))
    )


def test_only_a_shown_lead_is_claimed() -> None:
    def line(loop: float, base: float, count: int) -> str:
        outcomes = [
            Outcome(arm, 1, value, True)
            for arm, value in ((Arm.LOOP, loop), (Arm.BASE, base))
            for _ in range(count)
        ]
        return leads(outcomes, 0.1)[Arm.BASE][-1].line()

    assert line(0.9, 0.1, 40).endswith("the loop is ahead in this run.")
    assert line(0.1, 0.9, 40).endswith("the loop is behind in this run.")
    assert line(0.9, 0.1, 2).endswith("no difference is shown.")


def test_answers_count_up_to_the_first_undecided_one() -> None:
    loop = [Outcome(Arm.LOOP, 1, value, True) for value in (0.5, None)]
    waits = Outcome(Arm.LOOP, 1, None, False)
    base = Outcome(Arm.BASE, 1, 0.3, True)
    (lead,) = leads([*loop, base, waits, base], 0.1)[Arm.BASE]
    assert (lead.difference.count, lead.difference.other_count) == (2, 1)
    assert lead.difference.value == pytest.approx(0.3 - 0.3)
    assert leads([waits, *loop, base], 0.1) == {} and leads([*loop, base], None) == {}


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
    assert found.ranking is None and found.comparisons == () and found.leads == {}
    assert "No device reported its energy" in spent_sheet(found.costs).note
