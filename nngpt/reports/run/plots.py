"""All figures of a run, in the order in which a page shows them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from nngpt.reports.analysis.study import Study
from nngpt.reports.run import plots_costs as spent
from nngpt.reports.run import plots_cycles as cycles
from nngpt.reports.run import plots_learning as learning
from nngpt.reports.run import plots_networks as networks
from nngpt.reports.run.style import Images, images, rc


@dataclass(frozen=True)
class Plot:
    """A figure with its words.

    Attributes:
        name: of its files.
        title: what it shows.
        caption: how it is to be read.
        missing: why it could not be drawn, "" if it was.
    """

    name: str
    title: str
    caption: str
    images: Images | None
    missing: str = ""


@dataclass(frozen=True)
class _Kind:
    name: str
    title: str
    caption: str
    draw: Callable[[Study], Figure]
    missing: Callable[[Study], str]


def plots(study: Study) -> list[Plot]:
    """Draw every figure that the run has something for."""
    with rc():
        return [_plot(kind, study) for kind in _KINDS]


def _plot(kind: _Kind, study: Study) -> Plot:
    missing = kind.missing(study)
    drawn = None if missing else images(kind.draw(study), kind.name)
    return Plot(kind.name, kind.title, kind.caption, drawn, missing)


def _nothing_written(study: Study) -> str:
    return "" if any(study.points.values()) else "Nothing has been written yet."


def _nothing_settled(study: Study) -> str:
    return "" if any(study.funnels.values()) else "No network is settled yet."


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
    return "There is nothing to compare: no control has written, and there are no two cycles."


def _no_confirmation(study: Study) -> str:
    if study.ranking is not None and study.ranking.confirmed:
        return ""
    return "No candidate has been trained fully, so nothing can be said."


def _no_costs(study: Study) -> str:
    return "" if study.costs.by_cycle else "Nothing was measured."


_KINDS = (
    _Kind(
        "trajectory",
        "The run, cycle by cycle",
        "Whiskers and bands are 95% intervals: Wilson for shares, t for means, order statistics "
        "for medians, and the Wilson interval of its images for the best (the best of many is "
        "partly luck). Dashed: the threshold for admission.",
        cycles.trajectory,
        _nothing_written,
    ),
    _Kind(
        "gates",
        "How many pass each gate",
        "First answers that are settled, counted raw; the number is how many are left after the "
        "gate, the whisker the 95% Wilson interval of their share. What is left after the last "
        "gate was admitted.",
        cycles.gates,
        _nothing_settled,
    ),
    _Kind(
        "controls",
        "Does the loop do better than doing nothing?",
        "Differences with 95% intervals: Newcombe for shares, Welch for means. Of all answers, "
        "one that was not trained counts as chance, so failing where it would be bad helps nobody.",
        learning.controls,
        _no_comparison,
    ),
    _Kind(
        "accuracies",
        "Accuracies",
        "Every trained network after its last epoch, the boxes from five networks on.",
        cycles.distributions,
        _nothing_trained,
    ),
    _Kind(
        "pareto",
        "Accuracy against cost",
        "The line is the front: no cheaper network is as accurate. Its whiskers are 95% Wilson "
        "intervals of the validation images; where they overlap, the order may be luck. Parameters "
        "and latency are what the candidate's own process claimed.",
        networks.pareto,
        _nothing_trained,
    ),
    _Kind(
        "novelty",
        "New, or copied?",
        "Exact Jaccard similarity of runs of tokens to the nearest network of the corpus and to "
        "the nearest that the same arm had trained before, for each trained network (an arm's "
        "first has none before it).",
        networks.novelty,
        _no_sibling,
    ),
    _Kind(
        "adapters",
        "The line of adapters",
        "What each adapter was trained from and on, and what it then wrote. The newest has not "
        "written yet.",
        learning.genealogy,
        _no_adapter,
    ),
    _Kind(
        "proxy",
        "Is the first epoch a fair judge?",
        "Candidates that were trained fully and judged on test images. τ-b is 1 if the first epoch "
        "ranks them the same and 0 if it says nothing; its interval is a percentile bootstrap over "
        "candidates. Thin lines are 95% Wilson intervals.",
        learning.proxy,
        _no_confirmation,
    ),
    _Kind(
        "costs",
        "What it cost",
        "Wall time by what went on at once. A forecast is made before a runner goes on; the cross "
        "is what it took from then on.",
        spent.costs,
        _no_costs,
    ),
)
