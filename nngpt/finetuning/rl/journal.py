"""What happened in each step, and to each answer: two JSONL files beside the checkpoints."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError

from nngpt.errors import UserError
from nngpt.finetuning.rl.judge import Judged
from nngpt.records import Refusal
from nngpt.statistics import mean_half_width

STEPS = "steps.jsonl"
ANSWERS = "completions.jsonl"


@dataclass(frozen=True)
class StepRecord:
    """One step, a line of `steps.jsonl`.

    Attributes:
        step: counted from 1.
        answers: how many were written.
        reward: mean weighted sum of the terms.
        half_width: of its 95% t interval.
        terms: mean of each term, without its weight.
        trained: answers that were networks which trained and were judged.
        refused: the others by the gate at which they were refused.
        accuracy: mean validation accuracy of those that trained, None if none did.
        unique: share of distinct networks (distinct texts, where there is none) among the answers.
        tokens: mean length of the answers; `unfinished` were cut off by the token limit.
        executed: networks that were trained in this step; `known` had been before.
        kl: mean KL divergence per token to where training started.
        entropy: mean entropy per token, in nats.
        clipped: share of tokens whose change was clipped.
        loss: of the last update; so are `grad_norm` and `learning_rate`.
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
    """One answer, a line of `completions.jsonl`.

    Attributes:
        group: number of its group within the step, from 0.
        finished: False when the token limit cut it off.
        network: LEMUR's id of the network, None if there is none.
        accuracy: of a network that trained.
        refused: the gate at which it was refused, "" if it trained; `reason` says why.
        rewards: each term, without its weight.
        total: their weighted sum.
        known: an equal network had been executed before.
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


class _Numbered(Protocol):
    @property
    def step(self) -> int: ...


_Line = TypeVar("_Line", bound=_Numbered)
_STEP = TypeAdapter(StepRecord)
_ANSWER = TypeAdapter(AnswerRecord)


class Journal:
    """The two files in a folder. A step's answers are written before the step itself.

    Attributes:
        steps: the steps on record, in order.
    """

    def __init__(self, folder: Path) -> None:
        self._steps, self._answers = folder / STEPS, folder / ANSWERS
        self.steps = _read(self._steps, _STEP)

    def answers(self) -> list[AnswerRecord]:
        """All answers on record, in order."""
        return _read(self._answers, _ANSWER)

    def cut(self, step: int) -> None:
        """Forget what came after a step: it is about to be done again."""
        self.steps = [s for s in self.steps if s.step <= step]
        _write(self._steps, (_STEP.dump_json(s) for s in self.steps))
        kept = (a for a in self.answers() if a.step <= step)
        _write(self._answers, [_ANSWER.dump_json(a) for a in kept])

    def add(self, step: StepRecord, groups: Sequence[Sequence[Judged]]) -> None:
        """Record a step and its answers."""
        answers = [
            _ANSWER.dump_json(_answer(step.step, number, judged))
            for number, group in enumerate(groups)
            for judged in group
        ]
        _append(self._answers, answers)
        _append(self._steps, [_STEP.dump_json(step)])
        self.steps.append(step)

    def digest(self) -> str:
        """sha256 over all answers and what each earned: what was learned from."""
        digest = hashlib.sha256()
        for answer in self.answers():
            digest.update(f"{answer.text!r} {answer.total!r}\n".encode())
        return digest.hexdigest()


def describe(
    step: int,
    groups: Sequence[Sequence[Judged]],
    executed: int,
    measured: Mapping[str, float],
    seconds: Mapping[str, float],
) -> StepRecord:
    """The record of a step; `measured` are the trainer's own figures, by TRL's names."""
    judged = [answer for group in groups for answer in group]
    reward, half = mean_half_width([answer.total for answer in judged])
    evaluations = [answer.trained for answer in judged if answer.trained]
    refused = Counter(
        str(answer.rollout.outcome.stage)
        for answer in judged
        if isinstance(answer.rollout.outcome, Refusal)
    )
    written = [answer.rollout.completion for answer in judged]
    return StepRecord(
        step=step,
        answers=len(judged),
        reward=reward,
        half_width=half,
        terms={name: fmean(a.rewards[name] for a in judged) for name in judged[0].rewards},
        trained=len(evaluations),
        refused=dict(refused),
        accuracy=fmean(e.accuracy for e in evaluations) if evaluations else None,
        unique=len({answer.network for answer in judged}) / len(judged),
        tokens=fmean(completion.completion_tokens for completion in written),
        unfinished=sum(not completion.finished for completion in written),
        executed=executed,
        known=sum(answer.known for answer in judged),
        kl=measured["kl"],
        entropy=measured["entropy"],
        clipped=measured["clip_ratio/region_mean"],
        loss=measured["loss"],
        grad_norm=measured["grad_norm"],
        learning_rate=measured["learning_rate"],
        seconds=dict(seconds),
    )


def _answer(step: int, group: int, judged: Judged) -> AnswerRecord:
    completion, candidate = judged.rollout.completion, judged.rollout.candidate
    outcome = judged.rollout.outcome
    refusal = outcome if isinstance(outcome, Refusal) else None
    return AnswerRecord(
        step=step,
        group=group,
        text=completion.text,
        tokens=completion.completion_tokens,
        finished=completion.finished,
        network=candidate.content_hash if candidate else None,
        accuracy=judged.trained.accuracy if judged.trained else None,
        refused=str(refusal.stage) if refusal else "",
        reason=refusal.reason if refusal else "",
        rewards=dict(judged.rewards),
        total=judged.total,
        known=judged.known,
    )


def _read(file: Path, line: TypeAdapter[_Line]) -> list[_Line]:
    """The lines of a file; the last may have been torn by a kill, and is left out then."""
    raw = file.read_bytes().splitlines() if file.exists() else []
    found = []
    for number, text in enumerate(raw, 1):
        try:
            found.append(line.validate_json(text))
        except ValidationError:
            if number < len(raw):
                hint = "Restore it, or begin anew with --fresh."
                raise UserError("is damaged", where=f"{file}, line {number}", hint=hint) from None
    return found


def _append(file: Path, lines: Iterable[bytes]) -> None:
    with file.open("ab") as stream:
        stream.write(b"".join(line + b"\n" for line in lines))
        stream.flush()
        os.fsync(stream.fileno())


def _write(file: Path, lines: Iterable[bytes]) -> None:
    draft = file.with_name(f".{file.name}.part")
    draft.unlink(missing_ok=True)
    _append(draft, lines)
    draft.rename(file)
