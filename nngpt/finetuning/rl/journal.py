"""Record every step and every answer of an RL run, in two JSONL files beside the checkpoints."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from nngpt.errors import UserError
from nngpt.files import append_lines, whole_lines, write_file
from nngpt.finetuning.rl.scoring import ScoredAnswer
from nngpt.records import Refusal
from nngpt.statistics import mean_half_width

STEPS = "steps.jsonl"
ANSWERS = "completions.jsonl"


@dataclass(frozen=True)
class StepRecord:
    """Record of one RL step, a line of `steps.jsonl`.

    Attributes:
        step: number of the step, from 1.
        answers: number of answers written.
        reward: mean weighted sum of the terms.
        half_width: half-width of the 95% t interval of `reward`.
        terms: mean of each term, without its weight.
        trained: number of answers whose network trained and was judged.
        refused: number of the other answers by the stage that refused them.
        accuracy: mean validation accuracy of the trained networks, None if none trained.
        unique: share of distinct networks (or texts, for answers without one) among the answers.
        tokens: mean tokens of an answer.
        unfinished: number of answers that the token limit cut off.
        executed: number of networks trained in this step.
        known: number of networks that had been executed before.
        kl: mean KL divergence per token from the start of the training, in nats.
        entropy: mean entropy per token, in nats.
        clipped: share of tokens whose probability ratio was clipped.
        loss: loss of the last update, with its `grad_norm` and `learning_rate`.
        seconds: wall time of "generation", "execution" and "update".
    """

    step: int
    answers: int
    reward: float
    half_width: float | None
    terms: Mapping[str, float]
    trained: int
    refused: Mapping[str, int]
    accuracy: float | None
    unique: float
    tokens: float
    unfinished: int
    executed: int
    known: int
    kl: float
    entropy: float
    clipped: float
    loss: float
    grad_norm: float
    learning_rate: float
    seconds: Mapping[str, float]


@dataclass(frozen=True)
class AnswerRecord:
    """Record of one answer of an RL run, a line of `completions.jsonl`.

    Attributes:
        group: number of the group within the step, from 0.
        text: the answer after the prefill.
        finished: False if the token limit cut the answer off.
        network: LEMUR's id of the network, None without a network.
        accuracy: validation accuracy of a network that trained.
        refused: stage that refused the answer, "" if it trained.
        reason: reason of the refusal, "" if it trained.
        rewards: value of each term, without its weight; `total` is their weighted sum.
        known: True if an equal network had been executed before.
    """

    step: int
    group: int
    text: str = field(repr=False)
    tokens: int
    finished: bool
    network: str | None
    accuracy: float | None
    refused: str
    reason: str
    rewards: Mapping[str, float]
    total: float
    known: bool


_Line = TypeVar("_Line")
_STEP = TypeAdapter(StepRecord)
_ANSWER = TypeAdapter(AnswerRecord)


class Journal:
    """The journal of an RL run: two files in a folder, a step's answers written before the step.

    Attributes:
        steps: recorded steps, in order.
    """

    def __init__(self, folder: Path) -> None:
        self._steps, self._answers = folder / STEPS, folder / ANSWERS
        self.steps = _read_lines(self._steps, _STEP)

    def answers(self) -> list[AnswerRecord]:
        """Return all recorded answers, in order."""
        return _read_lines(self._answers, _ANSWER)

    def truncate(self, step: int) -> None:
        """Delete the records of all later steps, which are about to be repeated."""
        self.steps = [s for s in self.steps if s.step <= step]
        write_file(self._steps, (_STEP.dump_json(s) + b"\n" for s in self.steps))
        kept = [a for a in self.answers() if a.step <= step]
        write_file(self._answers, (_ANSWER.dump_json(a) + b"\n" for a in kept))

    def add(self, step: StepRecord, groups: Sequence[Sequence[ScoredAnswer]]) -> None:
        """Record a step and its answers."""
        answers = [
            _ANSWER.dump_json(_answer_record(step.step, number, scored))
            for number, group in enumerate(groups)
            for scored in group
        ]
        append_lines(self._answers, answers)
        append_lines(self._steps, [_STEP.dump_json(step)])
        self.steps.append(step)

    def digest(self) -> str:
        """Return the sha256 of all answers and their total rewards, for the adapter's lineage."""
        digest = hashlib.sha256()
        for answer in self.answers():
            digest.update(f"{answer.text!r} {answer.total!r}\n".encode())
        return digest.hexdigest()


def step_record(
    step: int,
    groups: Sequence[Sequence[ScoredAnswer]],
    executed: int,
    measured: Mapping[str, float],
    seconds: Mapping[str, float],
) -> StepRecord:
    """Summarise an RL step's answers and the trainer's figures in a journal record.

    Args:
        groups: scored answers of the step.
        executed: number of networks trained in the step.
        measured: figures logged by TRL's trainer, by TRL's names.
        seconds: wall time by activity.
    """
    answers = [answer for group in groups for answer in group]
    reward, half = mean_half_width([answer.total for answer in answers])
    evaluations = [answer.evaluation for answer in answers if answer.evaluation]
    outcomes = [answer.rollout.outcome for answer in answers]
    refused = Counter(str(found.stage) for found in outcomes if isinstance(found, Refusal))
    written = [answer.rollout.completion for answer in answers]
    return StepRecord(
        step=step,
        answers=len(answers),
        reward=reward,
        half_width=half,
        terms={name: fmean(a.rewards[name] for a in answers) for name in answers[0].rewards},
        trained=len(evaluations),
        refused=dict(refused),
        accuracy=fmean(e.accuracy for e in evaluations) if evaluations else None,
        unique=len({answer.identity for answer in answers}) / len(answers),
        tokens=fmean(completion.completion_tokens for completion in written),
        unfinished=sum(not completion.finished for completion in written),
        executed=executed,
        known=sum(answer.known for answer in answers),
        kl=measured["kl"],
        entropy=measured["entropy"],
        clipped=measured["clip_ratio/region_mean"],
        loss=measured["loss"],
        grad_norm=measured["grad_norm"],
        learning_rate=measured["learning_rate"],
        seconds=dict(seconds),
    )


def _answer_record(step: int, group: int, scored: ScoredAnswer) -> AnswerRecord:
    completion, candidate = scored.rollout.completion, scored.rollout.candidate
    outcome = scored.rollout.outcome
    refusal = outcome if isinstance(outcome, Refusal) else None
    return AnswerRecord(
        step=step,
        group=group,
        text=completion.text,
        tokens=completion.completion_tokens,
        finished=completion.finished,
        network=candidate.content_hash if candidate else None,
        accuracy=scored.evaluation.accuracy if scored.evaluation else None,
        refused=str(refusal.stage) if refusal else "",
        reason=refusal.reason if refusal else "",
        rewards=dict(scored.rewards),
        total=scored.total,
        known=scored.known,
    )


def _read_lines(file: Path, line: TypeAdapter[_Line]) -> list[_Line]:
    """Return the whole lines of a file. Raises: UserError if one is damaged."""
    found = []
    for number, text in enumerate(whole_lines(file), 1):
        try:
            found.append(line.validate_json(text))
        except ValidationError:
            hint = "Restore it, or start over with --fresh."
            raise UserError("is damaged", where=f"{file}, line {number}", hint=hint) from None
    return found
