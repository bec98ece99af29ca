"""All figures of a run's report, in page order, with their titles and captions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from nngpt.reports.analysis.study import Study
from nngpt.reports.charts import Plot, image_files, page_svg, rc
from nngpt.reports.run.plots import cycles, learning, networks


@dataclass(frozen=True)
class _Kind:
    """A figure that is drawn for every run with data for it; `missing` says what lacks."""

    name: str
    title: str
    caption: str
    draw: Callable[[Study], Figure]
    has_data: Callable[[Study], bool]
    missing: str


def plots(study: Study) -> list[Plot]:
    """Draw every figure of a run's report for which the run has data."""
    with rc():
        return [_plot(kind, study) for kind in KINDS]


def _plot(kind: _Kind, study: Study) -> Plot:
    if not kind.has_data(study):
        return Plot(kind.name, kind.title, kind.caption, None, kind.missing)
    figure = kind.draw(study)
    svg = page_svg(figure, kind.name)
    files = image_files(figure, kind.name)
    return Plot(kind.name, kind.title, kind.caption, svg, files=files)


KINDS = (
    _Kind(
        "trajectory",
        "The run, cycle by cycle",
        "Whiskers and bands are 95% intervals: Wilson for shares, t for means, order statistics "
        "for medians, and Wilson over the validation images for the best (which is the best of "
        "many, so partly luck). Dashed: admission threshold.",
        cycles.trajectory,
        lambda study: any(study.points.values()),
        "Nothing has been written yet.",
    ),
    _Kind(
        "gates",
        "Candidates left after each gate",
        "First answers that were admitted or refused, before any repair. Numbers count those left "
        "after the gate; whiskers are 95% Wilson intervals of their share. Those left after the "
        "last gate were admitted.",
        cycles.gates,
        lambda study: any(study.funnels.values()),
        "No candidate has been admitted or refused yet.",
    ),
    _Kind(
        "controls",
        "The loop against its controls and its own beginning",
        "Differences with 95% intervals: Newcombe for shares, Welch for means. In “all answers”, "
        "an untrained answer counts as chance, so failing on hard cases does not help an arm.",
        learning.controls,
        lambda study: any(d for c in study.comparisons for d in c.differences.values()),
        "Nothing to compare: no control arm has written, and there are too few cycles.",
    ),
    _Kind(
        "leads",
        "The loop against its controls so far",
        "Mean accuracy of all answers so far, loop minus control, an untrained answer as chance. "
        "The intervals of a control are a 95% confidence sequence: with a probability of 95% or "
        "more, all of them cover what they estimate, so that looking, and stopping, at any time is "
        "fair. They are wider than an interval for one look.",
        learning.leads,
        lambda study: bool(study.leads),
        "Nothing to compare: no control arm has a decided answer.",
    ),
    _Kind(
        "accuracies",
        "Accuracies",
        "Every trained network after its last epoch; boxes are drawn for five networks or more.",
        cycles.distributions,
        lambda study: bool(study.places),
        "No network has been trained.",
    ),
    _Kind(
        "pareto",
        "Accuracy against cost",
        "The line is the Pareto front: no cheaper network is as accurate. Its whiskers are 95% "
        "Wilson intervals over the validation images; where they overlap, the order may be luck. "
        "Parameters and latency are as reported by the candidate's own process.",
        networks.pareto,
        lambda study: bool(study.fronts),
        "No network whose size is known has been trained.",
    ),
    _Kind(
        "novelty",
        "Novelty",
        "For each trained network, the exact Jaccard similarity of token shingles to the nearest "
        "network of the corpus and to the nearest one that the same arm had trained before. The "
        "first network of an arm has no predecessor.",
        networks.novelty,
        lambda study: any(p.sibling for p in study.places),
        "Fewer than two networks of an arm have been trained.",
    ),
    _Kind(
        "adapters",
        "Adapters and their lineage",
        "Which adapter each one was trained from, on how many pairs, and what it then wrote. The "
        "newest has not written yet.",
        learning.genealogy,
        lambda study: any(w.adapter for w in study.writers),
        "The run has trained no adapter.",
    ),
    _Kind(
        "proxy",
        "First epoch against full training",
        "Candidates that were trained to completion and judged on test images. τ-b is 1 if the "
        "first epoch ranks them the same and 0 if it is uninformative; its interval is a "
        "percentile bootstrap over candidates. Thin lines are 95% Wilson intervals.",
        networks.proxy,
        lambda study: study.ranking is not None and bool(study.ranking.confirmed),
        "No candidate has been trained to completion, so there is nothing to compare.",
    ),
    _Kind(
        "costs",
        "Time and energy",
        "Wall time by activity; overlapping activities form a category of their own. A forecast is "
        "made before the run continues; the cross marks the time actually taken from then on.",
        cycles.costs,
        lambda study: bool(study.costs.by_cycle),
        "Nothing was measured.",
    ),
)
