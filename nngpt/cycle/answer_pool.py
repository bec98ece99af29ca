"""What an arm's next answers are chosen from, and its best networks, as the store knows them.

Whatever depends on how far trainings are is of the cycles that a prompt may know, so that speed
does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nngpt.cycle.context import RunContext
from nngpt.generation import best_of
from nngpt.generation.contract import novelty_text
from nngpt.generation.expectation import Try
from nngpt.generation.prompts.repair import REPAIRABLE
from nngpt.records import Arm, Candidate, Prompt, Refusal
from nngpt.store import AttemptRecord

MUTATED = 10
"""So many best networks are changed at random, or crossed."""


def answer_pool(
    context: RunContext, arm: Arm, prompt: Prompt, place: tuple[int, int]
) -> best_of.Pool:
    """Return what an arm chooses its next first answers to a prompt from.

    The control arm `base` knows its own texts only: it must not learn.

    Args:
        place: the cycle, and the number of the next batch.
    """
    limits = context.config.candidates
    if limits.best_of == 1 and not limits.mutations:
        return best_of.Pool()
    found = context.store.attempts(context.run_id, with_code=True, arm=arm)
    texts = set(whole_answers(context, found, canonical=False))
    is_near = _is_near(context, found, prompt)
    if arm is not Arm.LOOP:
        return best_of.Pool(written=limits.best_of, known=texts, is_near=is_near)
    earlier = [attempt for attempt in found if attempt.cycle <= place[0] - 1 - limits.lag]
    answers = whole_answers(context, earlier)
    return best_of.Pool(
        written=limits.best_of,
        mutations=limits.mutations,
        best=best_answers(context, earlier, place),
        known=texts.union(answers),
        choose_by=limits.choose_by,
        tries=_tries(earlier, answers),
        is_near=is_near,
    )


def best_answers(
    context: RunContext, attempts: Sequence[AttemptRecord], place: tuple[int, int]
) -> list[str]:
    """Return the best trained answers of an arm, the best first, for a change in a place.

    They are of the place's island, if any is.

    Args:
        place: a cycle, and the number of a batch.
    """
    ranked = sorted(
        (_is_elsewhere(context, a, place), -a.result.accuracy, a.id, answer)
        for a, answer in zip(attempts, whole_answers(context, attempts), strict=True)
        if a.result and a.candidate
    )
    return [answer for elsewhere, _, _, answer in ranked if elsewhere == ranked[0][0]][:MUTATED]


def whole_answers(
    context: RunContext, attempts: Sequence[AttemptRecord], canonical: bool = True
) -> list[str]:
    """Return the answers of attempts, each with the prefill of its prompt.

    Args:
        canonical: whether an answer that was read is given as its network is written.
    """
    hashes = {attempt.prompt_hash for attempt in attempts}
    prefills = {key: context.store.prompt(key).prefill for key in hashes}
    return [
        prefills[a.prompt_hash]
        + (a.candidate.written if a.candidate and canonical else a.completion.text)
        for a in attempts
    ]


def _is_elsewhere(context: RunContext, one: AttemptRecord, place: tuple[int, int]) -> bool:
    """Return whether an attempt of the loop was written on another island than a place's."""
    island = context.parts.prompts.island
    return one.arm is Arm.LOOP and island(one.cycle, one.batch) != island(*place)


def _is_near(
    context: RunContext, given: Sequence[AttemptRecord], asked: Prompt
) -> Callable[[str], bool]:
    """Return what tells whether a completion is a near-duplicate of a known network.

    Known are the networks from before the run, all that the arm has given, whatever came of it,
    and the completions it was asked of that are no near-duplicates. What cannot be read is
    none, so that it is tried and counted like any other answer.
    """
    reader, prompt_of = context.parts.reader, context.store.prompt
    if {"novelty", "similarity"}.intersection(context.config.without):
        return lambda _text: False
    known = context.parts.known_before()

    def is_near(found: Candidate | Refusal) -> bool:
        if isinstance(found, Refusal):
            return False
        text = novelty_text(found)
        if known.compare(text).duplicate:
            return True
        known.add(found.content_hash, text)
        return False

    for one in given:
        text, hashed = one.completion.text, one.prompt_hash
        is_near(one.candidate or reader.read_answer(text, prompt_of(hashed)))
    return lambda text: is_near(reader.read_answer(text, asked))


def _tries(attempts: Sequence[AttemptRecord], answers: Sequence[str]) -> list[Try]:
    """Return what came of attempts; repeats and trainings that were stopped are left out."""
    return [
        Try(answer, attempt.result.accuracy if attempt.result else None)
        for attempt, answer in zip(attempts, answers, strict=True)
        if attempt.result or (attempt.refusal and attempt.refusal.stage in REPAIRABLE)
    ]
