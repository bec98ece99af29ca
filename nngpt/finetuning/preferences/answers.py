"""Read good and bad answers from a run's database, and pair them.

Admitted answers are good. Answers refused for their own faults are bad: unreadable, against the
contract, unsafe, not built, not trained, or below the threshold. Duplicates and near-duplicates are
neither, because the other copy may be a good answer.
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
class RatedAnswer:
    """An answer of a run, rated good or bad.

    Attributes:
        prompt: the prompt that it answers.
        text: the LLM's raw text, since good and bad answers must not differ by our formatting.
        finished: False if the token limit cut the answer off, so that it does not end its turn.
        good: True if admitted, False if refused.
        source: name of the attempt.
    """

    prompt: Prompt
    text: str
    finished: bool
    good: bool
    source: str


@dataclass(frozen=True)
class AnswerPair:
    """A better (`chosen`) and a worse answer (`rejected`) to the same prompt."""

    chosen: RatedAnswer
    rejected: RatedAnswer


def read_answers(store: Store, run_id: int) -> list[RatedAnswer]:
    """Return a run's admitted (good) and refused (bad) answers, in the order of writing.

    Raises:
        UserError: there are no good answers, or no bad ones.
    """
    prompts: dict[str, Prompt] = {}
    found = []
    for attempt in store.attempts(run_id, arm=Arm.LOOP):
        good = _is_good(attempt)
        if good is not None:
            if attempt.prompt_hash not in prompts:
                prompts[attempt.prompt_hash] = store.prompt(attempt.prompt_hash)
            prompt, completion = prompts[attempt.prompt_hash], attempt.completion
            if attempt.repairs:  # as in fine-tuning, a repair answers the original prompt
                prompt = store.question(attempt)
            source = f"attempt {attempt.id}"
            found.append(RatedAnswer(prompt, completion.text, completion.finished, good, source))
    _check_both_kinds(found, f"{store.path}, run {run_id}")
    return found


def pair_answers(answers: Sequence[RatedAnswer], rivals: int, seed: int) -> list[AnswerPair]:
    """Pair each good answer with `rivals` bad ones to its prompt, using all equally often.

    Args:
        rivals: maximum number of bad answers for each good one.
        seed: seed of the choice and of the order of the pairs.

    Raises:
        UserError: no prompt has both a good and a bad answer.
    """
    bad: defaultdict[Prompt, list[RatedAnswer]] = defaultdict(list)
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
        pairs += [AnswerPair(chosen, rejected) for rejected in deck[:count]]
        deck[:] = deck[count:] + deck[:count]
    if not pairs:
        raise UserError(
            "no prompt of this run has both an admitted and a refused answer",
            hint="Use KTO, which needs no pairs: --method kto.",
        )
    draw.shuffle(pairs)
    return pairs


def hash_answers(answers: Sequence[RatedAnswer]) -> str:
    """Return the sha256 of rated answers in their order, for the adapter's lineage."""
    found = hashlib.sha256()
    for answer in answers:
        facts = [prompt_hash(answer.prompt), answer.text, answer.finished, answer.good]
        found.update(canonical_json(facts).encode("utf-8", "surrogatepass"))
    return found.hexdigest()


def tokenize_answer(tokenizer: Any, answer: RatedAnswer) -> tuple[list[int], list[int]]:
    """Return the token ids of a rated answer and of its prompt, from the one renderer.

    As in fine-tuning, an answer ends its turn unless it was cut off.
    """
    prompt = chat.encode(tokenizer, chat.render(tokenizer, answer.prompt))
    ids = chat.encode(tokenizer, answer.text)
    return prompt, [*ids, tokenizer.eos_token_id] if answer.finished else ids


def _is_good(attempt: AttemptRecord) -> bool | None:
    """Return True for admitted, False for refused; None for unsettled attempts and duplicates."""
    if attempt.state is State.ADMITTED:
        return True
    if attempt.refusal is None or attempt.refusal.stage in _NEITHER:
        return None
    return False


def _check_both_kinds(answers: Sequence[RatedAnswer], where: str) -> None:
    good = sum(answer.good for answer in answers)
    if good in (0, len(answers)):
        raise UserError(
            f"nothing to compare: {good} admitted and {len(answers) - good} refused answers"
            " (duplicates count as neither)",
            where=where,
            hint="Run more cycles, or choose another run with --run.",
        )
