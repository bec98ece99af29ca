"""Write LEMUR's networks as changes that improved a similar network, for `delta` mode.

A change leads from a network to a more accurate one of the same family: measured on the same data
set after the same number of epochs, and so similar that the diff is short, but no near-duplicate,
which a run would refuse. Of several weaker networks the most similar one is changed. The answer is
the diff alone, as runs stop an answer after it; settings of the better network's trial are lost.
"""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nngpt.finetuning.corpus.answers import AnsweredNetwork, AnswerWriter, NetworkAnswer
from nngpt.finetuning.corpus.lemur_networks import BestTrial
from nngpt.generation import contract
from nngpt.generation.contract.answers import Answer, write_diff
from nngpt.generation.contract.candidate import full_answer
from nngpt.generation.prompts import template as prompts
from nngpt.novelty.dedup.shingle_sets import KeptIndex, rank_shingles
from nngpt.novelty.shingles import near_duplicate, shingles
from nngpt.records import Candidate, Refusal, Stage, Task
from nngpt.store.lemur_rows import LEMUR_DATASETS

NEAREST, FARTHEST = 0.9, 0.5
"""Jaccard similarities between which a network is a change of another."""

GAIN = 0.01
"""Accuracy, 0…1, by which a change must have improved a network."""

LONGEST_PARENT = 8_000
"""Maximum length of a network that is changed, in characters: about 2,500 tokens."""

Exclude = Callable[[str, str | Refusal], None]
"""Counts an excluded network under a step, with the reason."""


@dataclass(frozen=True)
class Change:
    """A network to be changed into a better one.

    Attributes:
        similarity: Jaccard similarity of the two.
        parent: number of the network to be changed.
        before, after: the trials that show it.
    """

    similarity: float
    parent: int
    before: BestTrial
    after: BestTrial


class ChangeWriter(AnswerWriter):
    """Writes networks as answers of `full` mode, and changes between them as diffs.

    Attributes:
        asked: the template of `delta` mode; prompts show no examples, which would be long.
    """

    def __init__(
        self,
        asked: prompts.Template,
        tasks: Sequence[Task],
        defaults: contract.Defaults,
        compact: bool = False,
    ) -> None:
        super().__init__(prompts.load("full"), tasks, defaults, compact)
        self.asked = asked

    def changes(
        self, networks: Sequence[AnsweredNetwork], max_chars: int, exclude: Exclude
    ) -> list[AnsweredNetwork]:
        """Return the networks that a short diff makes of a weaker one, with these diffs as answers.

        Args:
            networks: networks with their answers of `full` mode.
            max_chars: maximum length of a diff, in characters.
        """
        found: dict[int, list[NetworkAnswer]] = defaultdict(list)
        refusals: dict[int, str | Refusal] = {}
        for number, place, change in _improvements(networks):
            made = self._change(networks[number], place, networks[change.parent], change)
            if isinstance(made, Refusal):
                refusals[number] = made
            elif len(made.completion) > max_chars:
                refusals[number] = f"a diff of more than {max_chars:,} characters"
            else:
                found[number].append(made)
        for number in range(len(networks)):
            if number not in found:
                exclude("change", refusals.get(number, "improves no similar network"))
        return [replace(networks[n], answers=tuple(found[n])) for n in sorted(found)]

    def _change(
        self, better: AnsweredNetwork, place: int, parent: AnsweredNetwork, change: Change
    ) -> NetworkAnswer | Refusal:
        """Return the answer that changes one network into another, for a task by its place."""
        one, other = parent.answers[place], better.answers[place]
        shown = full_answer(one.candidate, self.defaults)
        values = self.defaults.hyperparameters
        task = other.prompt.task
        prompt = self.asked.render(task, values, examples=(), parent=shown)
        old, new = one.candidate, other.candidate
        before, after = (c.code.strip("\n").rstrip().split("\n") for c in (old, new))
        diff = list(difflib.unified_diff(before, after, lineterm=""))[2:]
        text = write_diff("\n".join(diff), Answer(new.code, {}))
        read = self._read(text, prompt, task, self.asked)
        if isinstance(read, Candidate) and read.content_hash != new.content_hash:
            return Refusal(Stage.PARSE, "the diff does not lead to the network")
        if isinstance(read, Refusal):
            return read
        changed = parent.network.name, change.before
        return NetworkAnswer(replace(other.prompt, prompt=prompt), read, change.after, changed)


def _improvements(networks: Sequence[AnsweredNetwork]) -> Iterator[tuple[int, int, Change]]:
    """Yield each network's number, the place of an answer, and its change of the nearest one."""
    families: dict[str, list[int]] = defaultdict(list)
    for number, network in enumerate(networks):
        families[network.network.family].append(number)
    for members in families.values():
        best: dict[tuple[int, int], Change] = {}
        for one, other, similarity in _similar(networks, members):
            for better, weaker in ((one, other), (other, one)):
                for place in range(len(networks[better].answers)):
                    before, after = (_trial(networks[n], place) for n in (weaker, better))
                    if before is None or after is None or not _improved(before, after):
                        continue
                    known = best.get((better, place))
                    if known is None or similarity > known.similarity:
                        best[better, place] = Change(similarity, weaker, before, after)
        for (number, place), change in sorted(best.items(), key=lambda item: item[0]):
            yield number, place, change


def _similar(
    networks: Sequence[AnsweredNetwork], members: Sequence[int]
) -> Iterator[tuple[int, int, float]]:
    """Yield the pairs of members that are similar but no near-duplicates."""
    sets = (shingles(networks[number].novelty_text) for number in members)
    ranked = rank_shingles([np.array(sorted(one), dtype=np.uint64) for one in sets])
    index = KeptIndex(ranked, FARTHEST)
    for place, number in enumerate(members):
        for other, similarity in index.neighbours(place):
            if not near_duplicate(similarity, NEAREST):
                yield number, members[other], similarity
        index.add(place)


def _trial(network: AnsweredNetwork, place: int) -> BestTrial | None:
    """Return a network's best trial on the data set of one of its answers."""
    names = (LEMUR_DATASETS.get(n, n) for n in network.answers[place].prompt.datasets)
    return next(filter(None, map(network.network.best, names)), None)


def _improved(before: BestTrial, after: BestTrial) -> bool:
    """Return True if the second of two trials, equally long on one data set, is better by far."""
    same = (before.dataset, before.epoch) == (after.dataset, after.epoch)
    return same and after.accuracy >= before.accuracy + GAIN
