"""The gates that each attempt passes, in order: read, duplicate, training, threshold, novelty."""

from __future__ import annotations

import functools
from dataclasses import replace

from nngpt.cycle.context import RunContext
from nngpt.generation import contract
from nngpt.protocols import NoveltyMeasure
from nngpt.records import (
    MOST_PER_GPU,
    Arm,
    Candidate,
    Evaluation,
    Novelty,
    Refusal,
    Retraining,
    Stage,
    State,
    extra_epochs,
)
from nngpt.store import AttemptRecord

MAX_RESTARTS = 3
"""How many runners may end during the training of one candidate before it is refused."""

BEFORE_TRAINING = (State.GENERATED, State.PARSED, State.VALIDATED)


class Gates:
    """The gates of one cycle. Each method returns the attempt as stored after its gate.

    Attributes:
        context: the run.
        cycle: the cycle.
        known: the networks that each arm knows, by arm; arms know nothing of each other, so that
            control arms change nothing for the loop.
    """

    def __init__(self, context: RunContext, cycle: int) -> None:
        self.context, self.cycle = context, cycle
        self._prompt = functools.cache(context.store.prompt)  # the same for a whole batch
        self._texts: dict[int, str] = {}
        self.known = {arm: self._known_networks(cycle, arm) for arm in context.config.arms}

    # ------------------------------------------------------------------ before training

    def begin_training(self, attempt: AttemptRecord) -> AttemptRecord:
        """Read the completion and record the start of its training.

        Refuse unreadable answers, exact duplicates (unless the novelty filter is left out) and
        candidates that ended too many runners.
        """
        # A stored candidate stays, even if the templates have changed since it was read.
        candidate = attempt.candidate or self._read(attempt)
        if isinstance(candidate, Refusal):
            return self._refuse(attempt, candidate)
        lease, refusal = self.context.lease, self._refusal_before_training(attempt, candidate)
        with lease.together():
            if attempt.state == State.GENERATED:
                lease.parsed(attempt.id, candidate)
            attempt = replace(attempt, candidate=candidate, content_hash=candidate.content_hash)
            if refusal is not None:
                return self._refuse(attempt, refusal)
            if attempt.state != State.VALIDATED:
                lease.validated(attempt.id)
            lease.training(attempt.id)
        return replace(attempt, state=State.TRAINING)

    # ------------------------------------------------------------------ after training

    def record_training(
        self, attempt: AttemptRecord, outcome: Evaluation | Refusal
    ) -> AttemptRecord:
        """Store the outcome of an attempt's training; it is judged if it passed the threshold."""
        if isinstance(outcome, Refusal):
            return self._refuse(attempt, outcome)
        passed = self._passed(outcome.accuracy)
        with self.context.lease.together():
            self.context.lease.trained(attempt.id, outcome, self.context.parts.task)
            if passed:
                self.context.lease.judged(attempt.id)
        reached = State.JUDGED if passed else State.TRAINED
        return replace(attempt, state=reached, evaluation=outcome)

    def judge(self, attempt: AttemptRecord) -> AttemptRecord:
        """Refuse an accuracy below the threshold; the refused network is known from here on."""
        assert attempt.evaluation is not None
        if self._passed(attempt.evaluation.accuracy):  # older versions recorded this only now
            self.context.lease.judged(attempt.id)
            return replace(attempt, state=State.JUDGED)
        self._remember(attempt)
        accuracy, threshold = attempt.evaluation.accuracy, self.context.parts.task.threshold
        reason = f"accuracy {accuracy:.1%} is below the threshold {threshold:.1%}"
        return self._refuse(attempt, Refusal(Stage.THRESHOLD, reason))

    def measure_novelty(self, attempt: AttemptRecord) -> Novelty:
        """Compare a judged network with all that its arm knows."""
        novelty = self.known[attempt.arm].compare(self._text(attempt))
        ablated = {"novelty", "similarity"}.intersection(self.context.config.without)
        return replace(novelty, duplicate=False) if ablated else novelty

    def begin_retraining(self, attempt: AttemptRecord, seed: int) -> Retraining | None:
        """Record the start of a retraining; return a failed one if it ended too many runners."""
        if attempt.retrainings >= MAX_RESTARTS:
            reason = f"the runner ended {attempt.retrainings} times meanwhile"
            return Retraining(None, 0, seed, 0.0, None, reason)
        self.context.lease.retraining(attempt.id)
        return None

    def admit(
        self, attempt: AttemptRecord, novelty: Novelty, retraining: Retraining | None
    ) -> AttemptRecord:
        """Refuse a near-duplicate and what our own loop cannot train well enough, else admit.

        The network is known from here on.
        """
        self._remember(attempt)
        if novelty.duplicate:
            reason = f"Jaccard similarity {novelty.jaccard:.3f} to {novelty.nearest}"
            return self._refuse(attempt, Refusal(Stage.NOVELTY, reason), novelty)
        attempt = replace(attempt, retraining=retraining)
        if (refusal := self._refusal_after_retraining(attempt)) is not None:
            return self._refuse(attempt, refusal, novelty)
        self.context.lease.admit(attempt.id, novelty, retraining, copies=self._takes_copies)
        return replace(attempt, state=State.ADMITTED, novelty=novelty)

    def close(self, attempt: AttemptRecord) -> None:
        """Let later attempts know a network whose training was stopped early."""
        if _stopped_early(attempt) and attempt.candidate is not None:
            self._remember(attempt)

    # ------------------------------------------------------------------ steps of the gates

    @property
    def _takes_copies(self) -> bool:
        """Whether the novelty filter is left out: copies are trained and admitted, too."""
        return "novelty" in self.context.config.without

    def _read(self, attempt: AttemptRecord) -> Candidate | Refusal:
        """Read the completion as an answer to the prompt that was asked; propose its settings."""
        asked = self._prompt(attempt.prompt_hash)
        return self.context.parts.read(attempt.completion.text, asked)

    def _passed(self, accuracy: float) -> bool:
        """Return whether an accuracy passes the threshold, or the threshold is left out."""
        without = self.context.config.without
        return accuracy >= self.context.parts.task.threshold or "threshold" in without

    def _refusal_before_training(
        self, attempt: AttemptRecord, candidate: Candidate
    ) -> Refusal | None:
        """Return why a candidate that was read is not trained, None if it is."""
        if attempt.state != State.VALIDATED:
            twin = None if self._takes_copies else self._twin(attempt, candidate)
            return Refusal(Stage.DUPLICATE, f"same network as {twin}") if twin else None
        if attempt.restarts >= MAX_RESTARTS:
            reason = f"the runner ended {attempt.restarts} times while training it"
            return Refusal(Stage.TRAIN, reason)
        return None

    def _twin(self, attempt: AttemptRecord, candidate: Candidate) -> str | None:
        """Name a known network with the same code (white space apart), None if there is none."""
        context, digest = self.context, candidate.content_hash
        known = context.store.known_hash(context.run_id, digest, attempt.arm)
        if known is not None and known != attempt.id:
            return f"attempt {known}"
        networks = context.parts.start.networks.items()
        return next((name for name, other in networks if other.content_hash == digest), None)

    def _refusal_after_retraining(self, attempt: AttemptRecord) -> Refusal | None:
        """Return why the training by our own loop refuses a network, None if it does not."""
        ours, own = attempt.retraining, attempt.evaluation
        if ours is None or own is None:
            return None
        if ours.accuracy is None:
            return Refusal(Stage.TRAIN, f"our own loop failed at {ours.reason}")
        sharing = 1 if own.device == "cpu" else MOST_PER_GPU
        if (refusal := extra_epochs(attempt.relative_effort, sharing)) is not None:
            return refusal
        if self._passed(ours.accuracy):
            return None
        threshold = self.context.parts.task.threshold
        trained = f"accuracy {own.accuracy:.1%} with its own training loop, but {ours.accuracy:.1%}"
        reason = f"{trained} with ours is below the threshold {threshold:.1%}"
        return Refusal(Stage.THRESHOLD, reason)

    def _refuse(
        self, attempt: AttemptRecord, refusal: Refusal, novelty: Novelty | None = None
    ) -> AttemptRecord:
        self.context.lease.refuse(attempt.id, refusal, novelty, attempt.retraining)
        return replace(attempt, state=State.REFUSED, refusal=refusal, novelty=novelty)

    def _remember(self, attempt: AttemptRecord) -> None:
        """Make the network known to its arm."""
        self.known[attempt.arm].add(_name(attempt), self._text(attempt))
        del self._texts[attempt.id]

    def _text(self, attempt: AttemptRecord) -> str:
        """Return the text on which an attempt's novelty is measured; finding it takes long."""
        assert attempt.candidate is not None
        if attempt.id not in self._texts:
            self._texts[attempt.id] = contract.novelty_text(attempt.candidate)
        return self._texts[attempt.id]

    def _known_networks(self, cycle: int, arm: Arm) -> NoveltyMeasure:
        """Index the networks known at the start, and what the arm admitted before or trained now.

        The index is rebuilt from the store, so that a resumed cycle knows what it knew.
        """
        context = self.context
        measure = context.parts.known_before()
        earlier = [a for a in context.store.admitted(context.run_id, arm=arm) if a.cycle < cycle]
        written = context.store.attempts(context.run_id, cycle, with_code=True, arm=arm)
        now = [a for a in written if a.settled and (a.evaluation or _stopped_early(a))]
        for attempt in [*earlier, *now]:
            if attempt.candidate is not None:
                measure.add(_name(attempt), contract.novelty_text(attempt.candidate))
        return measure


def _stopped_early(attempt: AttemptRecord) -> bool:
    """Return whether early stopping ended the attempt's training."""
    refusal = attempt.refusal
    return refusal is not None and refusal.stage is Stage.THRESHOLD and not attempt.evaluation


def _name(attempt: AttemptRecord) -> str:
    """Return the attempt's name in the novelty index and in reasons of refusals."""
    return f"attempt {attempt.id}"
