"""The front of a search for several objectives as facts, as a table and as a figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nngpt import statistics
from nngpt.reports.network_folder.contents import Contents, judged_95
from nngpt.reports.sheets import Sheet
from nngpt.reports.text import NONE, amount

if TYPE_CHECKING:
    from nngpt.reports.charts import Plot

_FACTS = ("content_hash", "validation", "test", "claimed_parameters", "claimed_latency_ms")
_AXES = {
    "parameters": "trainable parameters",
    "latency": "latency of one image, ms",
    "macs": "multiplications with addition, one image",
}
"""Label of the axis of each objective beside accuracy."""


def front_facts(contents: Contents) -> list[dict[str, Any]]:
    """Return the front as facts about each network for a script, this network first."""
    return [
        {"folder": folder, "title": one.origin.title, "claimed_macs": _macs(one)}
        | {name: one.facts[name] for name in _FACTS}
        for folder, one in _networks(contents).items()
    ]


def front_sheet(contents: Contents) -> Sheet:
    """Return the front as a table, this network first."""
    assert contents.front is not None
    rows = []
    for folder, one in _networks(contents).items():
        package, macs = one.package, _macs(one)
        ms = package.claimed_latency_ms
        rows.append(
            (
                folder or f"{one.origin.title} (this folder)",
                judged_95(*package.validation),
                judged_95(*one.answers.judged),
                f"{package.claimed_parameters:,}",
                NONE if macs is None else amount(macs),
                NONE if ms is None else f"{ms:.2f} ms",
            )
        )
    heads = ("network", ">validation accuracy [95%]", ">test accuracy [95%]", ">parameters")
    names = contents.front.objectives
    note = (
        "No network of the front is better than another in everything, by validation images. "
        "Each answered the test images once; that column chose nothing. The choice is yours: make "
        "it by the test images, and they are no longer an honest estimate. MACs (multiplications "
        "with addition) and latency are of one image; the networks' own processes counted them."
    )
    title = f"Front of {', '.join(names[:-1])} and {names[-1]}"
    return Sheet(title, (*heads, ">MACs", ">latency"), tuple(rows), note)


def front_plot(contents: Contents) -> Plot:
    """Draw the front: validation accuracy against each cost that is an objective."""
    from matplotlib.figure import Figure

    from nngpt.reports import charts

    assert contents.front is not None
    costs = [name for name in contents.front.objectives if name in _AXES]
    with charts.rc():
        figure = Figure(figsize=(10, 3.8), layout="constrained")
        panels = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
        looks = []
        for number, (folder, one) in enumerate(_networks(contents).items()):
            looks.append(charts.numbered_look(folder or "this network", number))
            correct, total = one.package.validation
            found = statistics.accuracy(correct / total, total)
            for axes, name in zip(panels, costs, strict=True):
                if cost := _costs(one)[name]:
                    charts.whiskers(axes, [cost], [found], looks[-1], line=False)
        for axes, name in zip(panels, costs, strict=True):
            charts.cost_axis(axes, large=name != "latency")
            axes.set_xlabel(_AXES[name])
            charts.percent_axis(axes)
            axes.tick_params(labelleft=True)
        charts.within_bounds(panels[0])
        panels[0].set_ylabel("validation accuracy")
        charts.top_legend(figure, [look.handle(ls="none") for look in looks], columns=1)
        caption = "Whiskers are 95% Wilson intervals over the validation images."
        return charts.Plot("front", "The front", caption, charts.page_svg(figure, "front"))


def _networks(contents: Contents) -> Mapping[str, Contents]:
    """Return the networks of the front by folder, this one first, as ""."""
    assert contents.front is not None
    return {"": contents, **contents.front.others}


def _costs(contents: Contents) -> dict[str, float | None]:
    package = contents.package
    known = (package.claimed_parameters, package.claimed_latency_ms, _macs(contents))
    return dict(zip(_AXES, known, strict=True))


def _macs(contents: Contents) -> int | None:
    flops = contents.package.claimed_flops
    return None if flops is None else flops // 2
