"""All figures of a run's report, in page order, with their titles and captions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from nngpt.reports.analysis.study import Study
from nngpt.reports.charts import Plot, images, rc
from nngpt.reports.run.plots import costs, cycles, learning, networks


@dataclass(frozen=True)
class _Kind:
    """A figure that can be drawn for any run that `missing` finds no reason against."""

    name: str
    title: str
    caption: str
    draw: Callable[[Study], Figure]
    missing: Callable[[Study], str]


def plots(study: Study) -> list[Plot]:
    """Draw every figure for which the run has data."""
    with rc():
        return [_plot(kind, study) for kind in _KINDS]


def _plot(kind: _Kind, study: Study) -> Plot:
    missing = kind.missing(study)
    if missing:
        return Plot(kind.name, kind.title, kind.caption, None, missing)
    drawn = images(kind.draw(study), kind.name)
    return Plot(kind.name, kind.title, kind.caption, drawn.svg, images=drawn)


def _nothing_written(study: Study) -> str:
    return "" if any(study.points.values()) else "Nothing has been written yet."


def _nothing_settled(study: Study) -> str:
    return "" if any(study.funnels.values()) else "No candidate has been admitted or refused yet."


def _nothing_trained(study: Study) -> str:
    return "" if study.places else "No network has been trained."


def _no_sibling(study: Study) -> str:
    if any(p.sibling for p in study.places):
        return ""
    return "Fewer than two networks of an arm have been trained."


def _no_adapter(study: Study) -> str:
    return "" if any(w.adapter for w in study.writers) else "The run has trained no adapter."


def _no_comparison(study: Study) -> str:
    if any(found for c in study.comparisons for found in c.differences.values()):
        return ""
    return "Nothing to compare: no control arm has written, and there are fewer than two cycles."


def _no_confirmation(study: Study) -> str:
    if study.ranking is not None and study.ranking.confirmed:
        return ""
    return "No candidate has been trained to completion, so there is nothing to compare."


def _no_costs(study: Study) -> str:
    return "" if study.costs.by_cycle else "Nothing was measured."


_KINDS = (
    _Kind(
        "trajectory",
        "The run, cycle by cycle",
        "Whiskers and bands are 95% intervals: Wilson for shares, t for means, order statistics "
        "for medians, and Wilson over the validation images for the best (which is the best of "
        "many, so partly luck). Dashed: admission threshold.",
        cycles.trajectory,
        _nothing_written,
    ),
    _Kind(
        "gates",
        "Candidates left after each gate",
        "First answers that were admitted or refused, before any repair. Numbers count those left "
        "after the gate; whiskers are 95% Wilson intervals of their share. Those left after the "
        "last gate were admitted.",
        cycles.gates,
        _nothing_settled,
    ),
    _Kind(
        "controls",
        "The loop against its controls and its own beginning",
        "Differences with 95% intervals: Newcombe for shares, Welch for means. In “all answers”, "
        "an untrained answer counts as chance, so failing on hard cases does not help an arm.",
        learning.controls,
        _no_comparison,
    ),
    _Kind(
        "accuracies",
        "Accuracies",
        "Every trained network after its last epoch; boxes are drawn for five networks or more.",
        cycles.distributions,
        _nothing_trained,
    ),
    _Kind(
        "pareto",
        "Accuracy against cost",
        "The line is the Pareto front: no cheaper network is as accurate. Its whiskers are 95% "
        "Wilson intervals over the validation images; where they overlap, the order may be luck. "
        "Parameters and latency are as reported by the candidate's own process.",
        networks.pareto,
        _nothing_trained,
    ),
    _Kind(
        "novelty",
        "Novelty",
        "For each trained network, the exact Jaccard similarity of token shingles to the nearest "
        "network of the corpus and to the nearest one that the same arm had trained before. The "
        "first network of an arm has no predecessor.",
        networks.novelty,
        _no_sibling,
    ),
    _Kind(
        "adapters",
        "Adapters and their lineage",
        "Which adapter each one was trained from, on how many pairs, and what it then wrote. The "
        "newest has not written yet.",
        learning.genealogy,
        _no_adapter,
    ),
    _Kind(
        "proxy",
        "First epoch against full training",
        "Candidates that were trained to completion and judged on test images. τ-b is 1 if the "
        "first epoch ranks them the same and 0 if it is uninformative; its interval is a "
        "percentile bootstrap over candidates. Thin lines are 95% Wilson intervals.",
        learning.proxy,
        _no_confirmation,
    ),
    _Kind(
        "costs",
        "Time and energy",
        "Wall time by activity; overlapping activities form a category of their own. A forecast is "
        "made before the run continues; the cross marks the time actually taken from then on.",
        costs.costs,
        _no_costs,
    ),
)
