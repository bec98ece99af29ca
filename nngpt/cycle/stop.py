"""Stop a run at a plateau: the papers' criterion (closed-loop study, appendix D)."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from nngpt.config import StopConfig
from nngpt.reports.text import plural
from nngpt.statistics import wilson
from nngpt.store import CycleSummary


def plateau(summaries: Sequence[CycleSummary], config: StopConfig) -> str:
    """Return why a run may stop at a plateau after these cycles, "" if it may not.

    A plateau: over the last `config.cycles` cycles the mean accuracy of valid networks rose by
    less than `config.gain` above the cycle before, and in each of them the share of valid networks
    that reach the threshold lies in the 95% Wilson interval of that cycle before.
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
        f"over {plural(config.cycles, 'cycle')} the mean accuracy rose by {gain * 100:+.1f} points "
        f"(less than {config.gain * 100:g}) and the share above the threshold stayed within "
        f"{low:.0%} to {high:.0%}"
    )
