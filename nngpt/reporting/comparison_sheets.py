"""The figures of a comparison as tables, Markdown and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from rich.table import Table

from nngpt.comparison.figures import COPY, Accuracy, Cell, Figures, Mean, Share
from nngpt.comparison.records import CHECK, ArmFacts
from nngpt.comparison.spread import Estimate
from nngpt.reporting.intervals import accuracy_of, percent_of
from nngpt.reporting.sheets import Sheet, markdown_table, rich_table


def sheets(found: Figures) -> list[Sheet]:
    """All tables, in the order in which they are read."""
    made = [_validity(found), _accuracy(found), _differences(found), _copies(found)]
    made += [_diversity(found), _speed(found), _arms(found)]
    return [sheet for sheet in made if sheet.rows]


def tables(made: Iterable[Sheet]) -> list[Table]:
    """For a terminal."""
    return [rich_table(sheet) for sheet in made]


def markdown(found: Figures) -> str:
    """A section of documentation: what was compared, on what, and all tables."""
    return "\n".join([*head(found), "", *map(markdown_table, sheets(found))])


def everything(found: Figures) -> dict[str, Any]:
    """For a script: all figures, with intervals."""
    values: dict[str, Any] = asdict(found)
    for cell, data in zip(found.cells, values["cells"], strict=True):
        data |= {key: _share(getattr(cell, key)) for key in ("fit", "runs", "distinct")}
        if data["accuracy"]:
            del data["accuracy"]["all_values"]
    for copies, data in zip(found.copies, values["copies"], strict=True):
        data |= {key: _share(getattr(copies, key)) for key in ("valid", "fit")}
    for diversity, data in zip(found.diversity, values["diversity"], strict=True):
        data |= {key: _share(getattr(diversity, key)) for key in ("distinct", "apart")}
    for speed, data in zip(found.speed, values["speed"], strict=True):
        data |= {"cut_off": _share(speed.cut_off), "tokens_per_s": speed.tokens_per_s}
    if found.corpus:
        values["corpus"]["networks"] = len(found.corpus.networks)
    return values


def head(found: Figures) -> Iterator[str]:
    """What was compared, when, where and how, in lines of Markdown."""
    yield "## " + title(found)
    yield ""
    for session in found.sessions[-1:]:
        yield f"{session.started[:10]}, {machine_line(session.machine)}."
    if len({machine_line(s.machine) for s in found.sessions}) > 1:
        others = {machine_line(s.machine) for s in found.sessions[:-1]}
        yield f"Begun on {'; '.join(sorted(others))}."
    yield ""
    yield "```console"
    for command in dict.fromkeys(s.command for s in found.sessions):
        yield f"$ {command}"
    yield "```"
    yield ""
    if found.corpus:
        yield corpus_line(found)
        yield ""
    yield "Raw: nothing was repaired. All intervals are 95%."
    for note in notes(found):
        yield ""
        yield note


def title(found: Figures) -> str:
    """The arms in a line."""
    return "Comparison: " + ", ".join(arm.name for arm in found.arms)


def machine_line(machine: Mapping[str, Any]) -> str:
    """Processor, cores, GPU and versions."""
    gpu = machine["gpu"] or "no GPU"
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return f"{machine['cpu']}, {machine['cores']} cores, {gpu}; {versions}"


def corpus_line(found: Figures) -> str:
    """What copies are looked for in."""
    corpus = found.corpus
    assert corpus is not None
    files = ", ".join(f"`{file}`" for file in corpus.files)
    more = f" ({corpus.left_out:,} answers left out: the contract refuses them)"
    return (
        f"Training corpus: {len(corpus.networks):,} distinct networks of {files}, "
        f"sha256 {corpus.digest[:12]}{more if corpus.left_out else ''}."
    )


def notes(found: Figures) -> Iterator[str]:
    """What a reader must know: no base, other settings, something unfinished."""
    first = next((arm for arm in found.arms if arm.is_base), None)
    if first is None:
        yield "No arm is the frozen base, so nothing here says what learning changed."
    for arm in found.arms:
        changed = _deviations(first or found.arms[0], arm)
        if changed:
            whose = (first or found.arms[0]).name
            yield f"{arm.name} deviates from {whose}: {', '.join(changed)}."
    if any(not cell.finished for cell in found.cells):
        yield "Not finished: rows marked with * count only what has been judged so far."
    counts = {cell.fit.total for cell in found.cells}
    if counts and min(counts) < 100:
        yield f"Fewer than 100 samples in a cell (the fewest: {min(counts)})."


def _deviations(first: ArmFacts, arm: ArmFacts) -> list[str]:
    changed = list(_changes(first.settings, arm.settings, ""))
    other = first.template_hash != arm.template_hash
    if other and not any(change.startswith("prompt.") for change in changed):
        changed.append(f"prompt {arm.template_hash} instead of {first.template_hash}")
    return changed


def _changes(old: Any, new: Any, path: str) -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from _changes(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif old != new:
        yield f"{path} {new} instead of {old}"


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
            *(f"{copies.quantiles[q]:.2f}" if copies.quantiles else "–" for q in _QUANTILES),
        )
        for copies in found.copies
    ]
    return Sheet(
        "Copies of the training corpus",
        _COPIES,
        tuple(rows),
        f"A copy: exact Jaccard similarity of ten-token runs above {COPY:.2f} to the nearest "
        "network of the corpus. A memorised network is no success.",
    )


_QUANTILES = ("10%", "median", "90%", "max")
_COPIES = (
    "arm",
    "copies among those that run",
    "among those that fit",
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


def _share(share: Share | None) -> dict[str, Any] | None:
    if share is None:
        return None
    value = share.hits / share.total if share.total else None
    return {"hits": share.hits, "total": share.total, "share": value, "interval": share.interval}
