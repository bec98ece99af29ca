"""Which pairs an adapter has learned, so that the next one learns the new ones and some of those.

What was learned lies beside the weights as `learned.txt`: a hash for each pair, those of all
ancestors with it.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from nngpt.records import TrainingPair, canonical_json

LEARNED = "learned.txt"


def key(pair: TrainingPair) -> str:
    """A hash of what is asked and answered, wherever it came from."""
    asked = [asdict(message) for message in pair.prompt.messages]
    text = canonical_json([asked, pair.prompt.prefill, pair.completion])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def read_learned(folder: Path) -> set[str] | None:
    """What the adapter in a folder has learned, None if that was not written down."""
    try:
        return set((folder / LEARNED).read_text(encoding="ascii").split())
    except OSError:
        return None


def write_learned(keys: Iterable[str], folder: Path) -> None:
    """Write `learned.txt`."""
    (folder / LEARNED).write_text("".join(f"{k}\n" for k in sorted(keys)), encoding="ascii")


def with_replay(
    pairs: Sequence[TrainingPair], learned: set[str], replay: float, seed: int
) -> list[TrainingPair]:
    """All pairs that are not in `learned`, and some of those that are, in their order.

    Args:
        replay: how many: a share up to 1, or (an int) a number.
    """
    earlier = [i for i, pair in enumerate(pairs) if key(pair) in learned]
    count = replay if isinstance(replay, int) else round(replay * len(earlier))
    again = random.Random(f"replay/{seed}").sample(earlier, min(count, len(earlier)))
    left_out = set(earlier).difference(again)
    return [pair for i, pair in enumerate(pairs) if i not in left_out]
