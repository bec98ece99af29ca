"""Write more answers than are tried, and keep those of which most is expected.

`candidates.choose_by` says how: by the LLM's own likelihoods, or by what a Gaussian process expects
from the LLM's view of the texts (`nngpt.generation.expectation`).

With `prompt.accuracy_quantiles` the LLM has learned which answers reached which quantile of
accuracy, so it can say how much likelier an answer is in the best quantile than in the worst. This
is how TPE chooses (J. Bergstra et al., Algorithms for Hyper-Parameter Optimization, NeurIPS 2011),
with the LLM as both of its densities.

Random changes of the best networks may compete (`candidates.mutations`): near the end of a search
most of what an LLM writes is known already.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from nngpt.config import CandidatesConfig
from nngpt.errors import ConfigError
from nngpt.generation import expectation
from nngpt.generation.expectation import Try
from nngpt.generation.llm.mutation import MutationLLM
from nngpt.generation.prompts.quantiles import in_worst_quantile
from nngpt.protocols import LLM, EmbedsAnswers, ScoresAnswers
from nngpt.records import Completion, Prompt, Sampling, derive_seed

LIKELIHOOD = "likelihood"
"""Value of `candidates.choose_by`; the other one is "embedding"."""


def check(candidates: CandidatesConfig, llm: LLM) -> None:
    """Check that a backend can compare answers, if it shall. Raises: ConfigError, ModelError."""
    if candidates.best_of > 1:
        where, hint = "candidates.best_of", "Set it to 1."
    elif candidates.mutations:
        where, hint = "candidates.mutations", "Set it to 0."
    else:
        return
    if candidates.choose_by == LIKELIHOOD:
        if not isinstance(llm, ScoresAnswers):
            what = f"the backend of {llm.model!r} does not tell how likely an answer is"
            raise ConfigError(what, where=where, hint=hint)
    elif isinstance(llm, EmbedsAnswers):
        llm.embed(["x"])
    else:
        what = f"the backend of {llm.model!r} does not turn answers into vectors"
        raise ConfigError(what, where=where, hint=hint)


@dataclass(frozen=True)
class Pool:
    """What an arm's LLM chooses from, for each answer that is kept.

    Attributes:
        written: answers that the LLM writes.
        mutations: random changes of one of the `best`.
        best: whole answers to change; without any, nothing is changed.
        known: whole answers that the arm has given before.
        choose_by: `candidates.choose_by`.
        tries: what came of the arm's answers, for a choice by embedding.
        is_near: whether a completion is a near-duplicate of a known network, or of one that it was
            asked of before; asked in order of preference.
    """

    written: int = 1
    mutations: int = 0
    best: Sequence[str] = ()
    known: Collection[str] = ()
    choose_by: str = LIKELIHOOD
    tries: Sequence[Try] = ()
    is_near: Callable[[str], bool] = lambda _text: False


def write(
    llm: LLM, prompt: Prompt, count: int, seed: int, sampling: Sampling, pool: Pool
) -> list[Completion]:
    """Return the best `count` completions of a pool: the LLM's as written, then random changes.

    Cut-off texts, known answers, repeats and near-duplicates are kept only where there are too few
    others. The first ones are kept if nothing tells them apart: where a prompt asks for no
    quantile, or where nothing was tried. The time of all is divided among those that are kept.
    """
    if pool.written == 1 and not (pool.mutations and pool.best):
        return llm.generate(prompt, count, seed, sampling)
    began, found = time.monotonic(), list[Completion]()
    for first in range(0, pool.written * count, llm.batch_size):
        size = min(llm.batch_size, pool.written * count - first)
        batch = derive_seed(seed, "best of", first)
        found += llm.generate(prompt, size, batch % 2**31, sampling)
    found += _mutations(prompt, pool, count, seed, sampling)
    new, others = _new_ones(found, prompt, pool)
    score = _likelihoods if pool.choose_by == LIKELIHOOD else _bounds
    scores = score(llm, prompt, [found[number] for number in new], pool.tries)
    order = [new[place] for place in sorted(range(len(new)), key=lambda place: -scores[place])]
    kept = _apart(order, found, count, pool)
    kept = [*kept, *(number for number in order if number not in kept), *others][:count]
    seconds = (time.monotonic() - began) / count
    return [
        replace(found[number], index=index, seconds=seconds)
        for index, number in enumerate(sorted(kept))
    ]


def _mutations(
    prompt: Prompt, pool: Pool, count: int, seed: int, sampling: Sampling
) -> list[Completion]:
    """Return random changes of the pool's best answers, none that the arm has given before."""
    if not pool.best:
        return []
    changing = MutationLLM(pool.best, 1, 1, pool.known)
    drawn = derive_seed(seed, "mutations") % 2**31
    made = changing.generate(prompt, pool.mutations * count, drawn, sampling)
    return [one for one in made if one.text]  # "": what cannot be changed


def _new_ones(
    found: Sequence[Completion], prompt: Prompt, pool: Pool
) -> tuple[list[int], list[int]]:
    """Return the numbers of the complete new answers, and those of the others, the best first."""
    seen, ranks = Counter(pool.known), list[tuple[bool, int, int]]()
    for number, completion in enumerate(found):
        text = prompt.prefill + completion.text
        ranks.append((not completion.finished, seen[text], number))
        seen[text] += 1
    new = [number for cut_off, times, number in ranks if not (cut_off or times)]
    others = [number for cut_off, times, number in sorted(ranks) if cut_off or times]
    return new, others


def _apart(order: Sequence[int], found: Sequence[Completion], count: int, pool: Pool) -> list[int]:
    """Return the numbers of the first completions that are no near-duplicates, at most `count`."""
    kept = list[int]()
    for number in order:
        if len(kept) < count and not pool.is_near(found[number].text):
            kept.append(number)
    return kept


def _likelihoods(
    llm: LLM, prompt: Prompt, written: Sequence[Completion], tries: Sequence[Try]
) -> Sequence[float]:
    """Return the log-ratio of each answer's probabilities in the best and the worst quantile."""
    worst = in_worst_quantile(prompt)
    if worst is None or not isinstance(llm, ScoresAnswers):
        return [0.0] * len(written)
    likelihoods = (llm.log_likelihoods(one, written) for one in (prompt, worst))
    return [high - low for high, low in zip(*likelihoods, strict=True)]


def _bounds(
    llm: LLM, prompt: Prompt, written: Sequence[Completion], tries: Sequence[Try]
) -> Sequence[float]:
    """Return what a Gaussian process expects of each answer, from the arm's own tries."""
    if not (tries and written and isinstance(llm, EmbedsAnswers)):
        return [0.0] * len(written)
    tried = llm.embed([one.answer for one in tries])
    asked = llm.embed([prompt.prefill + one.text for one in written])
    return list(expectation.promise(tried, tries, asked))
