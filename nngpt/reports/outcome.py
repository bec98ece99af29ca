"""The result of training one network, as a line of text."""

from __future__ import annotations

from nngpt.records import Evaluation, Refusal
from nngpt.statistics import accuracy_of


def outcome_line(outcome: Evaluation | Refusal) -> str:
    """Return accuracies, epochs, device, parameters and seconds in one line, or the refusal."""
    if isinstance(outcome, Refusal):
        return f"refused at {outcome.stage}: {outcome.reason}"
    curve = ", ".join(accuracy_of(e.accuracy, e.total) for e in outcome.epochs)
    count = len(outcome.epochs)
    return (
        f"accuracy {curve} after {count} {'epoch' if count == 1 else 'epochs'} on "
        f"{outcome.device}, {outcome.claimed_parameters:,} parameters, {outcome.seconds:.1f} s"
    )
