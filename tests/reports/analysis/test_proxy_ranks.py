"""Zero-cost proxies in the tables of a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from report_samples import confirm, open_store, study, three_arms

from nngpt.reports.analysis.proxies import proxy_ranks
from nngpt.reports.analysis.study import Study
from nngpt.reports.run.sheets import tables
from nngpt.reports.tables.confirm import proxies_sheet
from nngpt.store import AttemptRecord


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    """A run of 19 trained networks without proxies."""
    with open_store(tmp_path_factory.mktemp("run")) as store:
        run = three_arms(store)
        confirm(store, run)
        yield study(store, run)


def measured(attempt: AttemptRecord) -> AttemptRecord:
    """Give a trained attempt proxies: one as the accuracy, one against it, one for few."""
    if (evaluation := attempt.evaluation) is None:
        return attempt
    known = evaluation.accuracy if attempt.id % 2 else None
    proxies = {"synflow": evaluation.accuracy, "jacob_cov": -evaluation.accuracy}
    evaluation = replace(evaluation, claimed_proxies={**proxies, "grad_norm": known})
    return replace(attempt, evaluation=evaluation)


def test_each_proxy_is_ranked_with_what_the_networks_reached(found: Study) -> None:
    assert found.proxies == () and "proxies" not in tables(found)
    assert "synflow" not in tables(found)["networks"][0]
    attempts = [measured(attempt) for attempt in found.attempts]
    full = {one.attempt: one.full.value for one in found.ranking.confirmed} if found.ranking else {}
    ranks = {one.name: one for one in proxy_ranks(attempts, full)}
    assert list(ranks) == [
        *("first epoch", "parameters", "FLOPs", "synflow", "jacob_cov", "grad_norm"),
    ]
    for name, tau in (("synflow", 1.0), ("jacob_cov", -1.0), ("grad_norm", 1.0)):
        one = ranks[name]
        assert one.first is not None and one.full is not None
        assert one.first.tau == pytest.approx(tau) and one.full.tau == pytest.approx(tau)
    assert ranks["first epoch"].first is None and ranks["parameters"].first is not None
    assert ranks["parameters"].first.tau is None  # all have the same size
    some = sum(a.id % 2 for a in attempts if a.evaluation)
    assert ranks["grad_norm"].first is not None and ranks["grad_norm"].first.n == some


def test_tables_have_proxies_only_where_there_are_any(found: Study) -> None:
    attempts = tuple(measured(attempt) for attempt in found.attempts)
    with_full = replace(found, attempts=attempts, proxies=proxy_ranks(attempts, {}))
    sheet = proxies_sheet(with_full.proxies)
    assert sheet.columns == ("score", ">n", "τ-b with the first epoch")
    row = next(row for row in sheet.rows if row[0] == "synflow")
    assert row[2].startswith("1.00 [") and sheet.rows[0][0] == "parameters"
    rows = tables(with_full)
    assert {"score", "with", "n", "tau", "low", "high"} == rows["proxies"][0].keys()
    assert rows["networks"][0]["synflow"] == rows["networks"][0]["own_accuracy"]
