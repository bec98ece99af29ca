"""Record which pairs an adapter has learned, and mix new pairs with a replay of learned ones.

The file `learned.txt` beside the weights holds a hash for each pair, those of all ancestors
included.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from nngpt.records import TrainingPair, canonical_json

LEARNED = "learned.txt"


def pair_hash(pair: TrainingPair) -> str:
    """Return the hash by which replay knows a learned pair; its source does not count."""
    asked = [asdict(message) for message in pair.prompt.messages]
    text = canonical_json([asked, pair.prompt.prefill, pair.completion])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def read_learned(folder: Path) -> set[str] | None:
    """Return the hashes of the pairs learned already, which replay samples; None if unknown."""
    try:
        return set((folder / LEARNED).read_text(encoding="ascii").split())
    except OSError:
        return None


def write_learned(hashes: Iterable[str], folder: Path) -> None:
    """Record which pairs are learned, for replay, in an adapter's folder (`learned.txt`)."""
    text = "".join(f"{found}\n" for found in sorted(hashes))
    (folder / LEARNED).write_text(text, encoding="ascii")


def with_replay(
    pairs: Sequence[TrainingPair], learned: set[str], replay: float, seed: int
) -> list[TrainingPair]:
    """Return the pairs not in `learned`, and a sample of the others to replay, in their order.

    Args:
        learned: hashes of learned pairs.
        replay: size of the sample: a share (float, up to 1) or a number (int).
        seed: seed of the sample.
    """
    earlier = [i for i, pair in enumerate(pairs) if pair_hash(pair) in learned]
    count = replay if isinstance(replay, int) else round(replay * len(earlier))
    again = random.Random(f"replay/{seed}").sample(earlier, min(count, len(earlier)))
    left_out = set(earlier).difference(again)
    return [pair for i, pair in enumerate(pairs) if i not in left_out]
