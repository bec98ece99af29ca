"""The best networks of a run, and all that is known of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nngpt.errors import UserError
from nngpt.records import Adapter, Arm, Candidate, Evaluation, Prompt
from nngpt.store import AttemptRecord, Confirmation, RunRecord, Store


@dataclass(frozen=True)
class Source:
    """A network to export, and all that is known of it.

    Attributes:
        place: from 1, the best first.
        prompt: what it was an answer to.
        lineage: the adapter that wrote it and those it came from, newest first.
        confirmation: its newest full training on the test set, None if there is none.
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
        assert self.attempt.candidate is not None, "only what was trained is exported"
        return self.attempt.candidate

    @property
    def evaluation(self) -> Evaluation:
        """What the run measured."""
        assert self.attempt.evaluation is not None, "only what was trained is exported"
        return self.attempt.evaluation

    @property
    def folder(self) -> str:
        """Name of its folder."""
        return f"{self.place:02}-{self.candidate.content_hash[:8]}"


def sources(store: Store, run: RunRecord, best: int, chosen: Sequence[int]) -> list[Source]:
    """The best admitted networks of the loop by validation accuracy, or the chosen attempts.

    Raises:
        UserError: nothing was admitted, or an attempt is none of this run or was never trained.
    """
    attempts = [_chosen(store, run, number) for number in chosen]
    if not chosen:
        admitted = store.admitted(run.id)
        attempts = sorted(admitted, key=lambda a: (-_accuracy(a), a.id))[:best]
    if not attempts:
        raise UserError(
            "no network was admitted", where=f"run {run.name!r}", hint="Name one with --attempt"
        )
    confirmed = {c.attempt_id: c for c in store.confirmations(run.id) if c.accuracy is not None}
    adapters = {adapter.name: adapter for adapter in store.adapters(run.id).values()}
    return [
        Source(
            place,
            run,
            attempt,
            store.question(attempt),
            tuple(_lineage(attempt.completion.adapter, adapters)),
            confirmed.get(attempt.id),
        )
        for place, attempt in enumerate(attempts, 1)
    ]


def _chosen(store: Store, run: RunRecord, number: int) -> AttemptRecord:
    attempt = store.attempt(number)
    if attempt.run_id != run.id or attempt.evaluation is None:
        what = "is of another run" if attempt.run_id != run.id else "was not trained and judged"
        raise UserError(what, where=f"attempt {number}")
    return attempt


def _accuracy(attempt: AttemptRecord) -> float:
    return attempt.evaluation.accuracy if attempt.evaluation else 0.0


def _lineage(name: str | None, adapters: dict[str, Adapter]) -> Iterator[Adapter]:
    while name is not None and name in adapters:
        yield adapters[name]
        name = adapters[name].parent


def written_by(attempt: AttemptRecord) -> str:
    """Who wrote a network, in words."""
    if attempt.arm is Arm.CORPUS:
        return "no language model: a corpus network changed at random"
    adapter = attempt.completion.adapter
    return f"{attempt.completion.model}, " + (f"adapter {adapter}" if adapter else "no adapter")
