"""The tables of a run's report: sheets of its page with 95% intervals, and CSV files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import product
from operator import attrgetter
from typing import Any

from nngpt.records import Arm, Proxy, Stage, State
from nngpt.reports.analysis.costs import Costs
from nngpt.reports.analysis.genealogy import LineageNode
from nngpt.reports.analysis.pareto import CostedNetwork
from nngpt.reports.analysis.study import Study
from nngpt.reports.analysis.trajectory import CyclePoint
from nngpt.reports.analysis.uplift import AT_CHANCE, LAST
from nngpt.reports.sheets import Row, Sheet
from nngpt.reports.tables.costs import reached_sheet, spent_sheet
from nngpt.reports.tables.runs import (
    CHANGES,
    CHANGES_NOTE,
    HELD_OUT,
    HELD_OUT_NOTE,
    OWN_MEAN_NOTE,
    repairs_of,
)
from nngpt.reports.text import (
    ARM_NAMES,
    accuracy,
    counted,
    decimal,
    duration,
    likelihood,
    percent,
    plural,
    points,
    uncorrected,
)
from nngpt.statistics import Estimate

_COPIES_NOTE = "Or a copy: of a network that trains, not trained again (the papers call it valid)."
_IGNORED_NOTE = "Settings passed over: answers that gave settings, which the protocol has fixed."
_VERDICTS = ("worse", "no evidence", "better")
_CYCLE = (
    "valid± valid_or_copy± settings_ignored "
    "best± mean± median± above_of_trained±=above_trained above_of_written±=above_written "
    "admitted corpus nearest_jaccard_mean±=likeness random_changes repairs repairs_valid "
    "repairs_admitted alarm "
    "held_out_loss_before=held_out_first held_out_loss_after=held_out_last"
)
_FORECAST = (
    "made=forecast.created up_to_cycle=forecast.cycles seconds=forecast.seconds "
    "seconds_low=forecast.low seconds_high=forecast.high "
    "took=actual relative_error=error inside=held why_not=why"
)


def story(study: Study) -> list[Sheet]:
    """Return a run's sheets of cycles, one per arm."""
    return [_story(arm, study.points[arm]) for arm in study.arms]


def refusals(study: Study) -> Sheet | None:
    """Return a run's sheet of refused first answers by cycle and gate; None if none was."""
    cycles = [p for arm in study.arms for p in study.points[arm]]
    stages = [stage for stage in Stage if any(p.refused.get(stage) for p in cycles)]
    if not stages:
        return None
    columns = ("arm", ">cycle", ">written", *(f">{stage}" for stage in stages), ">admitted")
    rows = []
    for p in cycles:
        refused = (p.refused.get(stage, 0) for stage in stages)
        rows.append((ARM_NAMES[p.arm], *map(str, (p.cycle, p.written, *refused, p.admitted))))
    note = "Counts of first answers. Duplicates are exact copies, refused before training."
    return Sheet("Refused by gate", columns, tuple(rows), note)


def reasons(study: Study) -> Sheet | None:
    """Return a run's sheet of the reasons of refusals over all cycles; None without refusals."""
    counts = Counter[tuple[Arm, Stage, str]]()
    for one in study.refusals:
        counts[one.arm, one.stage, one.reason] += one.count
    order = {(arm, stage): n for n, (arm, stage) in enumerate(product(Arm, Stage))}
    ranked = sorted(counts.items(), key=lambda one: (order[one[0][:2]], -one[1], one[0][2]))
    if not ranked:
        return None
    rows = tuple((ARM_NAMES[arm], stage, text, f"{n:,}") for (arm, stage, text), n in ranked)
    note = "First answers over all cycles; … stands for numbers and quoted names."
    return Sheet("Refused, by reason", ("arm", "gate", "reason", ">refused"), rows, note)


def differences(study: Study) -> Sheet | None:
    """Return a run's sheet of differences: loop minus controls, last third minus first."""
    rows = [
        (
            "first third of the loop" if c.other is Arm.LOOP else ARM_NAMES[c.other],
            LAST if c.other is Arm.LOOP else c.span,
            measure,
            points(found),
            _VERDICTS[found.sign + 1],
        )
        for c in study.comparisons
        for measure, found in c.differences.items()
        if found is not None
    ]
    if not rows:
        return None
    chance = study.setting.classes
    note = f"“{AT_CHANCE}” counts an untrained answer as chance, 1/{chance}. " if chance else ""
    note += uncorrected(len(rows))
    columns = ("loop minus", "cycles", "figure", ">difference [95%]", "verdict")
    return Sheet("Differences", columns, tuple(rows), note)


