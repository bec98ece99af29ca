"""From a run's database to answers that are good or bad, and to pairs of them.

Good is what was admitted. Bad is what was refused for its own faults: unreadable, against the
contract, unsafe, not built, not trained, below the threshold. A duplicate or near-duplicate is
neither: its twin may be the very answer that is good.
"""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nngpt.errors import UserError
from nngpt.generation.models import chat
from nngpt.records import Arm, Prompt, Stage, State, canonical_json
from nngpt.store import AttemptRecord, Store, prompt_hash

_NEITHER = frozenset({Stage.DUPLICATE, Stage.NOVELTY})


@dataclass(frozen=True)
class Answer:
    """One answer of a run.

    Attributes:
        text: as the LLM wrote it; good and bad ones must not differ by our tidying up.
        finished: False when the token limit cut it off: it does not end its turn.
        good: admitted, or refused.
        source: which attempt it was.
    """

    prompt: Prompt
    text: str
    finished: bool
    good: bool
    source: str


@dataclass(frozen=True)
class Comparison:
    """Two answers to the same prompt, the first better than the second."""

    chosen: Answer
    rejected: Answer


def answers_of(store: Store, run_id: int) -> list[Answer]:
    """The good and bad answers of a run, in the order of writing.

    Raises:
        UserError: none is good, or none is bad.
    """
    prompts: dict[str, Prompt] = {}
    found = []
    for attempt in store.attempts(run_id, arm=Arm.LOOP):
        good = _verdict(attempt)
        if good is not None:
            if attempt.prompt_hash not in prompts:
                prompts[attempt.prompt_hash] = store.prompt(attempt.prompt_hash)
            prompt, completion = prompts[attempt.prompt_hash], attempt.completion
            if attempt.repairs:  # as in fine-tuning: it should have been written at once
                prompt = store.question(attempt)
            source = f"attempt {attempt.id}"
            found.append(Answer(prompt, completion.text, completion.finished, good, source))
    _refuse_one_sided(found, f"{store.path}, run {run_id}")
    return found


def comparisons(answers: Sequence[Answer], rivals: int, seed: int) -> list[Comparison]:
    """Each good answer against `rivals` bad ones to its prompt, all used equally often.

    Raises:
        UserError: no prompt has both a good and a bad answer.
    """
    bad: defaultdict[Prompt, list[Answer]] = defaultdict(list)
    for answer in answers:
        if not answer.good:
            bad[answer.prompt].append(answer)
    draw = random.Random(seed)
    for rejected in bad.values():
        draw.shuffle(rejected)
    pairs = []
    for chosen in (answer for answer in answers if answer.good and bad[answer.prompt]):
        deck = bad[chosen.prompt]
        count = min(rivals, len(deck))
        pairs += [Comparison(chosen, rejected) for rejected in deck[:count]]
        deck[:] = deck[count:] + deck[:count]
    if not pairs:
        raise UserError(
            "no prompt of this run has both an admitted and a refused answer",
            hint="Use KTO, which needs no pairs: --method kto.",
        )
    draw.shuffle(pairs)
    return pairs


def digest(answers: Sequence[Answer]) -> str:
    """sha256 over the answers in their order; part of the adapter's lineage."""
    found = hashlib.sha256()
    for answer in answers:
        facts = [prompt_hash(answer.prompt), answer.text, answer.finished, answer.good]
        found.update(canonical_json(facts).encode("utf-8", "surrogatepass"))
    return found.hexdigest()


def encode(tokenizer: Any, answer: Answer) -> tuple[list[int], list[int]]:
    """Token ids of prompt and answer, apart, by the one renderer.

    As in fine-tuning, an answer ends its turn; one that was cut off does not.
    """
    prompt = chat.encode(tokenizer, chat.render(tokenizer, answer.prompt))
    ids = chat.encode(tokenizer, answer.text)
    return prompt, [*ids, tokenizer.eos_token_id] if answer.finished else ids


def _verdict(attempt: AttemptRecord) -> bool | None:
    """True for admitted, False for refused; None for what is open, or a twin of another."""
    if attempt.state is State.ADMITTED:
        return True
    if attempt.refusal is None or attempt.refusal.stage in _NEITHER:
        return None
    return False


def _refuse_one_sided(answers: Sequence[Answer], where: str) -> None:
    good = sum(answer.good for answer in answers)
    if good in (0, len(answers)):
        raise UserError(
            f"nothing to compare: {good} admitted and {len(answers) - good} refused answers"
            " (duplicates count as neither)",
            where=where,
            hint="Let it run more cycles, or choose another run with --run.",
        )
