"""The CSV tables of a run's report."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

from nngpt.reports.analysis.study import Study
from nngpt.statistics import Estimate

Row = Mapping[str, Any]


def tables(study: Study) -> dict[str, list[Row]]:
    """Return the non-empty tables by name; shares are fractions of 1."""
    found: dict[str, Iterable[Row]] = {
        "cycles": _cycles(study),
        "gates": _gates(study),
        "differences": _differences(study),
        "networks": _networks(study),
        "front": _front(study),
        "adapters": _adapters(study),
        "confirmations": _confirmations(study),
        "ranking": _ranking(study),
        "costs": _costs(study),
        "forecasts": _forecasts(study),
    }
    rows = {name: list(some) for name, some in found.items()}
    return {name: some for name, some in rows.items() if some}


def csv_text(rows: list[Row]) -> str:
    """Return a table as CSV; texts that look like spreadsheet formulas get an apostrophe."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows([_cell(value) for value in row.values()] for row in rows)
    return file.getvalue()


def _cell(value: object) -> object:
    risky = isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{value}" if risky else value


def _spread(name: str, found: Estimate | None) -> Row:
    """Return an estimate as three columns: value, `_low` and `_high`."""
    if found is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def _cycles(study: Study) -> Iterable[Row]:
    for arm in study.arms:
        for p in study.points[arm]:
            yield {
                "arm": str(arm),
                "cycle": p.cycle,
                "adapter": p.adapter,
                "mode": p.how,
                "written": p.written,
                "open": p.open,
                "trained": len(p.accuracies),
                **_spread("valid", p.valid),
                **_spread("best", p.best),
                **_spread("mean", p.mean),
                **_spread("median", p.median),
                **_spread("above_of_trained", p.above_trained),
                **_spread("above_of_written", p.above_written),
                "admitted": p.admitted,
                "corpus": p.corpus,
                **_spread("nearest_jaccard_mean", p.likeness),
                "repairs": p.repairs,
                "repairs_valid": p.repairs_valid,
                "repairs_admitted": p.repairs_admitted,
                "alarm": p.alarm,
            }


def _gates(study: Study) -> Iterable[Row]:
    for arm, gates in study.funnels.items():
        for gate in gates:
            name = gate.stage or "written"
            yield {
                "arm": str(arm),
                "gate": str(name),
                "left": gate.left,
                **_spread("share", gate.share),
            }


def _differences(study: Study) -> Iterable[Row]:
    for c in study.comparisons:
        for measure, found in c.differences.items():
            yield {
                "minus": str(c.other),
                "cycles": c.span,
                "measure": measure,
                **_spread("difference", found),
            }


def _networks(study: Study) -> Iterable[Row]:
    trained = {a.id: a for a in study.attempts}
    for p in study.places:
        evaluation = trained[p.attempt].evaluation
        assert evaluation is not None
        yield {
            "attempt": p.attempt,
            "arm": str(p.arm),
            "cycle": p.cycle,
            "accuracy": p.accuracy,
            "images": evaluation.epochs[-1].total,
            "parameters": evaluation.claimed_parameters,
            "latency_ms": evaluation.claimed_latency_ms,
            "admitted": p.admitted,
            "refused_at": str(p.stage) if p.stage else "",
            "corpus_jaccard": p.corpus.jaccard if p.corpus else None,
            "corpus_nearest": p.corpus.name if p.corpus else "",
            "sibling_jaccard": p.sibling.jaccard if p.sibling else None,
            "sibling_nearest": p.sibling.name if p.sibling else "",
        }


def _front(study: Study) -> Iterable[Row]:
    for found in study.fronts:
        for w in found.front:
            yield {
                "by": found.cost,
                "attempt": w.attempt,
                "arm": str(w.arm),
                "cost": w.cost,
                **_spread("accuracy", w.accuracy),
                "admitted": w.admitted,
            }


def _adapters(study: Study) -> Iterable[Row]:
    for w in study.writers:
        made = w.adapter
        yield {
            "name": w.name,
            "cycle": w.cycle,
            "parent": w.parent,
            "pairs": made.pairs if made else None,
            "tokens": made.tokens if made else None,
            "loss_first": made.loss_first if made else None,
            "loss_last": made.loss_last if made else None,
            "seconds": made.seconds if made else None,
            "wrote": w.wrote,
            **_spread("valid", w.valid),
            **_spread("mean", w.mean),
        }


def _confirmations(study: Study) -> Iterable[Row]:
    for c in study.ranking.confirmed if study.ranking else ():
        yield {
            "attempt": c.attempt,
            "arm": str(c.arm),
            "cycle": c.cycle,
            **_spread("first_epoch", c.first),
            "epochs": c.epochs,
            **_spread("test", c.full),
        }


def _ranking(study: Study) -> Iterable[Row]:
    found = study.ranking
    if found is None or found.tau is None:
        return
    every: list[tuple[int | str, Estimate]] = [("all", found.tau), *found.by_cycle]
    for cycle, tau in every:
        yield {"cycle": cycle, "candidates": tau.count, **_spread("kendall_tau_b", tau)}


def _costs(study: Study) -> Iterable[Row]:
    found = study.costs
    for cycle, spent in found.by_cycle.items():
        for activity in found.activities:
            if activity in spent:
                yield {"cycle": cycle, "activity": activity, "seconds": spent[activity]}


def _forecasts(study: Study) -> Iterable[Row]:
    for f in study.costs.forecasts:
        yield {
            "made": f.forecast.created,
            "up_to_cycle": f.forecast.cycles,
            "seconds": f.forecast.seconds,
            "seconds_low": f.forecast.low,
            "seconds_high": f.forecast.high,
            "took": f.actual,
            "relative_error": f.error,
            "inside": f.held,
            "why_not": f.why,
        }
