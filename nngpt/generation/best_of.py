"""Write more answers than are tried, and keep those of which the LLM itself expects most.

With `prompt.accuracy_quantiles` the LLM has learned which answers reached which quantile of
accuracy, so it can say how much likelier an answer is in the best quantile than in the worst. This
is how TPE chooses (J. Bergstra et al., Algorithms for Hyper-Parameter Optimization, NeurIPS 2011),
with the LLM as both of its densities.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from nngpt.config import CandidatesConfig
from nngpt.errors import ConfigError
from nngpt.generation.llm.mutation import MutationLLM
from nngpt.generation.prompts.quantiles import in_worst_quantile
from nngpt.protocols import LLM, ScoresAnswers
from nngpt.records import Completion, Prompt, Sampling, derive_seed


def check(candidates: CandidatesConfig, llm: LLM) -> None:
    """Check that a backend can compare answers, if it shall. Raises: ConfigError."""
    if isinstance(llm, ScoresAnswers):
        return
    what = f"the backend of {llm.model!r} does not tell how likely an answer is"
    if candidates.best_of > 1:
        raise ConfigError(what, where="candidates.best_of", hint="Set it to 1.")
    if candidates.mutations:
        raise ConfigError(what, where="candidates.mutations", hint="Set it to 0.")


@dataclass(frozen=True)
class Pool:
    """What an arm's LLM chooses from, for each answer that is kept.

    Attributes:
        written: answers that the LLM writes.
        mutations: random changes of one of the `best`.
        best: whole answers to change; without any, nothing is changed.
        known: whole answers that the arm has given before.
    """

    written: int = 1
    mutations: int = 0
    best: Sequence[str] = ()
    known: Collection[str] = ()


def write(
    llm: LLM, prompt: Prompt, count: int, seed: int, sampling: Sampling, pool: Pool
) -> list[Completion]:
    """Return the best `count` completions of a pool: the LLM's in the order of writing, then changes.

    Cut-off texts, repeats, and answers that are known are kept only where there are too few others.
    A prompt that asks for no quantile keeps the first ones. The time of all is divided among those
    that are kept.
    """
    if pool.written == 1 and not (pool.mutations and pool.best):
        return llm.generate(prompt, count, seed, sampling)
    began, found = time.monotonic(), list[Completion]()
    for first in range(0, pool.written * count, llm.batch_size):
        size = min(llm.batch_size, pool.written * count - first)
        batch = derive_seed(seed, "best of", first)
        found += llm.generate(prompt, size, batch % 2**31, sampling)
    found += _mutations(prompt, pool, count, seed, sampling)
    seen, times_before = Counter(pool.known), list[int]()
    for completion in found:
        times_before.append(seen[prompt.prefill + completion.text])
        seen[prompt.prefill + completion.text] += 1
    scores = _scores(llm, prompt, found)
    ranked = sorted(
        range(len(found)),
        key=lambda n: (not found[n].finished, times_before[n], -scores[n], n),
    )
    seconds = (time.monotonic() - began) / count
    return [
        replace(found[number], index=index, seconds=seconds)
        for index, number in enumerate(sorted(ranked[:count]))
    ]


def _mutations(
    prompt: Prompt, pool: Pool, count: int, seed: int, sampling: Sampling
) -> list[Completion]:
    """Return random changes of the pool's best answers, none that the arm has given before."""
    if not pool.best:
        return []
    changing = MutationLLM(pool.best, 1, 1, pool.known)
    drawn = derive_seed(seed, "mutations") % 2**31
    return changing.generate(prompt, pool.mutations * count, drawn, sampling)


def _scores(llm: LLM, prompt: Prompt, written: Sequence[Completion]) -> list[float]:
    """Return the log-ratio of each answer's probabilities in the best and the worst quantile."""
    worst = in_worst_quantile(prompt)
    if worst is None or not isinstance(llm, ScoresAnswers):
        return [0.0] * len(written)
    likelihoods = (llm.log_likelihoods(one, written) for one in (prompt, worst))
    return [high - low for high, low in zip(*likelihoods, strict=True)]
