"""The database: LEMUR's tables, nngpt's own tables, and the state machine of attempts."""

from nngpt.store.database import IllegalWriteError
from nngpt.store.lease import Lease
from nngpt.store.row_mapping import prompt_hash
from nngpt.store.store import Store
from nngpt.store.views import (
    Activity,
    AttemptRecord,
    Confirmation,
    CycleSummary,
    ForecastRecord,
    Outcome,
    RunRecord,
    Transition,
    identity_hash,
)

__all__ = [
    "Activity",
    "AttemptRecord",
    "Confirmation",
    "CycleSummary",
    "ForecastRecord",
    "IllegalWriteError",
    "Lease",
    "Outcome",
    "RunRecord",
    "Store",
    "Transition",
    "identity_hash",
    "prompt_hash",
]
