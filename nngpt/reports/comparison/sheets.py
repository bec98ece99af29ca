"""The tables of a comparison, and its words on corpus and judging."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from nngpt.finetuning.compare.records import CHECK
from nngpt.reports.comparison.figures import COPY, ArmResult, ComparisonFigures
from nngpt.reports.sheets import Sheet
from nngpt.reports.text import NONE, accuracy_of, mean_of, point_ends, signed, uncorrected
from nngpt.statistics import Count, Estimate, percent_of


def sheets(found: ComparisonFigures) -> list[Sheet]:
    """Return all tables of a comparison, in reading order."""
    made = [_validity(found), _accuracy(found), _differences(found), _copies(found)]
    made += [_diversity(found), _speed(found), _arms(found)]
    return [sheet for sheet in made if sheet.rows]


def judged_by(result: ArmResult) -> str:
    """Return a sheet's words for how a comparison judged networks."""
    if result.how == CHECK:
        return "a step on noise of every shape"
    return f"an epoch on {result.task}" if result.how else "the contract alone"


def corpus_line(found: ComparisonFigures) -> str:
    """Return a comparison sheet's line on the training corpus; "" without one."""
    corpus = found.corpus
    if corpus is None:
        return ""
    files = ", ".join(f"`{file}`" for file in corpus.files)
    more = f" ({corpus.left_out:,} answers left out: the contract refuses them)"
    return (
        f"Training corpus: {len(corpus.networks):,} distinct networks of {files}, "
        f"sha256 {corpus.digest[:12]}{more if corpus.left_out else ''}."
    )


def _validity(found: ComparisonFigures) -> Sheet:
    rows = []
    for r in found.results:
        shares = (percent_of(*r.fit), _percent(r.runs), _percent(r.distinct))
        refused = ", ".join(f"{stage} {count}" for stage, count in r.refused.items()) or NONE
        arm = r.arm if r.finished else f"{r.arm} *"
        rows.append((arm, r.asked, judged_by(r), *shares, refused))
    columns = ("arm", "prompt for", "judged by", "fit the contract", "run", "distinct")
    note = (
        "Shares of all answers. Run: built, ran forward and trained. Distinct: of those, no exact "
        "copy of an earlier answer of the arm or of an example in the prompt."
    )
    return Sheet("Validity", (*columns, "refused at"), tuple(rows), note)


def _accuracy(found: ComparisonFigures) -> Sheet:
    rows = []
    for result in found.results:
        if of := result.accuracy:
            means = map(_mean, (of.runs, of.distinct, of.everything))
            middle = f"{median(of.runs):.1%}" if of.runs else NONE
            best = accuracy_of(max(of.runs), of.images) if of.runs else NONE
            rows.append((result.arm, result.asked, result.task, *means, middle, best))
    columns = ("arm", "prompt for", "trained on", "mean of those that run", "of the distinct")
    note = (
        "Means with t intervals and the number of networks; best with the Wilson interval over "
        "the validation images (as the best of many, it is biased upwards)."
    )
    more = ("of all, others as chance", ">median", ">best")
    return Sheet("First-epoch accuracy", (*columns, *more), tuple(rows), note)


def _differences(found: ComparisonFigures) -> Sheet:
    rows = []
    for d in found.differences:
        gap = f"{signed(d.found.value)} {point_ends(d.found.interval)}".strip()
        counts = f"{d.found.count} and {d.found.other_count}"
        verdict = NONE
        if d.found.interval is not None:
            verdict = "excludes zero" if d.found.sign else "contains zero"
        rows.append((f"{d.arm} − {d.base}", d.what, d.where, gap, counts, verdict))
    columns = ("arms", "figure", "on", ">difference in points", ">n", "the interval")
    note = f"Shares: Newcombe's interval; means: Welch's t interval. {uncorrected(len(rows))}"
    return Sheet("Differences from the base model", columns, tuple(rows), note)


def _copies(found: ComparisonFigures) -> Sheet:
    names = ("10%", "median", "90%", "max")
    rows = []
    for copies in found.copies:
        shares = (percent_of(*count) for count in (copies.valid, copies.fit, copies.verbatim))
        nearest = (f"{copies.quantiles[q]:.2f}" if copies.quantiles else NONE for q in names)
        rows.append((copies.arm, *shares, *nearest))
    heads = ("arm", "copies among those that run", "among those that fit", "word for word")
    note = (
        f"A copy has an exact Jaccard similarity of ten-token shingles above {COPY:.2f} to the "
        "nearest network of the corpus, all numbers being alike. Word for word: including its "
        "numbers, of those that run. Reproducing a memorised network is no success."
    )
    columns = (*heads, *(f">nearest, {name}" for name in names))
    return Sheet("Copies of the training corpus", columns, tuple(rows), note)


def _diversity(found: ComparisonFigures) -> Sheet:
    rows = []
    for diversity in found.diversity:
        size = str(diversity.networks)
        for name, figure in diversity.figures.items():
            values = map(_estimate, (figure.arm, figure.corpus, figure.ratio))
            rows.append((diversity.arm, name, size, *values))
        for name, count in (("distinct", diversity.distinct), ("not alike", diversity.apart)):
            rows.append((diversity.arm, f"networks {name}", size, percent_of(*count), "", ""))
    columns = ("arm", "figure", ">networks", "arm", "training corpus", "ratio")
    note = (
        "Counted in the source: a layer made in a loop counts once. Intervals from random halves. "
        f"Not alike: similarity of at most {COPY:.2f} to every earlier network of the arm."
    )
    return Sheet("Diversity of the networks that run", columns, tuple(rows), note)


def _speed(found: ComparisonFigures) -> Sheet:
    rows = []
    for s in found.speed:
        amounts = (f"{s.samples:,}", f"{s.tokens:,}", f"{s.seconds:,.0f}", f"{s.tokens_per_s:,.1f}")
        rows.append((s.arm, *amounts, percent_of(*s.cut_off)))
    columns = ("arm", ">answers", ">tokens", ">seconds", ">tokens per second")
    return Sheet("Writing", (*columns, "cut off by the limit"), tuple(rows))


def _arms(found: ComparisonFigures) -> Sheet:
    rows = []
    for arm in found.arms:
        lineage = arm.adapter or {}
        who = f"{lineage['name']} (sha256 {str(lineage['sha256'])[:12]})" if lineage else "none"
        template = arm.settings.get("prompt", {}).get("template", "")
        rows.append((arm.name, who, arm.mode, f"{template} {arm.template_hash}"))
    return Sheet("Arms", ("arm", "adapter", "mode", "prompt template"), tuple(rows))


def _percent(count: Count | None) -> str:
    return percent_of(*count) if count else NONE


def _mean(values: Sequence[float]) -> str:
    return f"{mean_of(values)} (n {len(values)})" if values else NONE


def _estimate(found: Estimate | None) -> str:
    if found is None:
        return NONE
    ends = f" [{found.low:.2f}–{found.high:.2f}]" if found.interval else ""
    return f"{found.value:.2f}{ends}"
