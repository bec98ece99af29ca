"""Order the networks of a corpus, and divide them into train, dev and test parts by family.

Networks of one family came from one origin, so a family is never divided: similarity that remains
below the threshold of the deduplication would leak from one part into another.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

from nngpt.errors import UserError
from nngpt.finetuning.corpus.answers import AnsweredNetwork

PARTS = ("train", "dev", "test")


def parse_shares(text: str) -> tuple[float, float, float]:
    """Parse the shares of a corpus's train, dev and test parts, such as "0.8,0.1,0.1".

    Raises:
        UserError: `text` is not three shares that add up to 1.
    """
    try:
        train, dev, test = (float(part) for part in text.split(","))
    except ValueError:
        train = dev = test = -1.0
    shares = train, dev, test
    if not all(0 <= share <= 1 for share in shares) or abs(sum(shares) - 1) > 1e-6:
        hint = "Example: --splits 0.8,0.1,0.1"
        what = f"{text!r} is not three shares that add up to 1"
        raise UserError(what, where="--splits", hint=hint)
    return shares


def interleave_families(
    networks: Sequence[AnsweredNetwork], best_on: str | None = None
) -> list[AnsweredNetwork]:
    """Order a corpus for its splits: every family's best network, then every second best …

    Any prefix of this order holds as many families as it can.

    Args:
        best_on: data set (LEMUR's name) whose accuracy counts; None for the best on any.
    """
    families: defaultdict[str, list[AnsweredNetwork]] = defaultdict(list)
    for answered in sorted(networks, key=lambda a: _best_first(a, best_on)):
        families[answered.network.family].append(answered)
    ranked = [(rank, a) for members in families.values() for rank, a in enumerate(members)]
    ranked.sort(key=lambda pair: (pair[0], _best_first(pair[1], best_on)))
    return [answered for _, answered in ranked]


def assign_families(families: Sequence[str], shares: Sequence[float], seed: int) -> dict[str, str]:
    """Assign each family of networks to a part of the corpus: train, dev or test.

    The largest families are assigned first (`seed` orders equals), each to the part that is
    furthest below its share of all networks.

    Args:
        families: family of each network.
        shares: share of all networks for each part, adding up to 1.
    """
    sizes = Counter(families)
    shuffled = {f: hashlib.sha256(f"{seed}/{f}".encode()).hexdigest() for f in sizes}
    order = sorted(sizes, key=lambda family: (-sizes[family], shuffled[family]))
    missing = {
        part: share * len(families) for part, share in zip(PARTS, shares, strict=True) if share > 0
    }
    assigned = {}
    for family in order:
        part = max(missing, key=lambda part: missing[part])
        assigned[family] = part
        missing[part] -= sizes[family]
    return assigned


def _best_first(answered: AnsweredNetwork, best_on: str | None) -> tuple[float, str]:
    """Return a sort key: highest best accuracy first, then by name."""
    trial = answered.network.best(best_on)
    return (-trial.accuracy if trial else 1.0, answered.network.name)
