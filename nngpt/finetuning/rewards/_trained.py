"""What several terms ask first: did it train?"""

from __future__ import annotations

from nngpt.records import Candidate, Evaluation, Rollout


def network_of(rollout: Rollout) -> Candidate | None:
    """The network, if it trained and was judged."""
    return rollout.candidate if isinstance(rollout.outcome, Evaluation) else None
