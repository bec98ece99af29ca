"""The figures of a comparison as tables, Markdown and JSON."""

from __future__ import annotations

from nngpt.finetuning.compare.records import CHECK
from nngpt.reports.comparison.figures import COPY, Accuracy, Cell, Figures, Mean, Share
from nngpt.reports.comparison.spread import Estimate
from nngpt.reports.sheets import Sheet
from nngpt.statistics import accuracy_of, percent_of


def sheets(found: Figures) -> list[Sheet]:
    """All tables, in the order in which they are read."""
    made = [_validity(found), _accuracy(found), _differences(found), _copies(found)]
    made += [_diversity(found), _speed(found), _arms(found)]
    return [sheet for sheet in made if sheet.rows]


def _validity(found: Figures) -> Sheet:
    rows = [
        (
            cell.arm + ("" if cell.finished else " *"),
            cell.asked,
            judged_by(cell),
            percent_of(cell.fit.hits, cell.fit.total),
            _percent(cell.runs),
            _percent(cell.distinct),
            ", ".join(f"{stage} {count}" for stage, count in cell.refused.items()) or "–",
        )
        for cell in found.cells
    ]
    return Sheet(
        "Validity",
        ("arm", "asked for", "judged by", "fit the contract", "run", "distinct", "refused at"),
        tuple(rows),
        "Shares of all answers. Run: built, ran forward and trained; distinct: of those, no exact "
        "copy of an earlier answer of the arm or of an example in the prompt.",
    )


def judged_by(cell: Cell) -> str:
    """How the networks of a cell were judged."""
    if cell.how == CHECK:
        return "a step on noise of every shape"
    return f"an epoch on {cell.task}" if cell.how else "the contract alone"


def _accuracy(found: Figures) -> Sheet:
    rows = [
        (
            cell.arm,
            cell.asked,
            cell.task,
            _mean(cell.accuracy.runs),
            _mean(cell.accuracy.distinct),
            _mean(cell.accuracy.all),
            "–" if cell.accuracy.median is None else f"{cell.accuracy.median:.1%}",
            _best(cell.accuracy),
        )
        for cell in found.cells
        if cell.accuracy
    ]
    return Sheet(
        "First-epoch accuracy",
        _ACCURACY,
        tuple(rows),
        "Means with t intervals and the number of networks; best with the Wilson interval over "
        "the validation images (it is the best of many, so it flatters).",
    )


_ACCURACY = (
    "arm",
    "asked for",
    "trained on",
    "mean of those that run",
    "of the distinct",
    "of all, others as chance",
    ">median",
    ">best",
)


def _differences(found: Figures) -> Sheet:
    rows = [
        (
            f"{d.arm} − {d.base}",
            d.what,
            d.where,
            _points(d.difference, d.interval),
            f"{d.n} and {d.base_n}",
            _verdict(d.interval),
        )
        for d in found.differences
    ]
    return Sheet(
        "Differences from the frozen base",
        ("arms", "what", "on", ">difference in points", ">n", "the interval"),
        tuple(rows),
        "Shares: Newcombe's interval; means: Welch's t interval.",
    )


def _copies(found: Figures) -> Sheet:
    rows = [
        (
            copies.arm,
            percent_of(copies.valid.hits, copies.valid.total),
            percent_of(copies.fit.hits, copies.fit.total),
            percent_of(copies.verbatim.hits, copies.verbatim.total),
            *(f"{copies.quantiles[q]:.2f}" if copies.quantiles else "–" for q in _QUANTILES),
        )
        for copies in found.copies
    ]
    return Sheet(
        "Copies of the training corpus",
        _COPIES,
        tuple(rows),
        f"A copy: exact Jaccard similarity of ten-token runs above {COPY:.2f} to the nearest "
        "network of the corpus, all numbers being alike; word for word: with its numbers, of those "
        "that run. A memorised network is no success.",
    )


_QUANTILES = ("10%", "median", "90%", "max")
_COPIES = (
    "arm",
    "copies among those that run",
    "among those that fit",
    "word for word",
    *(f">nearest, {name}" for name in _QUANTILES),
)


def _diversity(found: Figures) -> Sheet:
    rows = []
    for diversity in found.diversity:
        for name, figure in diversity.figures.items():
            corpus, ratio = figure.corpus, figure.ratio
            values = [_estimate(e) if e else "–" for e in (figure.arm, corpus, ratio)]
            rows.append((diversity.arm, name, str(diversity.networks), *values))
        for name, share in (("distinct", diversity.distinct), ("not alike", diversity.apart)):
            text = percent_of(share.hits, share.total)
            rows.append((diversity.arm, f"networks {name}", str(diversity.networks), text, "", ""))
    return Sheet(
        "Diversity of the networks that run",
        ("arm", "what", ">networks", "arm", "training corpus", "ratio"),
        tuple(rows),
        "As written in the source: a layer that a loop makes counts once. Intervals from random "
        "halves. Not alike: similarity of at most "
        f"{COPY:.2f} to every earlier network of the arm.",
    )


def _speed(found: Figures) -> Sheet:
    rows = [
        (
            speed.arm,
            f"{speed.samples:,}",
            f"{speed.tokens:,}",
            f"{speed.seconds:,.0f}",
            f"{speed.tokens_per_s:,.1f}",
            percent_of(speed.cut_off.hits, speed.cut_off.total),
        )
        for speed in found.speed
    ]
    return Sheet(
        "Writing",
        ("arm", ">answers", ">tokens", ">seconds", ">tokens a second", "cut off by the limit"),
        tuple(rows),
    )


def _arms(found: Figures) -> Sheet:
    rows = []
    for arm in found.arms:
        lineage = arm.adapter or {}
        who = f"{lineage['name']} (sha256 {str(lineage['sha256'])[:12]})" if lineage else "none"
        template = arm.settings.get("prompt", {}).get("template", "")
        rows.append((arm.name, who, arm.mode, f"{template} {arm.template_hash}"))
    return Sheet("Arms", ("arm", "adapter", "mode", "prompt template"), tuple(rows))


def _percent(share: Share | None) -> str:
    return percent_of(share.hits, share.total) if share else "–"


def _mean(mean: Mean) -> str:
    if mean.mean is None:
        return "–"
    half = "" if mean.half_width is None else f" ±{mean.half_width * 100:.1f}"
    return f"{mean.mean:.1%}{half} (n {mean.n})"


def _best(accuracy: Accuracy) -> str:
    return "–" if accuracy.best is None else accuracy_of(accuracy.best, accuracy.images)


def _points(value: float, interval: tuple[float, float] | None) -> str:
    ends = f" [{interval[0] * 100:+.1f}, {interval[1] * 100:+.1f}]" if interval else ""
    return f"{value * 100:+.1f}{ends}"


def _verdict(interval: tuple[float, float] | None) -> str:
    if interval is None:
        return "–"
    return "holds zero" if interval[0] <= 0 <= interval[1] else "excludes zero"


def _estimate(estimate: Estimate) -> str:
    low_high = estimate.interval
    ends = f" [{low_high[0]:.2f}–{low_high[1]:.2f}]" if low_high else ""
    return f"{estimate.value:.2f}{ends}"