def adapters(study: Study) -> Sheet | None:
    """Return a run's sheet of adapters with their lineage; None if none was trained."""
    if not any(w.adapter for w in study.writers):
        return None
    columns = ("adapter", "trained from", ">pairs", ">loss", ">time", ">wrote", ">valid", ">mean")
    rows = []
    for w in study.writers:
        training = ("–", "–", "–")
        if made := w.adapter:
            losses = f"{made.loss_first:.3f} → {made.loss_last:.3f}"
            training = (f"{made.pairs:,}", losses, duration(made.seconds))
        wrote = (f"{w.wrote:,}", percent(w.valid), accuracy(w.mean))
        rows.append((w.name, w.parent or "older than the run", *training, *wrote))
    return Sheet("Adapters", columns, tuple(rows), "Loss of the first and the last training step.")


def proxy(study: Study) -> Sheet | None:
    """Return a run's sheet of rank correlations of first epoch and full training."""
    found = study.ranking
    if found is None or found.tau is None:
        return None
    every = [("all", found.tau), *((str(cycle), tau) for cycle, tau in found.by_cycle)]
    rows = tuple((name, str(tau.count), decimal(tau)) for name, tau in every)
    note = f"Protocol of the full trainings: {found.protocol}."
    note += f" {plural(found.failed, 'full training')} failed." if found.failed else ""
    note += f" Left out: {found.others:,} by other protocols." if found.others else ""
    if reliable := found.reliability:
        between, within = (f"{100 * x:.1f}" for x in (reliable.between, reliable.within))
        note += (
            f" {plural(reliable.networks, 'network')} trained {reliable.trainings} times each for "
            f"{plural(reliable.epochs, 'epoch')}: standard deviation {between} points between "
            f"networks, {within} between seeds; {reliable.verdict}."
        )
    return Sheet(
        "First epoch and full training", ("cycle", ">candidates", ">τ-b [95%]"), rows, note
    )


def fronts(study: Study) -> list[Sheet]:
    """Return a run's sheet of the networks on each Pareto front."""
    sheets = []
    for found in study.fronts:
        title = f"Pareto front of accuracy against {found.cost.split(',')[0]}"
        columns = (">attempt", "arm", f">{found.cost}", ">accuracy [95%]", "admitted")
        sheets.append(Sheet(title, columns, tuple(map(_on_front, found.front))))
    return sheets


def _on_front(network: CostedNetwork) -> tuple[str, ...]:
    cost = f"{network.cost:,.0f}" if network.cost >= 100 else f"{network.cost:.2f}"
    admitted = "yes" if network.admitted else "no"
    arm = ARM_NAMES[network.arm]
    return f"#{network.attempt}", arm, cost, accuracy(network.accuracy), admitted


def costs(study: Study) -> list[Sheet]:
    """Return a run's sheets of time and energy by cycle and by accuracy, and of forecasts."""
    found = study.costs
    if not found.by_cycle:
        return []
    reached = reached_sheet(study.reached)
    return [
        spent_sheet(found),
        *([reached] if reached else []),
        *([_forecasts(found)] if found.forecasts else []),
    ]


def _story(arm: Arm, cycles: tuple[CyclePoint, ...]) -> Sheet:
    repairs, changes = any(p.repairs for p in cycles), arm is not Arm.CORPUS
    changes = changes and any(p.random_changes for p in cycles)
    held_out = any(p.held_out_first is not None for p in cycles)
    copies = any(p.valid_or_copy != p.valid for p in cycles)
    ignored = any(p.settings_ignored for p in cycles)
    columns = (
        *(">cycle", "written by", *([CHANGES] if changes else ())),
        *(">valid", *((">or a copy",) if copies else ())),
        *((">settings passed over",) if ignored else ()),
        *(">best", ">mean", ">median"),
        *(">above threshold, of trained", ">of written", ">admitted"),
        *((">learned from",) if arm is Arm.LOOP else ()),
        *((f">{HELD_OUT}",) if held_out else ()),
        *(("repairs",) if repairs else ()),
    )
    rows = tuple(
        (
            str(p.cycle),
            p.adapter or ("no LLM" if arm is Arm.CORPUS else "base model"),
            *((f"{p.random_changes} of {p.written}",) if changes else ()),
            counted(p.valid),
            *((counted(p.valid_or_copy),) if copies else ()),
            *((str(p.settings_ignored),) if ignored else ()),
            accuracy(p.best),
            accuracy(p.mean),
            accuracy(p.median),
            percent(p.above_trained),
            percent(p.above_written),
            str(p.admitted),
            *((f"{p.corpus:,}" if p.corpus is not None else "–",) if arm is Arm.LOOP else ()),
            *((likelihood(p.held_out_first, p.held_out_last),) if held_out else ()),
            *((repairs_of(p),) if repairs else ()),
        )
        for p in cycles
    )
    modes = ", ".join(dict.fromkeys(p.how for p in cycles))
    notes = [
        *([_COPIES_NOTE] if copies else ()),
        *([_IGNORED_NOTE] if ignored else ()),
        *([OWN_MEAN_NOTE] if any(p.retrained for p in cycles) else ()),
        *([f"{HELD_OUT.capitalize()}: {HELD_OUT_NOTE}"] if held_out else ()),
        *([f"{CHANGES.capitalize()}: {CHANGES_NOTE}"] if changes else ()),
    ]
    return Sheet(f"{ARM_NAMES[arm]}, {modes} mode", columns, rows, " ".join(notes))


