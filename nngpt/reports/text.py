"""Text for pages and tables: shares, accuracies, means, durations, energies, counts and names."""

from __future__ import annotations

from collections.abc import Sequence

from nngpt import statistics
from nngpt.errors import readable
from nngpt.records import Arm, Stage, State
from nngpt.statistics import Count, Estimate, Interval, Measure, percent_of

NONE = "–"
"""Shown where there is no value."""

ARM_NAMES = {Arm.LOOP: "loop", Arm.BASE: "frozen LLM", Arm.CORPUS: "no LLM"}
"""Short names of the arms for tables and figures."""

ARM_TITLES = {
    Arm.LOOP: "the loop",
    Arm.BASE: "control: the LLM as before the run",
    Arm.CORPUS: "control: corpus networks changed at random",
}
"""Arms in words for the live page; `STAGES` and `STATES` likewise."""

STAGES = {
    Stage.PARSE: "no readable network",
    Stage.CONTRACT: "breaks the contract",
    Stage.SAFETY: "unsafe code",
    Stage.DUPLICATE: "exact copy",
    Stage.BUILD: "cannot be built",
    Stage.FORWARD: "forward pass fails",
    Stage.TRAIN: "training fails",
    Stage.JUDGE: "cannot be judged",
    Stage.THRESHOLD: "below the threshold",
    Stage.NOVELTY: "near-duplicate",
}

STATES = {
    State.GENERATED: "written",
    State.PARSED: "read",
    State.VALIDATED: "waiting for training",
    State.TRAINING: "in training",
    State.TRAINED: "trained",
    State.JUDGED: "judged",
    State.ADMITTED: "admitted",
    State.REFUSED: "refused",
}


def percent(found: Estimate | None, digits: int = 0) -> str:
    """Format a fraction as `78% [73–82]`; `78%` without an interval, `–` for None."""
    if found is None:
        return NONE
    text = f"{found.value:.{digits}%}"
    if found.interval is None:
        return text
    low, high = found.interval
    return f"{text} [{low * 100:.{digits}f}–{high * 100:.{digits}f}]"


def accuracy(found: Estimate | None) -> str:
    """Format an accuracy as `91.3% [89.1–93.2]`, or `48.4% (40.1, 56.7)`: too few trainings."""
    return percent(found, 1) + (_each(found.values) if found else "")


def counted(found: Estimate | None) -> str:
    """Format a share as text with its counts: `7/12 = 58% [32–81]`, `–` for None."""
    return NONE if found is None else f"{found.hits}/{found.count} = {percent(found)}"


def points(found: Estimate | None) -> str:
    """Format a difference as text: `+3.1 points [−1.0, +7.2]`, `–` for None."""
    if found is None:
        return NONE
    return " ".join(filter(None, (f"{signed(found.value)} points", point_ends(found.interval))))


def uncorrected(comparisons: int) -> str:
    """Format a note that the intervals of a table are not corrected for its comparisons."""
    chance = f"{comparisons / 20:.1g}" if comparisons < 20 else f"{comparisons / 20:.0f}"
    return (
        f"Not corrected for {plural(comparisons, 'comparison')}: without any difference, about "
        f"{chance} of the intervals would exclude zero."
    )


def point_ends(interval: Interval | None) -> str:
    """Format the ends of a difference's interval in percentage points: `[−1.0, +7.2]`."""
    return f"[{signed(interval[0])}, {signed(interval[1])}]" if interval else ""


def signed(value: float) -> str:
    """Format a difference of fractions in percentage points: `+3.1`, `−1.0`."""
    return f"{value * 100:+.1f}".replace("-", "−")


def decimal(found: Estimate | None, digits: int = 2) -> str:
    """Format a plain number: `0.62 [0.41, 0.78]`, `–` for None."""
    if found is None:
        return NONE
    ends = "" if found.interval is None else " [{:.{d}f}, {:.{d}f}]"
    return f"{found.value:.{digits}f}" + ends.format(*(found.interval or ()), d=digits)


def likelihood(first: float | None, last: float | None) -> str:
    """Format two losses per token as log-likelihoods, before and after: `−0.412 → −0.398`."""
    if first is None or last is None:
        return NONE
    return f"{-first:.3f} → {-last:.3f}".replace("-", "−")


def plural(count: int, noun: str, plural_noun: str = "") -> str:
    """Format a count with its noun: `1 network`, `2 networks`, `1,024 networks`."""
    return f"{count:,} {noun if count == 1 else plural_noun or noun + 's'}"


def duration(seconds: float) -> str:
    """Format a duration: `4.2 s`, `42 s`, `2.4 min`, `42 min`, `2 h 05 min`, `3 d 4 h`."""
    if seconds < 99.5:
        return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.1f} s"
    minutes = seconds / 60
    if round(minutes) < 100:
        return f"{minutes:.0f} min" if minutes >= 9.95 else f"{minutes:.1f} min"
    hours, rest = divmod(round(minutes), 60)
    return f"{hours} h {rest:02} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def energy(joules: float | None, unknown: str = NONE) -> str:
    """Format an energy in `J`, `Wh` or `kWh`; `unknown` if no device reported it."""
    if joules is None:
        return unknown
    if joules < 3600:
        return f"{joules:,.0f} J"
    return f"{joules / 3.6e6:.2f} kWh" if joules >= 360_000 else f"{joules / 3600:.1f} Wh"


def amount(count: int) -> str:
    """Format a large count with a unit prefix: `812`, `24.4 k`, `1.69 M`."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)


def line(text: str) -> str:
    """Return a text on one line, with control and bidirectional characters as escapes."""
    return readable(" ".join(text.split()))


def block(text: str) -> str:
    """Return a text of several lines, white space kept, with such characters as escapes."""
    return "\n".join(readable(part.expandtabs(4)) for part in text.splitlines())


def standing(state: State, stage: Stage | None) -> str:
    """Format a state, or the gate that refused, as text."""
    return f"refused at {stage}: {STAGES[stage]}" if stage else STATES[state]


def measured(found: Measure) -> str:
    """Format an estimate as text with its 95% interval: as `percent_of` or as `mean_of`."""
    return percent_of(*found) if isinstance(found, Count) else mean_of(found)


def accuracy_of(accuracy: float, images: int = 0, trainings: Sequence[float] = ()) -> str:
    """Format a result as text: `91.3% ±1.8`; `100.0% [98.1–100.0]`; `48.4% (40.1, 56.7)`."""
    found = statistics.accuracy(accuracy, images, trainings)
    return _with_spread(found) + _each(found.values)


def _with_spread(found: Estimate) -> str:
    """Format a fraction with half its interval, or with both ends if the half would pass 0…1."""
    if found.interval is None:
        return f"{found.value:.1%}"
    half = (found.interval[1] - found.interval[0]) / 2
    if not half <= found.value <= 1 - half:
        return percent(found, 1)
    return f"{found.value:.1%} ±{half * 100:.1f}"


def _each(values: Sequence[float]) -> str:
    """Format the accuracies of a few trainings: ` (40.1, 56.7)`; nothing for none."""
    return f" ({', '.join(f'{value * 100:.1f}' for value in values)})" if values else ""


def mean_of(values: Sequence[float]) -> str:
    """Format a mean with its t interval: `88.2% ±3.1`; `93.1% [81.0–100.0]`; `–` for none."""
    found = statistics.mean(values)
    return NONE if found is None else _with_spread(found)


def similarity(value: float | None) -> str:
    """Format a similarity as text: four digits, `1` if it is exactly 1, `–` for None."""
    return NONE if value is None else "1" if value == 1 else f"{value:.4f}"
