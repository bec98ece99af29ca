"""A run in words made of its numbers; where an interval includes none, that is what they say."""

from __future__ import annotations

from collections.abc import Iterator

from nngpt.records import Arm
from nngpt.reports.analysis.study import Study
from nngpt.reports.analysis.uplift import ALL, AT_CHANCE, LAST, MEAN, OVER_TIME, VALID, Comparison
from nngpt.statistics import Estimate, share

NAMES = {Arm.LOOP: "loop", Arm.BASE: "frozen LLM", Arm.CORPUS: "no LLM"}
"""The arms as a page calls them."""


def percent(found: Estimate | None) -> str:
    """`78% [73–82]` of a share, `–` of nothing."""
    if found is None:
        return "–"
    if found.low is None or found.high is None:
        return f"{found.value:.0%}"
    return f"{found.value:.0%} [{found.low * 100:.0f}–{found.high * 100:.0f}]"


def counted(found: Estimate | None) -> str:
    """`7/12 = 58% [32–81]`, `–` of nothing."""
    return "–" if found is None else f"{found.hits}/{found.count} = {percent(found)}"


def accuracy(found: Estimate | None) -> str:
    """`91.3% [89.1–93.2]`, without brackets if there is no interval, `–` of nothing."""
    if found is None:
        return "–"
    if found.low is None or found.high is None:
        return f"{found.value:.1%}"
    return f"{found.value:.1%} [{found.low * 100:.1f}–{found.high * 100:.1f}]"


def points(found: Estimate | None) -> str:
    """`+3.1 points [−1.0, +7.2]`, `–` of nothing."""
    if found is None:
        return "–"
    if found.low is None or found.high is None:
        return f"{_signed(found.value)} points"
    return f"{_signed(found.value)} points [{_signed(found.low)}, {_signed(found.high)}]"


def duration(seconds: float) -> str:
    """`3.4 h`, `12 min` or `48 s`."""
    if seconds >= 2 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 120 else f"{seconds:.1f} s"


def verdict(study: Study) -> list[str]:
    """What can be said of the run, in sentences; what cannot, too."""
    if not study.loop:
        return ["The loop has written nothing yet."]
    found = [_what_happened(study), *_over_time(study), *_controls(study), *_novelty(study)]
    return [*found, *_proxy(study)]


def warnings(study: Study) -> list[str]:
    """What a reader must know first: early ends, alarms, and what could not be had."""
    run, found = study.run, []
    if run.status == "active":
        found.append("The run is not finished: these figures are of what has been written so far.")
    if waiting := sum(p.open for arm in study.points.values() for p in arm):
        found.append(f"{waiting:,} networks are not judged yet; no share counts them.")
    if run.ended:
        found.append(f"The run ended before its last cycle: {run.ended}.")
    found += [f"Alarm in cycle {p.cycle}: {p.alarm}." for p in study.loop if p.alarm]
    return [*found, *study.setting.notes]


def _signed(value: float) -> str:
    return f"{value * 100:+.1f}".replace("-", "−")


def _what_happened(study: Study) -> str:
    first = [p for p in study.loop if p.written]
    written = sum(p.written for p in first)
    valid = share(sum(len(p.accuracies) for p in first), written)
    admitted = sum(p.admitted + p.repairs_admitted for p in study.loop)
    best = max((p.best for p in first if p.best), key=lambda e: e.value, default=None)
    cycles = f"{len(study.loop)} cycle" + ("s" if len(study.loop) != 1 else "")
    top = f" The best reached {accuracy(best)} on its validation images." if best else ""
    return (
        f"In {cycles} the loop wrote {written:,} networks for {study.setting.dataset}: "
        f"{percent(valid)} were built and trained, and {admitted:,} were admitted.{top}"
    )


def _over_time(study: Study) -> Iterator[str]:
    comparison = next((c for c in study.comparisons if c.span == OVER_TIME), None)
    if comparison is None:
        yield "There are too few cycles to see a trend."
        return
    for measure, name in ((MEAN, "mean accuracy"), (VALID, "the valid share")):
        found = comparison.differences.get(measure)
        if found is not None:
            change = ("fell", "shows no change that chance could not make", "rose")
            span = "From the first third of its cycles to the last"
            yield f"{span} {name} {change[found.sign + 1]}: {points(found)}."


def _controls(study: Study) -> Iterator[str]:
    if not any(arm is not Arm.LOOP for arm in study.arms):
        yield (
            "No control was run beside it, so nothing here tells what the LLM's learning did from "
            "what time, luck or the corpus did."
        )
    for arm in (Arm.BASE, Arm.CORPUS):
        mine = {c.span: c for c in study.comparisons if c.other is arm}
        if ALL in mine:
            yield _control(mine[ALL], mine.get(LAST))


def _control(whole: Comparison, last: Comparison | None) -> str:
    """The loop against one control over all cycles, then in the last third."""
    against = f"Against the control “{NAMES[whole.other]}”"
    measure = AT_CHANCE if whole.differences.get(AT_CHANCE) else MEAN
    found = whole.differences.get(measure)
    if found is None:
        return f"{against} nothing can be said: one side has trained no network."
    what = "mean accuracy of " + ("all answers" if measure == AT_CHANCE else "the trained")
    said = f"{against} {_said(found)}: {what} {points(found)}"
    late = last.differences.get(measure) if last else None
    if late is not None:
        said += f"; in the last third {_said(late)}, {points(late)}"
    trained = whole.differences.get(MEAN)
    if measure == AT_CHANCE and trained and trained.sign != found.sign:
        said += f". Among the trained alone it is {points(trained)}, which failures can flatter"
    return f"{said}."


def _said(found: Estimate) -> str:
    words = ("the loop is worse", "there is no evidence of a difference", "the loop is better")
    return words[found.sign + 1]


def _novelty(study: Study) -> Iterator[str]:
    mine = [p for p in study.places if p.arm is Arm.LOOP and p.corpus is not None]
    near = sum(p.corpus is not None and p.corpus.jaccard > study.setting.likeness for p in mine)
    if mine:
        yield (
            f"Of the loop's trained networks {counted(share(near, len(mine)))} are near-duplicates "
            f"of the corpus (Jaccard above {study.setting.likeness:g})."
        )


def _proxy(study: Study) -> Iterator[str]:
    found = study.ranking
    if found is None:
        return
    tau, count = found.tau, len(found.confirmed)
    if tau is None or tau.low is None or tau.high is None:
        yield f"{count} full trainings are too few, or too equal, to judge the first epoch by."
        return
    said = (
        "ranks networks the wrong way round, against full training",
        "shows no evidence that it ranks networks as full training does",
        "ranks networks as full training does more often than chance would",
    )[tau.sign + 1]
    numbers = f"τ-b {tau.value:.2f} [{tau.low:.2f}, {tau.high:.2f}], {count} networks"
    yield f"The first epoch {said}: {numbers}."
