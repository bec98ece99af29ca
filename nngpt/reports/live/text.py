"""Names and amounts in words, ready to be shown as text."""

from __future__ import annotations

from nngpt.novelty.dedup.collection import readable
from nngpt.records import Arm, Stage, State

ARMS = {
    Arm.LOOP: "the loop",
    Arm.BASE: "control: the LLM before the run",
    Arm.CORPUS: "control: corpus networks, changed at random",
}

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
    State.VALIDATED: "waits for training",
    State.TRAINING: "in training",
    State.TRAINED: "trained",
    State.JUDGED: "judged",
    State.ADMITTED: "admitted",
    State.REFUSED: "refused",
}


def standing(state: State, stage: Stage | None) -> str:
    """Where a candidate stands: its state, or the gate that refused it."""
    return f"refused at {stage}: {STAGES[stage]}" if stage else STATES[state]


def line(text: str) -> str:
    """A text of one line; what would deceive or cannot be shown appears as an escape."""
    return readable(" ".join(text.split()))


def block(text: str) -> str:
    """Code or another text of several lines, each as in `line`, its white space kept."""
    return "\n".join(readable(part.expandtabs(4)) for part in text.splitlines())


def duration(seconds: float) -> str:
    """`42 s`, `7 min`, `2 h 05 min`, `3 d 4 h`."""
    minutes = round(seconds / 60)
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if minutes < 100:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"


def amount(count: int) -> str:
    """`812`, `24.4 k`, `1.69 M`."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)


def energy(joules: float | None) -> str:
    """`180 kJ`, `1.25 kWh`, or nothing where nothing reports energy."""
    if joules is None:
        return ""
    return f"{joules / 3.6e6:.2f} kWh" if joules >= 360_000 else f"{joules / 1000:.1f} kJ"
