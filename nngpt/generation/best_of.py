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
from dataclasses import replace

from nngpt.errors import ConfigError
from nngpt.generation.prompts.quantiles import in_worst_quantile
from nngpt.protocols import LLM, ScoresAnswers
from nngpt.records import Completion, Prompt, Sampling, derive_seed


def check(llm: LLM) -> None:
    """Check that a backend can compare its answers (`candidates.best_of`). Raises: ConfigError."""
    if not isinstance(llm, ScoresAnswers):
        what = f"the backend of {llm.model!r} does not tell how likely an answer is"
        raise ConfigError(what, where="candidates.best_of", hint="Set it to 1.")


def write(
    llm: LLM,
    prompt: Prompt,
    count: int,
    seed: int,
    sampling: Sampling,
    times: int,
    known: Collection[str],
) -> list[Completion]:
    """Return the best `count` of `times` × `count` completions, in the order of their writing.

    Cut-off texts, repeats, and texts that are `known` are kept only where there are too few others.
    A prompt that asks for no quantile keeps the first ones. The time of all is divided among those
    that are kept.
    """
    if times == 1:
        return llm.generate(prompt, count, seed, sampling)
    began, written = time.monotonic(), list[Completion]()
    for first in range(0, times * count, llm.batch_size):
        size = min(llm.batch_size, times * count - first)
        batch = derive_seed(seed, "best of", first)
        written += llm.generate(prompt, size, batch % 2**31, sampling)
    seen, times_before = Counter(known), list[int]()
    for completion in written:
        times_before.append(seen[completion.text])
        seen[completion.text] += 1
    scores = _scores(llm, prompt, written)
    ranked = sorted(
        range(len(written)),
        key=lambda n: (not written[n].finished, times_before[n], -scores[n], n),
    )
    seconds = (time.monotonic() - began) / count
    return [
        replace(written[number], index=index, seconds=seconds)
        for index, number in enumerate(sorted(ranked[:count]))
    ]


def _scores(llm: LLM, prompt: Prompt, written: Sequence[Completion]) -> list[float]:
    """Return the log-ratio of each answer's probabilities in the best and the worst quantile."""
    worst = in_worst_quantile(prompt)
    if worst is None or not isinstance(llm, ScoresAnswers):
        return [0.0] * len(written)
    likelihoods = (llm.log_likelihoods(one, written) for one in (prompt, worst))
    return [high - low for high, low in zip(*likelihoods, strict=True)]
