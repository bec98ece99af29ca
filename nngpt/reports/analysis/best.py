"""The best networks of a run, or chosen attempts, with all facts about each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nngpt.errors import UserError
from nngpt.records import Adapter, Arm, Candidate, Evaluation, Prompt, Stage, State
from nngpt.reports.analysis.full_training import longest
from nngpt.store import AttemptRecord, Confirmation, RunRecord, Store


@dataclass(frozen=True)
class BestNetwork:
    """A network of a run with its origin, to be exported.

    Attributes:
        place: rank from 1, the best first.
        lineage: adapter that wrote it and its ancestors, newest first.
        confirmation: its newest full training, judged on the test set; None without one.
    """

    place: int
    run: RunRecord
    attempt: AttemptRecord
    prompt: Prompt
    lineage: tuple[Adapter, ...]
    confirmation: Confirmation | None

    @property
    def candidate(self) -> Candidate:
        """The network."""
        assert self.attempt.candidate is not None, "only trained networks are exported"
        return self.attempt.candidate

    @property
    def evaluation(self) -> Evaluation:
        """The evaluation in the run."""
        assert self.attempt.evaluation is not None, "only trained networks are exported"
        return self.attempt.evaluation

    @property
    def folder(self) -> str:
        """Name of the network's folder in an export."""
        return f"{self.place:02}-{self.candidate.content_hash[:8]}"


def best_networks(
    store: Store, run: RunRecord, count: int, chosen: Sequence[int], known: bool = False
) -> list[BestNetwork]:
    """Return the best networks of the loop by validation accuracy, or the chosen attempts.

    Args:
        known: near-duplicates of known networks count, too, not only admitted networks.

    Raises: UserError if there are none, or a chosen attempt is another run's or untrained.
    """
    attempts = [_chosen(store, run, number) for number in chosen]
    if not chosen:
        found = [*store.admitted(run.id), *(near_duplicates(store, run) if known else ())]
        networks = dict[str | None, AttemptRecord]()  # a run without novelty admits copies
        for attempt in sorted(found, key=lambda a: (-final_accuracy(a), a.id)):
            networks.setdefault(attempt.content_hash, attempt)
        attempts = list(networks.values())[:count]
    if not attempts:
        hint = "Name one with --attempt, or add --known for near-duplicates of known networks"
        raise UserError("no network was admitted", where=f"run {run.name!r}", hint=hint)
    confirmed = longest(store.confirmations(run.id))
    adapters = {adapter.name: adapter for adapter in store.adapters(run.id).values()}
    found = []
    for place, attempt in enumerate(attempts, 1):
        lineage = tuple(_lineage(attempt.completion.adapter, adapters))
        prompt, confirmation = store.question(attempt), confirmed.get(attempt.id)
        found.append(BestNetwork(place, run, attempt, prompt, lineage, confirmation))
    return found


def near_duplicates(store: Store, run: RunRecord) -> list[AttemptRecord]:
    """Return the loop's networks that were refused only for their likeness to a known one."""
    refused = store.attempts(run.id, state=State.REFUSED, with_code=True, arm=Arm.LOOP)
    return [a for a in refused if a.refusal is not None and a.refusal.stage is Stage.NOVELTY]


def _chosen(store: Store, run: RunRecord, number: int) -> AttemptRecord:
    attempt = store.attempt(number)
    if attempt.run_id != run.id or attempt.evaluation is None:
        what = "is of another run" if attempt.run_id != run.id else "was not trained and judged"
        raise UserError(what, where=f"attempt {number}")
    return attempt


def best_of(store: Store, run: RunRecord) -> AttemptRecord | None:
    """Return the most accurate admitted network of a run's loop, None if there is none."""
    return max(store.admitted(run.id), key=final_accuracy, default=None)


def final_accuracy(attempt: AttemptRecord) -> float:
    """Return the accuracy that ranks the best networks, which counts; 0 if untrained."""
    return attempt.result[0] if attempt.result else 0.0


def _lineage(name: str | None, adapters: dict[str, Adapter]) -> Iterator[Adapter]:
    while name is not None and name in adapters:
        yield adapters[name]
        name = adapters[name].parent


def written_by(attempt: AttemptRecord) -> str:
    """Return the model and the adapter that wrote one of a run's best networks."""
    if attempt.arm is Arm.CORPUS:
        return "no language model: a corpus network changed at random"
    adapter = attempt.completion.adapter
    return f"{attempt.completion.model}, " + (f"adapter {adapter}" if adapter else "no adapter")
