"""From the networks of the mirror to the lines of a corpus.

Every network is first written as the answer it would be, and read again by the contract; only
what passes is compared with the rest, on the text that the LLM would write. So a cluster of
near-duplicates is lost only if none of its members can be taught, and not because its most
accurate member cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count

from nngpt.finetuning.corpus.answers import Answered, Writer
from nngpt.finetuning.corpus.building import BuildCheck
from nngpt.finetuning.corpus.funnel import Funnel
from nngpt.finetuning.corpus.mirror import OWN_FAMILY, Recorded
from nngpt.finetuning.corpus.splits import PARTS, balanced, divide
from nngpt.novelty.dedup.pipeline import deduplicate
from nngpt.novelty.dedup.records import FAMILY_CAP, Network, Removed, Settings
from nngpt.records import Refusal

Progress = Callable[[str, int, int], None]
"""Called now and then with what is being done, how many are done, and how many there are."""


@dataclass(frozen=True)
class Choice:
    """Which networks to take.

    Attributes:
        max_chars: longest answer, in characters.
        dedup: how near-duplicates are found, and how many of a family are kept.
        best_on: data set (LEMUR's name) whose accuracies count; None for the best on any.
        min_accuracy: smallest best accuracy, 0…1; None takes networks without a trial, too.
        trained_only: leave networks without a trial out.
        own: also take networks that this folder's own runs wrote.
        limit: how many networks at most; the best of every family first.
        shares: of all networks, for train, development and test; they add up to 1.
        seed: decides between families of equal size when they are divided among the parts.
        replacements: how often near-duplicates may take the place of what does not run; None for
            as often as it takes, which may be once for every member of a large cluster.
    """

    max_chars: int
    dedup: Settings = field(default_factory=Settings)
    best_on: str | None = None
    min_accuracy: float | None = None
    trained_only: bool = False
    own: bool = False
    limit: int | None = None
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1)
    seed: int = 1
    replacements: int | None = None


@dataclass(frozen=True)
class Corpus:
    """A built corpus.

    Attributes:
        parts: by name ("train", "dev", "test"), networks with their answers to all prompts.
        funnel: how many networks were left out, and why.
    """

    parts: dict[str, list[Answered]]
    funnel: Funnel


def build(
    networks: Sequence[Recorded],
    writer: Writer,
    choice: Choice,
    check: BuildCheck | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Corpus:
    """Choose networks, and write them as answers to every prompt of `writer`.

    Raises:
        PluginError: a level of the deduplication does not exist.
        ExecutionError: the sandbox of the build check does not work.
    """
    funnel = Funnel(len(networks))
    answers = _answers(
        _chosen(networks, choice, funnel), writer, choice.max_chars, funnel, progress
    )
    kept = balanced(_distinct(answers, choice, check, funnel, progress), choice.best_on)
    if choice.limit is not None:
        for _ in kept[choice.limit :]:
            funnel.lose("over the limit", f"more than {choice.limit:,}")
        kept = kept[: choice.limit]
    part_of = divide([a.network.family for a in kept], choice.shares, choice.seed)
    parts: dict[str, list[Answered]] = {part: [] for part in PARTS}
    for answered in kept:
        parts[part_of[answered.network.family]].append(answered)
    return Corpus(parts, funnel)


def _chosen(networks: Sequence[Recorded], choice: Choice, funnel: Funnel) -> list[Recorded]:
    """Networks whose records fit, before anybody looks at their code."""

    def other_task(network: Recorded) -> str:
        return "" if network.classifies else f"only {', '.join(sorted(network.tasks))}"

    def weak(network: Recorded) -> str:
        trial = network.best(choice.best_on)
        if trial is None:
            return "no accuracy on record"
        least = choice.min_accuracy or 0.0
        return "" if trial.accuracy >= least else f"accuracy below {least:g}"

    found = funnel.keep("not image classification", networks, other_task)
    if not choice.own:
        found = funnel.keep(
            "written by our own runs", found, lambda n: OWN_FAMILY * (n.family == OWN_FAMILY)
        )
    if choice.trained_only or choice.min_accuracy is not None:
        found = funnel.keep("record", found, weak)
    return found


def _answers(
    networks: Sequence[Recorded],
    writer: Writer,
    max_chars: int,
    funnel: Funnel,
    progress: Progress,
) -> list[Answered]:
    """Each network as an answer, where the contract and its length permit."""
    contract = f"contract, {writer.template.mode} mode"
    funnel.step(contract)
    funnel.step("too long")
    found = []
    for number, network in enumerate(networks, 1):
        answered = writer.answer(network)
        if isinstance(answered, Refusal):
            funnel.lose(contract, answered)
        elif answered.longest > max_chars:
            funnel.lose("too long", f"more than {max_chars:,} characters")
        else:
            found.append(answered)
        progress("reading", number, len(networks))
    return found


def _distinct(
    answers: Sequence[Answered],
    choice: Choice,
    check: BuildCheck | None,
    funnel: Funnel,
    progress: Progress,
) -> list[Answered]:
    """Answers that are not alike and, with a `check`, run.

    Only what would be kept is run. Where something does not, the rest is compared again without
    it, so that one of its near-duplicates can take its place.
    """
    left = {answered.network.name: answered for answered in answers}
    runs: set[str] = set()
    if check is not None:
        funnel.step("does not run")
    for done_before in count():
        outcome = deduplicate(
            [_comparable(answered, choice.best_on) for answered in left.values()],
            choice.dedup,
            lambda done, total: progress("comparing", done, total),
        )
        kept = [left[network.name] for network in outcome.kept]
        new = [answered for answered in kept if answered.network.name not in runs]
        if check is None or not new:
            break
        if choice.replacements is not None and done_before > choice.replacements:
            kept = funnel.keep(
                "not run", kept, lambda a: "" if a.network.name in runs else "its turn did not come"
            )
            break
        for number, answered in enumerate(new, 1):
            refusal = check.refusal(answered)
            if refusal is None:
                runs.add(answered.network.name)
            else:
                del left[answered.network.name]
                funnel.lose("does not run", refusal)
            progress("running", number, len(new))
    funnel.step("near-duplicate")
    for removed in outcome.removed:
        capped = removed.level == FAMILY_CAP
        step, reason = (FAMILY_CAP, removed.network.family) if capped else _alike(removed)
        funnel.lose(step, reason)
    return kept


def _comparable(answered: Answered, best_on: str | None) -> Network:
    network, trial = answered.network, answered.network.best(best_on)
    accuracy = trial.accuracy if trial else None
    return Network(network.name, answered.novelty_text, network.family, accuracy)


def _alike(removed: Removed) -> tuple[str, str]:
    return "near-duplicate", f"level {removed.level}"
