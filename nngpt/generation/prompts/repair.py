"""Repairs: which refused answer goes back to the LLM with its reason, and first answers.

A repair is an attempt of its own and is counted separately ("Raw numbers" in docs/design.md). The
first repairs of a cycle begin when all its first answers are settled, second repairs when all
first repairs are, and random changes in place of repeats when no repair can be needed any more;
the LLM does not repair these. So the raw figures of a cycle do not depend on its repairs, and the
repairs do not depend on the speed of the machine.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from nngpt.generation import modes
from nngpt.records import Message, Prompt, Refusal, Stage
from nngpt.store import AttemptRecord

REPAIRABLE = frozenset(
    {Stage.PARSE, Stage.CONTRACT, Stage.SAFETY, Stage.BUILD, Stage.FORWARD, Stage.TRAIN}
)
"""Stages whose refusals can be repaired; a copy or a weak network has no mistake to correct."""

REPEATED = frozenset({Stage.DUPLICATE})
"""Stages whose refusals a random change repairs (`candidates.repeats: mutate`)."""

_MAX_DETAIL = 2_000
ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,}\b")
"""A memory address in the reason of a refusal; each process has others."""


def first_answers(attempts: Sequence[AttemptRecord]) -> list[AttemptRecord]:
    """Return the attempts that a repair prompt may be made for: those that are no repairs."""
    return [attempt for attempt in attempts if not attempt.repairs]


def answers_of_llm(attempts: Sequence[AttemptRecord]) -> list[AttemptRecord]:
    """Return the attempts that are no random changes in place of repeats."""
    repeats = {a.id for a in attempts if a.refusal and a.refusal.stage in REPEATED}
    return [attempt for attempt in attempts if attempt.repaired_from not in repeats]


def next_repair(
    attempts: Sequence[AttemptRecord],
    most: int,
    given_up: Collection[int] = (),
    stages: Collection[Stage] = REPAIRABLE,
) -> AttemptRecord | None:
    """Return the refused attempt to which the next repair prompt belongs, or None.

    Args:
        attempts: all attempts of the cycle, in the order of writing.
        most: largest number of repairs of one first answer.
        given_up: ids of attempts that cannot be repaired.
        stages: stages of the refusals to repair.

    Returns:
        None if nothing is left to repair, or if attempts of the round before are not settled yet.
    """
    repaired = {attempt.repaired_from for attempt in attempts}
    for repairs in range(most):
        before = [attempt for attempt in attempts if attempt.repairs == repairs]
        if not all(attempt.settled for attempt in before):
            return None
        for attempt in before:
            refused = attempt.refusal is not None and attempt.refusal.stage in stages
            if refused and attempt.id not in repaired and attempt.id not in given_up:
                return attempt
    return None


def repair_prompt(asked: Prompt, text: str, refusal: Refusal) -> Prompt:
    """Return a repair's prompt, which ends with the refused completion `text` and the reason."""
    answer = asked.prefill + text.encode("utf-8", "replace").decode().replace("\0", "")
    turns = (Message("assistant", answer), Message("user", refusal_message(asked.mode, refusal)))
    return replace(asked, messages=(*asked.messages, *turns))


def refusal_message(mode: str, refusal: Refusal) -> str:
    """Return the message that asks for a repair, without memory addresses, for repeatability."""
    detail = f"\n{refusal.detail[:_MAX_DETAIL]}" if refusal.detail else ""
    against = "against the same network as before, " if modes.load(mode).changes_parent else ""
    return (
        f"That answer was refused ({refusal.stage}): "
        f"{ADDRESS.sub('0x…', refusal.reason + detail)}\n\n"
        f"Answer again, {against}whole and in the same form, with the mistake corrected."
    )
