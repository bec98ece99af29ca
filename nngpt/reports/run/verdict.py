"""The conclusions of a run's report as sentences, and the warnings above them."""

from __future__ import annotations

from collections.abc import Iterator

from nngpt.records import Arm
from nngpt.reports.analysis.study import Study
from nngpt.reports.analysis.trajectory import valid_over_cycles
from nngpt.reports.analysis.uplift import ALL, AT_CHANCE, LAST, MEAN, OVER_TIME, VALID, Comparison
from nngpt.reports.text import ARM_NAMES, accuracy, counted, decimal, percent, plural, points
from nngpt.statistics import Difference, share


def verdict(study: Study) -> list[str]:
    """Return the conclusions of a run's report, shown or not shown, one sentence each."""
    if not study.loop:
        return ["The loop has written nothing yet."]
    found = [
        _what_happened(study),
        *_validity(study),
        *_over_time(study),
        *_controls(study),
        *_novelty(study),
    ]
    return [*found, *_proxy(study)]


def warnings(study: Study) -> list[str]:
    """Return a run report's warnings: unfinished work, early ends, alarms, missing data."""
    run, found = study.run, []
    if run.status == "active":
        found.append("The run is not finished: the figures cover what has been written so far.")
        if study.leads:
            found.append("Intervals hold for one look, after the last cycle, except “at any time”.")
    if waiting := sum(p.open for arm in study.points.values() for p in arm):
        verb = "is" if waiting == 1 else "are"
        found.append(f"{plural(waiting, 'network')} {verb} not judged yet and in no share.")
    if run.ended:
        found.append(f"The run ended before its last cycle: {run.ended}.")
    found += [f"Alarm in cycle {p.cycle}: {p.alarm}." for p in study.loop if p.alarm]
    return [*found, *study.setting.notes]


def _what_happened(study: Study) -> str:
    written, valid, best, admitted = study.totals
    top = f" The best reached {accuracy(best)} on its validation images." if best else ""
    return (
        f"In {plural(len(study.loop), 'cycle')} the loop wrote {plural(written, 'network')} for "
        f"{study.setting.dataset}: {percent(valid)} were built and trained, and {admitted:,} "
        f"admitted.{top}"
    )


def _validity(study: Study) -> Iterator[str]:
    """Tell the mean valid share over cycles, as the papers do."""
    valid, with_copies = valid_over_cycles(study.loop)
    if valid and valid.count > 1:
        text = f"Mean over cycles of the valid share: {percent(valid)}"
        copies = f", {percent(with_copies)} with copies" if with_copies != valid else ""
        yield f"{text}{copies}."


def _over_time(study: Study) -> Iterator[str]:
    comparison = next((c for c in study.comparisons if c.span == OVER_TIME), None)
    if comparison is None:
        yield "There are too few cycles to show a trend."
        return
    for measure, name in ((MEAN, "mean accuracy"), (VALID, "the valid share")):
        found = comparison.differences.get(measure)
        if found is not None:
            change = ("fell", "shows no statistically significant change", "rose")
            span = "From the first to the last third of the cycles"
            yield f"{span}, {name} {change[found.sign + 1]}: {points(found)}."


def _controls(study: Study) -> Iterator[str]:
    if not any(arm is not Arm.LOOP for arm in study.arms):
        yield (
            "No control arm was run: improvement from learning cannot be told apart from chance or "
            "from the corpus."
        )
    for arm in (Arm.BASE, Arm.CORPUS):
        mine = {c.span: c for c in study.comparisons if c.other is arm}
        found = study.leads.get(arm)
        # Intervals for one look would be looked at after each cycle of a run in progress.
        if ALL in mine and not (found and study.run.status == "active"):
            yield _control(mine[ALL], mine.get(LAST))
        if found:
            yield found[-1].line()


def _control(whole: Comparison, last: Comparison | None) -> str:
    against = f"Against the control “{ARM_NAMES[whole.other]}”"
    measure = AT_CHANCE if whole.differences.get(AT_CHANCE) else MEAN
    found = whole.differences.get(measure)
    if found is None:
        return f"{against} there is nothing to compare: one side has trained no network."
    what = "mean accuracy of " + ("all answers" if measure == AT_CHANCE else "the trained")
    text = f"{against} {_outcome(found)}: {what} {points(found)}"
    late = last.differences.get(measure) if last else None
    if late is not None:
        text += f"; in the last third {_outcome(late)}, {points(late)}"
    trained = whole.differences.get(MEAN)
    if measure == AT_CHANCE and trained and trained.sign != found.sign:
        text += f". Among the trained alone it is {points(trained)}, "
        text += "which an arm can raise by failing on hard cases"
    return f"{text}."


def _outcome(found: Difference) -> str:
    words = ("the loop is worse", "there is no evidence of a difference", "the loop is better")
    return words[found.sign + 1]


def _novelty(study: Study) -> Iterator[str]:
    mine = [p for p in study.places if p.arm is Arm.LOOP and p.corpus is not None]
    near = sum(p.corpus is not None and p.corpus.jaccard > study.setting.likeness for p in mine)
    if mine:
        yield (
            f"Of the loop's trained networks, {counted(share(near, len(mine)))} are "
            f"near-duplicates of the corpus (Jaccard above {study.setting.likeness:g})."
        )


def _proxy(study: Study) -> Iterator[str]:
    found = study.ranking
    if found is None:
        return
    tau, trainings = found.tau, plural(len(found.confirmed), "full training")
    if tau is None:
        yield f"{trainings}: too few, or too equal, to judge how well the first epoch ranks."
        return
    outcome = (
        "ranks networks in the opposite order to full training",
        "shows no evidence of ranking networks as full training does",
        "ranks networks as full training does more often than chance would",
    )[tau.sign + 1]
    yield f"The first epoch {outcome}: τ-b {decimal(tau)}, {trainings}."
