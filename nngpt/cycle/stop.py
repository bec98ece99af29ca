"""When a run has nothing more to gain: the papers' criterion (closed-loop study, appendix D)."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from nngpt.config import StopConfig
from nngpt.statistics import wilson
from nngpt.store import CycleSummary


def plateau(summaries: Sequence[CycleSummary], config: StopConfig) -> str:
    """Why the run may end after these cycles, "" if it may not.

    Over the last `config.cycles` cycles the mean accuracy of the valid ones has risen by less than
    `config.gain` above the cycle before them, and the share of the valid ones that reach the
    threshold lies, in each of them, in that cycle's 95% Wilson interval.
    """
    window = summaries[-config.cycles - 1 :]
    if len(window) <= config.cycles or not all(s.accuracies for s in window):
        return ""
    before, *recent = window
    gain = max(fmean(s.accuracies) for s in recent) - fmean(before.accuracies)
    low, high = wilson(before.above, before.valid)
    if gain >= config.gain or not all(low <= s.above / s.valid <= high for s in recent):
        return ""
    return (
        f"over {config.cycles} cycles the mean accuracy rose by {gain * 100:+.1f} points (less "
        f"than {config.gain * 100:g}) and the share above the threshold stayed within "
        f"{low:.0%} to {high:.0%}"
    )