def _forecasts(found: Costs) -> Sheet:
    rows = []
    for f in found.forecasts:
        one = f.forecast
        made, seconds = one.created[:16].replace("T", " "), duration(one.seconds)
        expected = f"{seconds} [{duration(one.low)} – {duration(one.high)}]"
        actual = duration(f.actual) if f.actual is not None else f.why
        error = f"{f.error:+.0%}".replace("-", "−") if f.error is not None else "–"
        inside = "–" if f.held is None else "yes" if f.held else "no"
        rows.append((made, str(one.cycles), expected, actual, error, inside))
    columns = ("made", ">up to cycle", ">forecast [95%]", ">actual", ">error", "inside")
    note = "Time from the forecast on; the error is relative to the actual time."
    return Sheet("Forecasts", columns, tuple(rows), note)


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
        "refusals": (_row(one, "arm cycle stage reason count") for one in study.refusals),
        "differences": (
            {"minus": c.other, "cycles": c.span, "measure": measure, **_spread("difference", gap)}
            for c in study.comparisons
            for measure, gap in c.differences.items()
        ),
        "leads": (
            {"minus": lead.other, "cycle": lead.cycle, **_row(lead, "difference±")}
            for found in study.leads.values()
            for lead in found
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
        "proxies": (
            {"score": one.name, "with": end, **_row(ranks, "n tau low high")}
            for one in study.proxies
            for end, ranks in (("first epoch", one.first), ("full training", one.full))
            if ranks is not None
        ),
        "costs": (
            {"cycle": cycle, "activity": activity, "seconds": spent[activity]}
            for cycle, spent in study.costs.by_cycle.items()
            for activity in study.costs.activities
            if activity in spent
        ),
        "reached": (
            _row(one, "level accuracy arm attempt cycle written seconds joules")
            for one in study.reached
        ),
        "forecasts": (_row(outcome, _FORECAST) for outcome in study.costs.forecasts),
    }
    rows = {name: list(some) for name, some in found.items()}
    return {name: some for name, some in rows.items() if some}


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


def _cycle(point: CyclePoint) -> Row:
    head = _row(point, "arm cycle adapter mode=how written open")
    return {**head, "trained": len(point.accuracies), **_row(point, _CYCLE)}


def _networks(study: Study) -> Iterator[Row]:
    attempts = {a.id: a for a in study.attempts}
    rejected, names = _rejected_before(study), tuple(Proxy) if study.proxies else ()
    for p in study.places:
        evaluation, result = attempts[p.attempt].evaluation, attempts[p.attempt].result
        assert evaluation is not None and result is not None
        yield {
            **_row(p, "attempt arm cycle accuracy"),
            "images": result[1],
            "own_accuracy": evaluation.accuracy,
            "parameters": evaluation.claimed_parameters,
            "latency_ms": evaluation.claimed_latency_ms,
            **{str(name): (evaluation.claimed_proxies or {}).get(name) for name in names},
            "admitted": p.admitted,
            "refused_at": p.stage or "",
            "rejected_before": rejected.get(p.attempt),
            "corpus_jaccard": p.corpus.jaccard if p.corpus else None,
            "corpus_nearest": p.corpus.name if p.corpus else "",
            "sibling_jaccard": p.sibling.jaccard if p.sibling else None,
            "sibling_nearest": p.sibling.name if p.sibling else "",
        }


def _rejected_before(study: Study) -> dict[int, int]:
    """Return how many near-duplicates and copies an arm wrote before each admitted network.

    Counted since the admitted one before (the papers' `rejection_count`).
    """
    found: dict[int, int] = {}
    for arm in study.arms:
        rejected = 0
        for a in (a for a in study.of(arm) if not a.repairs):
            if a.state is State.ADMITTED:
                found[a.id], rejected = rejected, 0
            elif a.refusal and a.refusal.stage in (Stage.DUPLICATE, Stage.NOVELTY):
                rejected += 1
    return found


def _adapter(node: LineageNode) -> Row:
    training = ("pairs", "tokens", "loss_first", "loss_last", "seconds", "held_out")
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
