"""Build a corpus: select LEMUR's networks, write answers, deduplicate, order and divide them.

Every network is first written as an answer and read back by the contract; only networks that pass
are compared, on the text that the LLM would write. So a cluster of near-duplicates is lost only if
none of its members fits the contract, and not because its most accurate member does not.

Networks of one family came from one origin, so a family is never divided: similarity that remains
below the threshold of the deduplication would leak from one part into another.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

from nngpt.errors import UserError
from nngpt.finetuning.corpus.answers import AnsweredNetwork, AnswerWriter
from nngpt.finetuning.corpus.build_check import BuildCheck
from nngpt.finetuning.corpus.changes import LONGEST_PARENT, ChangeWriter
from nngpt.finetuning.corpus.lemur_networks import OWN_FAMILY, LemurNetwork
from nngpt.novelty.dedup.collection import FAMILY_CAP, DedupSettings, Network
from nngpt.novelty.dedup.pipeline import deduplicate
from nngpt.records import Refusal

OnProgress = Callable[[str, int, int], None]
"""Called with the activity, the number of networks done, and their total."""

_Item = TypeVar("_Item")
_NUMBER = re.compile(r"(?<![A-Za-z_])\d[\dx,.]*(?<![,.])")
PARTS = ("train", "dev", "test")


@dataclass(frozen=True)
class ExcludedByStep:
    """Networks that one step of the corpus build excluded: their number for each reason.

    `left` is the number of networks that remained. The most frequent reason comes first.
    """

    step: str
    reasons: dict[str, int]
    left: int

    @property
    def count(self) -> int:
        """Number of networks that the step excluded."""
        return sum(self.reasons.values())


class Exclusions:
    """Counts of networks that a corpus build excluded; steps keep the order of first mention.

    Attributes:
        start: number of networks before the first step.
    """

    def __init__(self, start: int) -> None:
        self.start = start
        self._excluded: dict[str, Counter[str]] = {}

    def add_step(self, name: str) -> None:
        """Register a step, so that it is listed even if it excludes no network."""
        self._excluded.setdefault(name, Counter())

    def exclude(self, step: str, reason: str | Refusal) -> None:
        """Count one excluded network; refusals that differ only in numbers share a reason."""
        if isinstance(reason, Refusal):
            text = f"{reason.stage}: {_NUMBER.sub('N', reason.reason)}"
        else:
            text = reason
        self.add_step(step)
        self._excluded[step][text] += 1

    def keep(
        self, step: str, items: Iterable[_Item], reason_of: Callable[[_Item], str]
    ) -> list[_Item]:
        """Return the items for which `reason_of` gives ""; count the others under their reason."""
        self.add_step(step)
        kept = []
        for item in items:
            reason = reason_of(item)
            if reason:
                self.exclude(step, reason)
            else:
                kept.append(item)
        return kept

    def steps(self) -> Iterator[ExcludedByStep]:
        """Yield the counts of each step, in order."""
        left = self.start
        for step, counts in self._excluded.items():
            left -= counts.total()
            reasons = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
            yield ExcludedByStep(step, dict(reasons), left)


@dataclass(frozen=True)
class CorpusSelection:
    """Criteria that select LEMUR's networks for a corpus.

    Attributes:
        max_chars: maximum length of an answer, in characters.
        dedup: settings of the deduplication, with the maximum number of networks per family.
        best_on: data set (LEMUR's name) whose accuracies count; None for the best on any.
        min_accuracy: minimum best accuracy, 0…1; None also takes networks without a trial.
        trained_only: exclude networks without a trial.
        own: also take networks that runs in this folder wrote.
        limit: maximum number of networks; the best of every family come first.
        shares: shares of all networks for train, dev and test; they add up to 1.
        seed: orders families of equal size when they are assigned to the parts.
        replacements: how many times to replace networks that fail the build check by their
            near-duplicates; None for no limit, which may take a round for each member of a cluster.
    """

    max_chars: int
    dedup: DedupSettings = field(default_factory=DedupSettings)
    best_on: str | None = None
    min_accuracy: float | None = None
    trained_only: bool = False
    own: bool = False
    limit: int | None = None
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1)
    seed: int = 1
    replacements: int | None = None


@dataclass(frozen=True)
class BuiltCorpus:
    """A corpus not yet written to files: its networks for each of `PARTS`, and all exclusions."""

    parts: dict[str, list[AnsweredNetwork]]
    exclusions: Exclusions


def build_corpus(
    networks: Sequence[LemurNetwork],
    writer: AnswerWriter,
    selection: CorpusSelection,
    check: BuildCheck | None = None,
    on_progress: OnProgress = lambda activity, done, total: None,
) -> BuiltCorpus:
    """Build a corpus: select networks, and write them as answers to every prompt of `writer`.

    Raises:
        PluginError: a level of the deduplication does not exist.
        ExecutionError: the sandbox of the build check does not work.
    """
    exclusions = Exclusions(len(networks))
    eligible = _eligible(networks, selection, exclusions)
    longest = LONGEST_PARENT if isinstance(writer, ChangeWriter) else selection.max_chars
    answered = _write_answers(eligible, writer, longest, exclusions, on_progress)
    if isinstance(writer, ChangeWriter):
        exclusions.add_step("change")
        answered = writer.changes(answered, selection.max_chars, exclusions.exclude)
    distinct = _distinct(answered, selection, check, exclusions, on_progress)
    kept = interleave_families(distinct, selection.best_on)
    if selection.limit is not None:
        for _ in kept[selection.limit :]:
            exclusions.exclude("over the limit", f"more than {selection.limit:,}")
        kept = kept[: selection.limit]
    families = [a.network.family for a in kept]
    part_of = assign_families(families, selection.shares, selection.seed)
    parts: dict[str, list[AnsweredNetwork]] = {part: [] for part in PARTS}
    for network in kept:
        parts[part_of[network.network.family]].append(network)
    return BuiltCorpus(parts, exclusions)


def _eligible(
    networks: Sequence[LemurNetwork], selection: CorpusSelection, exclusions: Exclusions
) -> list[LemurNetwork]:
    """Return the networks whose task, author and recorded accuracy fit the selection."""

    def other_task(network: LemurNetwork) -> str:
        return "" if network.classifies else f"only {', '.join(sorted(network.tasks))}"

    def weak(network: LemurNetwork) -> str:
        trial = network.best(selection.best_on)
        if trial is None:
            return "no accuracy on record"
        least = selection.min_accuracy or 0.0
        return "" if trial.accuracy >= least else f"accuracy below {least:g}"

    found = exclusions.keep("not image classification", networks, other_task)
    if not selection.own:
        found = exclusions.keep(
            "written by our own runs", found, lambda n: OWN_FAMILY * (n.family == OWN_FAMILY)
        )
    if selection.trained_only or selection.min_accuracy is not None:
        found = exclusions.keep("record", found, weak)
    return found


def _write_answers(
    networks: Sequence[LemurNetwork],
    writer: AnswerWriter,
    max_chars: int,
    exclusions: Exclusions,
    on_progress: OnProgress,
) -> list[AnsweredNetwork]:
    """Write each network as answers; exclude refused networks and answers that are too long."""
    contract = f"contract, {writer.template.mode} mode"
    exclusions.add_step(contract)
    exclusions.add_step("too long")
    found = []
    for number, network in enumerate(networks, 1):
        answered = writer.answer(network)
        if isinstance(answered, Refusal):
            exclusions.exclude(contract, answered)
        elif answered.longest > max_chars:
            exclusions.exclude("too long", f"more than {max_chars:,} characters")
        else:
            found.append(answered)
        on_progress("reading", number, len(networks))
    return found


def _distinct(
    answered: Sequence[AnsweredNetwork],
    selection: CorpusSelection,
    check: BuildCheck | None,
    exclusions: Exclusions,
    on_progress: OnProgress,
) -> list[AnsweredNetwork]:
    """Return networks that are not near-duplicates and that pass the build check, if any.

    Only networks that would be kept are checked. Where one fails, the rest is compared again
    without it, so that one of its near-duplicates can replace it.
    """
    left = {network.network.name: network for network in answered}
    passed: set[str] = set()
    if check is not None:
        exclusions.add_step("does not run")
    for rounds in count():
        outcome = deduplicate(
            [_for_dedup(network, selection.best_on) for network in left.values()],
            selection.dedup,
            lambda done, total: on_progress("comparing", done, total),
        )
        kept = [left[network.name] for network in outcome.kept]
        new = [network for network in kept if network.network.name not in passed]
        if check is None or not new:
            break
        if selection.replacements is not None and rounds > selection.replacements:
            kept = exclusions.keep(
                "not run", kept, lambda a: "" if a.network.name in passed else _NO_TURN
            )
            break
        for number, network in enumerate(new, 1):
            refusal = check.refuse_network(network)
            if refusal is None:
                passed.add(network.network.name)
            else:
                del left[network.network.name]
                exclusions.exclude("does not run", refusal)
            on_progress("running", number, len(new))
    exclusions.add_step(_DUPLICATE)
    for removed in outcome.removed:
        if removed.level == FAMILY_CAP:
            exclusions.exclude(FAMILY_CAP, removed.network.family)
        else:
            exclusions.exclude(_DUPLICATE, f"level {removed.level}")
    return kept


_DUPLICATE = "near-duplicate"
_NO_TURN = "its turn did not come"


def _for_dedup(answered: AnsweredNetwork, best_on: str | None) -> Network:
    """Return a network as the deduplication compares it: by the text that the LLM would write."""
    network, trial = answered.network, answered.network.best(best_on)
    accuracy = trial.accuracy if trial else None
    return Network(network.name, answered.novelty_text, network.family, accuracy)


def parse_shares(text: str) -> tuple[float, float, float]:
    """Parse the shares of a corpus's train, dev and test parts, such as "0.8,0.1,0.1".

    Raises: UserError if `text` is not three shares that add up to 1.
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
