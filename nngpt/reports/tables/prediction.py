"""Predictions and proposals as text; console tables of errors and of HPO engines' regret."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table
from yaml import safe_dump

from nngpt.prediction.cross_validation import PredictionErrors
from nngpt.prediction.early_stopping import RULES, Replay
from nngpt.prediction.groups import FEWEST_GROUPS, MeanInterval
from nngpt.prediction.hpo.benchmark import Regret
from nngpt.prediction.hpo.proposal import HPOTask, Proposal
from nngpt.prediction.predictor import Prediction
from nngpt.prediction.targets import epoch_count
from nngpt.reports.attempts import outcome_line
from nngpt.reports.sheets import Sheet
from nngpt.reports.text import NONE
from nngpt.statistics import percent_of


def errors_sheet(found: Sequence[PredictionErrors]) -> Sheet:
    """Return a table of the predictor's errors by split, number of known epochs and method."""
    columns = (
        *("split", "predicted by", ">epochs", ">runs", ">groups", "RMSE", "r", "r within"),
        *("coverage", "width", "few", "stop"),
    )
    rows = []
    for one in found:
        counts = (str(one.epochs), f"{one.runs:,}", str(one.groups))
        width = NONE if one.width is None else f"{one.width:.3f}"
        few = NONE if one.few is None else f"{one.few:.0%}"
        fit = (_interval(one.rmse), f"{one.r:.3f}", f"{one.r_within:.3f}", _interval(one.coverage))
        rows.append((one.split, one.what, *counts, *fit, width, few, _stop(one)))
    note = (
        "95% intervals of RMSE and coverage come from resampling groups; fewer than "
        f"{FEWEST_GROUPS} groups have none. What is called accuracy is the place's metric, which "
        "may be IoU, mAP or BLEU. r within: after "
        "subtraction of each place's means. width: mean width of the 90% intervals. few: share of "
        "groups with less than 80% of their runs inside. stop: median error of the stopping epoch "
        "(coverage and width of its 90% interval)."
    )
    title = "Final accuracy within 50 epochs, predicted for groups that were not learned from"
    return Sheet(title, columns, tuple(rows), note)


def place_sheet(found: Sequence[PredictionErrors]) -> Sheet:
    """Return a table of the predictor's RMSE by place, split and number of known epochs."""
    shown = [one for one in found if one.coverage is not None]
    rows = []
    for place in sorted({place for one in shown for place in one.by_place}):
        cells = (one.by_place.get(place) for one in shown)
        rows.append((place, *(NONE if c is None else f"{c[1]:.3f} (n {c[0]:,})" for c in cells)))
    columns = ("place", *(f">{one.split}, {one.epochs}" for one in shown))
    note = "A place is a task, data set and metric."
    return Sheet("RMSE by place", columns, tuple(rows), note)


def replay_sheet(found: Sequence[Replay]) -> Sheet:
    """Return a table of what early stopping would have saved and lost, a row for each rule."""
    rows = [
        (one.rule, *map(_percent, (one.stopped, one.saved, one.lost)), RULES[one.rule])
        for one in found
    ]
    columns = ("stopped by", ">runs stopped", ">epochs saved", ">best tenth lost", "which is the")
    note = (
        f"{found[0].runs:,} runs of 50 epochs, {found[0].top:,} of them the best tenth of their "
        "place. A run is stopped once what is predicted is below that tenth. 95% intervals from "
        "resampling families; predictions are learned from other families."
    )
    return Sheet("Early stopping, replayed", columns, tuple(rows), note)


CANNOT_SAY = "cannot say"
"""Printed instead of a value whose interval contains nearly everything."""


