"""Does early stopping keep its word? What a run's own trainings say of it, as it goes on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from nngpt.records import Evaluation
from nngpt.statistics import percent_of, wilson

TOLERATED = 0.02
"""Ceilings may be broken by half a percent of the trainings; switched off when surely by more."""


@dataclass(frozen=True)
class Recheck:
    """What trainings that ran to their end show.

    Attributes:
        checked: trainings whose ceiling was told between their epochs.
        broken: of these, those that exceeded it by more than the chance of the images drawn.
        spared: those that ran on although they were to be stopped.
        lost: of these, those that reached the threshold.
    """

    checked: int
    broken: int
    spared: int
    lost: int

    @property
    def reliable(self) -> bool:
        """False once it is sure (95%) that more ceilings are broken than tolerated."""
        return wilson(self.broken, self.checked)[0] <= TOLERATED if self.checked else True

    @property
    def line(self) -> str:
        """For a person, with intervals; "" if there is nothing to tell."""
        if not self.checked:
            return ""
        held = percent_of(self.checked - self.broken, self.checked)
        spared = percent_of(self.lost, self.spared)
        return f"ceilings held in {held}; of those that ran on, {spared} reached the threshold"


def recheck(evaluations: Iterable[Evaluation], threshold: float) -> Recheck:
    """Compare ceilings with what was reached; evaluations without a ceiling say nothing."""
    checked = broken = spared = lost = 0
    for evaluation in evaluations:
        protocol = json.loads(evaluation.protocol)
        if "ceiling" not in protocol:
            continue
        checked += 1
        surely = max(wilson(epoch.correct, epoch.total)[0] for epoch in evaluation.epochs)
        broken += surely > protocol["ceiling"]
        if "would_stop" in protocol:
            spared += 1
            lost += evaluation.accuracy >= threshold
    return Recheck(checked, broken, spared, lost)
