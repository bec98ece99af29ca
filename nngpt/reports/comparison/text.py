"""A comparison as Markdown for the documentation, and as JSON for a script."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from nngpt.finetuning.compare.records import ArmFacts
from nngpt.reports.comparison.figures import Accuracies, ComparisonFigures, Count
from nngpt.reports.comparison.sheets import sheets
from nngpt.reports.sheets import markdown_table
from nngpt.statistics import Estimate, mean_half_width, median, wilson


def markdown(found: ComparisonFigures) -> str:
    """Return a section of documentation: what was compared, on which machine, and all tables."""
    return "\n".join([*_head(found), "", *map(markdown_table, sheets(found))])


def as_json(found: ComparisonFigures) -> dict[str, Any]:
    """Return all figures with their intervals for a script."""
    values: dict[str, Any] = asdict(found)
    values["cells"] = values.pop("results")
    for result, data in zip(found.results, values["cells"], strict=True):
        data |= {key: _share(getattr(result, key)) for key in ("fit", "runs", "distinct")}
        data["accuracy"] = _accuracy(result.accuracy)
    for copies, data in zip(found.copies, values["copies"], strict=True):
        data |= {key: _share(getattr(copies, key)) for key in ("valid", "fit", "verbatim")}
    for diversity, data in zip(found.diversity, values["diversity"], strict=True):
        data |= {key: _share(getattr(diversity, key)) for key in ("distinct", "apart")}
        data["figures"] = {
            name: {side: _estimate(getattr(figure, side)) for side in ("arm", "corpus", "ratio")}
            for name, figure in diversity.figures.items()
        }
    for difference, data in zip(found.differences, values["differences"], strict=True):
        gap = difference.found
        del data["found"]
        data |= {"n": gap.count, "base_n": gap.other_count}
        data |= {"difference": gap.value, "interval": gap.interval}
    for speed, data in zip(found.speed, values["speed"], strict=True):
        data |= {"cut_off": _share(speed.cut_off), "tokens_per_s": speed.tokens_per_s}
    if found.corpus:
        values["corpus"]["networks"] = len(found.corpus.networks)
    return values


def title(found: ComparisonFigures) -> str:
    """Return a title that names the arms."""
    return "Comparison: " + ", ".join(arm.name for arm in found.arms)


def machines(found: ComparisonFigures) -> list[str]:
    """Return processor, cores, GPU and versions of each machine used."""
    return list(dict.fromkeys(_machine_line(session.machine) for session in found.sessions))


def commands(found: ComparisonFigures) -> list[str]:
    """Return the distinct command lines of the sessions."""
    return list(dict.fromkeys(session.command for session in found.sessions))


def corpus_line(found: ComparisonFigures) -> str:
    """Return what the training corpus consists of, as Markdown; "" without one."""
    corpus = found.corpus
    if corpus is None:
        return ""
    files = ", ".join(f"`{file}`" for file in corpus.files)
    more = f" ({corpus.left_out:,} answers left out: the contract refuses them)"
    return (
        f"Training corpus: {len(corpus.networks):,} distinct networks of {files}, "
        f"sha256 {corpus.digest[:12]}{more if corpus.left_out else ''}."
    )


def notes(found: ComparisonFigures) -> Iterator[str]:
    """Yield what qualifies the figures: no base model, other settings, unfinished work."""
    first = next((arm for arm in found.arms if arm.is_base), None)
    if first is None:
        yield "No arm is the base model, so the effect of learning cannot be seen."
    for arm in found.arms:
        changed = _deviations(first or found.arms[0], arm)
        if changed:
            whose = (first or found.arms[0]).name
            yield f"{arm.name} differs from {whose} in: {', '.join(changed)}."
    if any(not result.finished for result in found.results):
        yield "Not finished: rows marked with * count only what has been judged so far."
    counts = {result.fit[1] for result in found.results}
    if counts and min(counts) < 100:
        yield f"Fewer than 100 samples in a cell (the fewest: {min(counts)})."


def _head(found: ComparisonFigures) -> Iterator[str]:
    yield "## " + title(found)
    yield ""
    for session in found.sessions[-1:]:
        yield f"{session.started[:10]}, {_machine_line(session.machine)}."
    if len(machines(found)) > 1:
        others = {_machine_line(s.machine) for s in found.sessions[:-1]}
        yield f"Started on {'; '.join(sorted(others))}."
    yield ""
    yield "```console"
    for command in commands(found):
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


def _machine_line(machine: Mapping[str, Any]) -> str:
    gpu = machine["gpu"] or "no GPU"
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return f"{machine['cpu']}, {machine['cores']} cores, {gpu}; {versions}"


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


def _share(count: Count | None) -> dict[str, Any] | None:
    if count is None:
        return None
    hits, total = count
    value = hits / total if total else None
    return {"hits": hits, "total": total, "share": value, "interval": wilson(hits, total)}


def _mean(values: Sequence[float]) -> dict[str, Any]:
    mean, half = mean_half_width(values) if values else (None, None)
    return {"n": len(values), "mean": mean, "half_width": half}


def _accuracy(found: Accuracies | None) -> dict[str, Any] | None:
    if found is None:
        return None
    middle = median(found.runs)
    return {
        "runs": _mean(found.runs),
        "distinct": _mean(found.distinct),
        "all": _mean(found.everything),
        "median": middle.value if middle else None,
        "best": max(found.runs, default=None),
        "images": found.images,
        "values": found.runs,
    }


def _estimate(found: Estimate | None) -> dict[str, Any] | None:
    return None if found is None else {"value": found.value, "interval": found.interval}
