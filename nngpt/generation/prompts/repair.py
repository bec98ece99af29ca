"""Repairs: a refused answer goes back to the LLM with the reason, and it answers once more.

A repair is an attempt of its own and is counted apart (invariant 7). The first repairs of a cycle
begin when all its first answers are settled, the second ones when all the first repairs are. So
nothing that is counted raw depends on the repairs of its cycle, and nothing on how fast the
machine is.
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
"""The stages whose refusals go back; a copy or a weak network is no mistake to be corrected."""

_LONGEST_DETAIL = 2_000
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,}\b")


def first_answers(attempts: Sequence[AttemptRecord]) -> list[AttemptRecord]:
    """The attempts that repair nothing."""
    return [attempt for attempt in attempts if not attempt.repairs]


def next_repair(
    attempts: Sequence[AttemptRecord], most: int, given_up: Collection[int]
) -> AttemptRecord | None:
    """The refused attempt to be repaired next, in a cycle that writes no more first answers.

    Args:
        attempts: all of the cycle, in the order of writing.
        most: how often an answer may be repaired.
        given_up: ids of attempts that cannot be repaired.

    Returns:
        None if there is none, or if the attempts before it are not settled yet.
    """
    repaired = {attempt.repaired_from for attempt in attempts}
    for repairs in range(most):
        before = [attempt for attempt in attempts if attempt.repairs == repairs]
        if not all(attempt.settled for attempt in before):
            return None
        for attempt in before:
            refused = attempt.refusal is not None and attempt.refusal.stage in REPAIRABLE
            if refused and attempt.id not in repaired and attempt.id not in given_up:
                return attempt
    return None


def repair_prompt(asked: Prompt, text: str, refusal: Refusal) -> Prompt:
    """The chat so far, the refused answer (`text` follows the prefill), and why it was refused."""
    answer = asked.prefill + text.encode("utf-8", "replace").decode().replace("\0", "")
    turns = (Message("assistant", answer), Message("user", complaint(asked.mode, refusal)))
    return replace(asked, messages=(*asked.messages, *turns))


def complaint(mode: str, refusal: Refusal) -> str:
    """What the LLM is told; without addresses in memory, which no second run would repeat."""
    detail = f"\n{refusal.detail[:_LONGEST_DETAIL]}" if refusal.detail else ""
    against = "against the same network as before, " if modes.load(mode).changes_parent else ""
    return (
        f"That answer was refused ({refusal.stage}): "
        f"{_ADDRESS.sub('0x…', refusal.reason + detail)}\n\n"
        f"Answer again, {against}whole and in the same form, with the mistake corrected."
    )