def regret_sheet(found: Sequence[Regret], folds: str) -> Sheet:
    """Return a table of the HPO engines' regret and RMSE; `folds` is the hash of the folds."""
    rows = []
    for one in found:
        counts = (str(one.epochs), one.engine, str(one.evaluations))
        sizes = (str(one.pools), str(one.components))
        means = (_interval(one.mean), f"{one.share:.0%}", f"{one.macro:.3f}", _interval(one.rmse))
        valid = NONE if one.valid is None else percent_of(one.valid.hits or 0, one.valid.count)
        rows.append((*counts, *sizes, *means, valid))
    columns = (
        *(">epochs", "engine", ">evaluations", ">pools", ">components"),
        *("mean regret", "of random's", "mean of components", "RMSE", "valid"),
    )
    least = {one.epochs: f"{one.least_rmse:.3f} after {epoch_count(one.epochs)}" for one in found}
    note = (
        "A pool has at least 10 recorded trials of one network in one place; the best of the "
        "trials that an engine tries (evaluations) counts. Of one that answers once, these are the "
        "trials nearest to its answer, or to the default configuration if the answer is not valid. "
        "RMSE: root of the mean of (1 − accuracy)², the papers' figure; that of the best trials is "
        f"{', '.join(least.values())}. 95% intervals "
        f"come from resampling near-duplicate components, for {FEWEST_GROUPS} or more; the "
        "surrogate did not learn from the components that it was tested on, but its targets and "
        "sizes were chosen on these folds. valid: answers that follow the schema (Wilson). "
        f"Folds {folds[:12]}."
    )
    title = "Regret: accuracy lost by trying some of each pool's trials"
    return Sheet(title, columns, tuple(rows), note)


def proposal_lines(proposals: Sequence[Proposal], task: HPOTask) -> Iterator[str]:
    """Yield the proposals of an HPO engine as YAML, with comments on what is expected of each."""
    for number, proposal in enumerate(proposals, start=1):
        if number > 1:
            yield "---"  # so that each is a document of its own
        by = proposal.model or proposal.engine
        yield f"# {number}, by {by}{_expected(proposal, task.target)}"
        if proposal.trained is not None:
            yield f"# trained: {outcome_line(proposal.trained)}"
        evaluation = {"epochs": task.epochs, **proposal.settings}
        yield safe_dump({"evaluation": evaluation}, sort_keys=False).rstrip()


def proposals_json(proposals: Sequence[Proposal]) -> list[dict[str, Any]]:
    """Return the proposals of an HPO engine for a script; `trained` only where it is known."""
    facts = [asdict(proposal) for proposal in proposals]
    return [{k: v for k, v in one.items() if (k, v) != ("trained", None)} for one in facts]


def prediction_text(found: Prediction, given: int) -> str:
    """Format a prediction of final accuracy and stopping epoch; `given` is how many were known."""
    best, stop = found.accuracy, found.stop
    used = f"the first {found.epochs} of {epoch_count(given)}" if found.epochs else "no epochs"
    final = CANNOT_SAY if "accuracy" in found.unknown else f"{best.value:.1%}"
    epoch = CANNOT_SAY if "stop" in found.unknown else f"{stop.value:.0f}"
    return (
        f"final accuracy  {final}  90% interval {best.low:.1%} to {best.high:.1%}\n"
        f"stop at epoch   {epoch}  90% interval {stop.low:.0f} to {stop.high:.0f}\n"
        "Final: the best accuracy within 50 epochs. Stop: the first epoch within one point of it. "
        f"Used: {used}."
    )


def prediction_json(found: Prediction) -> dict[str, Any]:
    """Return a prediction for a script; values are None where the predictor cannot say."""
    return asdict(found) | dict.fromkeys(found.unknown)


def card_table(path: str, card: Mapping[str, Any]) -> Table:
    """Return a table of the facts about a predictor's training."""
    table = Table(title=path, show_header=False)
    for name, value in card.items():
        if isinstance(value, Mapping):
            value = "\n".join(f"{key}: {_text(inner)}" for key, inner in value.items())
        table.add_row(name.replace("_", " "), _text(value))
    return table


def _expected(proposal: Proposal, target: float | None) -> str:
    """Return the expected accuracy as the end of a line; "" if unknown."""
    if proposal.accuracy is None:
        return ""
    value, low, high = proposal.accuracy
    text = f": {value:.1%} expected after {epoch_count(proposal.epochs)}"
    text += f", 90% interval {low:.1%} to {high:.1%}"
    if target is not None and high < target:
        text += f"; {target:.1%} is out of reach"
    return text


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {inner}" for key, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _percent(value: MeanInterval) -> str:
    return _interval(value, ".1%")


def _interval(value: MeanInterval | None, form: str = ".3f") -> str:
    if value is None:
        return NONE
    mean, low, high = value
    ends = "" if low is None or high is None else f" [{low:{form}}–{high:{form}}]"
    return f"{mean:{form}}{ends}"


def _stop(one: PredictionErrors) -> str:
    if one.stop_error is None:
        return NONE
    return f"{one.stop_error:.1f} ({one.stop_coverage:.2f}, {one.stop_width:.0f})"
