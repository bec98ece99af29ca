"""Console output of `nngpt learn`: adapters with their losses, steps of RL, and trends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from nngpt.finetuning.rl.journal import StepRecord
from nngpt.records import Adapter
from nngpt.reports.sheets import right
from nngpt.reports.text import plural
from nngpt.statistics import Interval, Trend, percent_of, sign_of, trend


def adapter_lines(adapter: Adapter, curve: Mapping[str, Any]) -> Iterator[str]:
    """Yield pairs, tokens and losses of a fine-tuned adapter; `curve` is its `training.json`."""
    seconds, read = adapter.seconds, curve["curve"][-1]["read"]
    yield (
        f"{adapter.pairs:,} pairs ({curve['pairs_too_long']:,} too long), "
        f"{adapter.tokens:,} answer tokens in {seconds:,.0f} s "
        f"({adapter.tokens / seconds:,.0f} a second; {read / seconds:,.0f} with prompts)"
    )
    yield f"loss {adapter.loss_first:.3f} → {adapter.loss_last:.3f}"
    if losses := held_out_losses(curve):
        yield f"held-out loss {losses[0]:.4f} → {losses[-1]:.4f}"


def held_out_losses(curve: Mapping[str, Any]) -> list[float]:
    """Return the losses over the held-out pairs in a fine-tuning's `training.json`."""
    return [point["held_out"] for point in curve["curve"] if point["held_out"] is not None]


def adapter_json(adapter: Adapter, curve: Mapping[str, Any]) -> dict[str, Any]:
    """Return a fine-tuned adapter and the facts of its `training.json` for `--json`."""
    facts = {key: value for key, value in curve.items() if key != "curve"}
    read = curve["curve"][-1]["read"]
    return {**facts, **asdict(adapter), "held_out": held_out_losses(curve), "tokens_read": read}


def step_line(record: StepRecord, steps: int) -> str:
    """Format a step of an RL training as one line; `steps` is their total number."""
    spread = "" if record.half_width is None else f" ±{record.half_width:.2f}"
    accuracy = "" if record.accuracy is None else f", accuracy {record.accuracy:.1%}"
    spent = ", ".join(f"{part} {s:.0f} s" for part, s in record.seconds.items())
    return (
        f"  step {record.step:>{len(str(steps))}} of {steps}: reward {record.reward:.3f}{spread}, "
        f"trained {record.trained}/{record.answers}{accuracy}, "
        f"distinct {record.unique:.0%}, {record.tokens:.0f} tokens, KL {record.kl:.4f} ({spent})"
    )


def trends(steps: Sequence[StepRecord]) -> dict[str, Trend]:
    """Return an RL training's trends: reward, terms, shares of trained and distinct answers."""
    found = {"reward": trend([step.reward for step in steps])}
    for term in steps[0].terms:
        found[term] = trend([step.terms[term] for step in steps])
    found["share trained"] = trend([step.trained / step.answers for step in steps])
    found["share distinct"] = trend([step.unique for step in steps])
    return found


def trends_table(steps: Sequence[StepRecord]) -> Table:
    """Return a table of an RL training's trends; a `*` marks intervals that exclude zero."""
    third = max(1, len(steps) // 3)
    title = f"{plural(len(steps), 'step')} of {steps[0].answers} answers, 95% intervals"
    heads = right(f"first {third}", f"last {third}", "rise", "slope per step")
    table = Table("mean of", *heads, title=title)
    for name, found in trends(steps).items():
        rise = _with_interval(found.rise, found.rise_interval, 3)
        slope = _with_interval(found.slope, found.slope_interval, 4)
        table.add_row(name, f"{found.first:.3f}", f"{found.last:.3f}", rise, slope)
    return table


def totals_line(steps: Sequence[StepRecord]) -> str:
    """Format an RL training's trained and executed answers, and its wall time, as one line."""
    answers, trained = sum(s.answers for s in steps), sum(s.trained for s in steps)
    spent = {part: sum(s.seconds[part] for s in steps) for part in steps[0].seconds}
    parts = ", ".join(f"{part} {seconds:.0f} s" for part, seconds in spent.items())
    return (
        f"{percent_of(trained, answers)} trained; {sum(s.executed for s in steps)} executed, "
        f"{sum(s.known for s in steps)} known before; {parts}"
    )


def summary_json(steps: Sequence[StepRecord]) -> dict[str, Any]:
    """Return an RL training's trends and totals for `--json`."""
    return {
        "steps": len(steps),
        "trends": {name: asdict(found) for name, found in trends(steps).items()},
        "answers": sum(step.answers for step in steps),
        "trained": sum(step.trained for step in steps),
        "executed": sum(step.executed for step in steps),
        "known": sum(step.known for step in steps),
        "kl_last": steps[-1].kl,
        "seconds": {part: sum(s.seconds[part] for s in steps) for part in steps[0].seconds},
    }


def _with_interval(value: float | None, interval: Interval | None, digits: int) -> str:
    if value is None:
        return "–"
    if interval is None:
        return f"{value:+.{digits}f}"
    low, high = interval
    mark = " *" if sign_of(interval) else ""
    return f"{value:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]{mark}"
