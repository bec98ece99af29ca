"""The CSV tables of a run's report."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Any

from nngpt.reports.analysis.genealogy import LineageNode
from nngpt.reports.analysis.study import Study
from nngpt.reports.analysis.trajectory import CyclePoint
from nngpt.statistics import Estimate

Row = Mapping[str, Any]


def tables(study: Study) -> dict[str, list[Row]]:
    """Return a run's non-empty tables for CSV files by name; shares are fractions of 1."""
    points = [p for arm in study.arms for p in study.points[arm]]
    found: dict[str, Iterable[Row]] = {
        "cycles": map(_cycle, points),
        "gates": (
            {"arm": arm, "gate": gate.stage or "written", **_row(gate, "left share±")}
            for arm, gates in study.funnels.items()
            for gate in gates
        ),
        "differences": (
            {"minus": c.other, "cycles": c.span, "measure": measure, **_spread("difference", gap)}
            for c in study.comparisons
            for measure, gap in c.differences.items()
        ),
        "networks": _networks(study),
        "front": (
            {"by": front.cost, **_row(network, "attempt arm cost accuracy± admitted")}
            for front in study.fronts
            for network in front.front
        ),
        "adapters": map(_adapter, study.writers),
        "confirmations": (
            _row(one, "attempt arm cycle first_epoch±=first epochs test±=full")
            for one in (study.ranking.confirmed if study.ranking else ())
        ),
        "ranking": _ranking(study),
        "costs": (
            {"cycle": cycle, "activity": activity, "seconds": spent[activity]}
            for cycle, spent in study.costs.by_cycle.items()
            for activity in study.costs.activities
            if activity in spent
        ),
        "forecasts": (_row(outcome, _FORECAST) for outcome in study.costs.forecasts),
    }
    rows = {name: list(some) for name, some in found.items()}
    return {name: some for name, some in rows.items() if some}


def csv_text(rows: list[Row]) -> str:
    """Return a run's table as CSV; texts like spreadsheet formulas get an apostrophe."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows([_cell(value) for value in row.values()] for row in rows)
    return file.getvalue()


def _cell(value: object) -> object:
    risky = isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{value}" if risky else value


def _row(found: object, columns: str) -> dict[str, Any]:
    """Return attributes as columns, given as `name` or `name=attribute`; `±` marks an estimate."""
    row: dict[str, Any] = {}
    for column in columns.split():
        name, _, attribute = column.partition("=")
        stem = name.removesuffix("±")
        value = attrgetter(attribute or stem)(found)
        row |= {name: value} if name == stem else _spread(stem, value)
    return row


def _spread(name: str, found: Estimate | None) -> Row:
    if found is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


_CYCLE = (
    "valid± best± mean± median± above_of_trained±=above_trained above_of_written±=above_written "
    "admitted corpus nearest_jaccard_mean±=likeness repairs repairs_valid repairs_admitted alarm"
)
_FORECAST = (
    "made=forecast.created up_to_cycle=forecast.cycles seconds=forecast.seconds "
    "seconds_low=forecast.low seconds_high=forecast.high "
    "took=actual relative_error=error inside=held why_not=why"
)


def _cycle(point: CyclePoint) -> Row:
    head = _row(point, "arm cycle adapter mode=how written open")
    return {**head, "trained": len(point.accuracies), **_row(point, _CYCLE)}


def _networks(study: Study) -> Iterator[Row]:
    evaluations = {a.id: a.evaluation for a in study.attempts}
    for p in study.places:
        evaluation = evaluations[p.attempt]
        assert evaluation is not None
        yield {
            **_row(p, "attempt arm cycle accuracy"),
            "images": evaluation.epochs[-1].total,
            "parameters": evaluation.claimed_parameters,
            "latency_ms": evaluation.claimed_latency_ms,
            "admitted": p.admitted,
            "refused_at": p.stage or "",
            "corpus_jaccard": p.corpus.jaccard if p.corpus else None,
            "corpus_nearest": p.corpus.name if p.corpus else "",
            "sibling_jaccard": p.sibling.jaccard if p.sibling else None,
            "sibling_nearest": p.sibling.name if p.sibling else "",
        }


def _adapter(node: LineageNode) -> Row:
    training = ("pairs", "tokens", "loss_first", "loss_last", "seconds")
    return {
        **_row(node, "name cycle parent"),
        **{name: getattr(node.adapter, name, None) for name in training},
        **_row(node, "wrote valid± mean±"),
    }


def _ranking(study: Study) -> Iterator[Row]:
    found = study.ranking
    if found is None or found.tau is None:
        return
    every: list[tuple[int | str, Estimate]] = [("all", found.tau), *found.by_cycle]
    for cycle, tau in every:
        yield {"cycle": cycle, "candidates": tau.count, **_spread("kendall_tau_b", tau)}
