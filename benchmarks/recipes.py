"""Tell what an LLM would write after it has learned a finished run's networks by another recipe.

.venv/bin/python benchmarks/recipes.py runs/nngpt.db --config controls-cifar10 --cycles 8 \
    --set learning.replay=0.0 --temperatures 1.0 1.2 --answers 144 --out rows.jsonl
.venv/bin/python benchmarks/recipes.py runs/nngpt.db --config controls-cifar10 --cycles 8 \
    --changes 144

Nothing is trained but the LLM, which takes minutes, not hours: it learns the admitted networks of
cycle 1, then those of cycle 2 and so on, as a run with these settings would have learned them.
Then it writes answers. A row counts those that can be read and are no near-duplicates (of what the
run had tried, what it knew before, or each other), and gives the accuracy that the process of
`candidates.choose_by: embedding` expects of them after the run's own tries: of all, of the novel
ones, and of the 24 novel ones of which it expects most. With `--changes` random changes of the ten
best networks take the place of what the LLM writes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from contestants import row_files

from nngpt import config
from nngpt.config import Config
from nngpt.cycle.answer_pool import MUTATED
from nngpt.cycle.parts import Parts, assemble
from nngpt.errors import LearningFailed
from nngpt.finetuning.selection import selected
from nngpt.generation import expectation
from nngpt.generation.contract import novelty_text
from nngpt.generation.llm.mutation import MutationLLM
from nngpt.generation.pairs import admitted_pairs
from nngpt.protocols import EmbedsAnswers, Executor
from nngpt.records import Adapter, Arm, Candidate, Prompt, Sampling, State, derive_seed
from nngpt.store import AttemptRecord, Store

CHOSEN = 24
"""So many novel answers would be tried in a cycle."""


class NoExecutor:
    """Takes the place of the executor, since no network is trained."""

    level = "none"


def main() -> None:
    """Write a row for each temperature."""
    given = parse()
    settings = config.load(given.config, [*given.set, "candidates.best_of=1"])
    with (
        Store.open(given.database, create=False) as store,
        tempfile.TemporaryDirectory() as folder,
        assemble(settings, lambda _: None, cast(Executor, NoExecutor())) as parts,
    ):
        run = store.runs()[0]
        found = store.attempts(run.id, with_code=True, arm=Arm.LOOP)
        past = [a for a in found if a.cycle <= given.cycles and a.settled]
        began = time.process_time()
        adapter = learn(parts, store, past, settings, Path(folder))
        facts = {"settings": given.set, "cycles": given.cycles, "answers": given.answers}
        facts["learning_cpu_s"] = round(time.process_time() - began)
        prompt = parts.prompts.of_cycle([], lambda _: None).prompt(settings.seed)
        for temperature in given.temperatures if not given.changes else [None]:
            if temperature is None:
                texts = changed(past, prompt, given.changes)
            else:
                texts = written(parts, adapter, prompt, settings, temperature, given.answers)
            row = {**facts, "temperature": temperature, **judged(parts, past, prompt, texts)}
            print(json.dumps(row), flush=True)
            if given.out:
                row_files.append(given.out, row)


def learn(
    parts: Parts, store: Store, past: Sequence[AttemptRecord], settings: Config, folder: Path
) -> Adapter | None:
    """Learn the admitted networks cycle by cycle; return the last adapter."""
    adapter, learner = parts.start.adapter, parts.learner
    if learner is None:
        return adapter
    for cycle in range(1, max(a.cycle for a in past) + 1):
        known = [a for a in past if a.state is State.ADMITTED and a.cycle <= cycle]
        pairs = admitted_pairs(store, selected(settings.learning.select, known))
        seed = derive_seed(settings.seed, "learn", cycle) % 2**31
        try:
            name = f"recipe-c{cycle}"
            adapter = learner.learn(pairs, name, folder, adapter, seed, lambda *_: None)
        except LearningFailed:  # nothing new was selected
            continue
    return adapter


def written(
    parts: Parts,
    adapter: Adapter | None,
    prompt: Prompt,
    settings: Config,
    temperature: float,
    count: int,
) -> list[str]:
    """Return what the LLM writes."""
    parts.llm.use_adapter(adapter)
    sampling = Sampling(**{**settings.sampling.model_dump(), "temperature": temperature})
    texts: list[str] = []
    while (left := count - len(texts)) > 0:
        size, seed = min(left, parts.llm.batch_size), 1000 + len(texts)
        texts += [one.text for one in parts.llm.generate(prompt, size, seed, sampling)]
    return texts


def changed(past: Sequence[AttemptRecord], prompt: Prompt, count: int) -> list[str]:
    """Return random changes of the best networks."""
    ranked = sorted((-a.accuracy, a.id, a) for a in past if a.result and a.candidate)
    best = [prompt.prefill + a.candidate.written for *_, a in ranked[:MUTATED] if a.candidate]
    avoid = {prompt.prefill + a.completion.text for a in past}
    made = MutationLLM(best, 1, 1, avoid).generate(prompt, count, 7, Sampling())
    return [one.text for one in made if one.text]


def judged(
    parts: Parts, past: Sequence[AttemptRecord], prompt: Prompt, texts: Sequence[str]
) -> dict[str, Any]:
    """Return how many answers can be read and are novel, and the accuracies that are expected."""
    known = parts.known_before()
    for a in past:
        if a.candidate:
            known.add(a.candidate.content_hash, novelty_text(a.candidate))
    readable, novel = [], []
    for text in texts:
        found = parts.reader.read(text)
        if isinstance(found, Candidate):
            readable.append(prompt.prefill + text)
            novel.append(not known.compare(novelty_text(found)).duplicate)
            if novel[-1]:
                known.add(found.content_hash, novelty_text(found))
    assert isinstance(parts.llm, EmbedsAnswers)
    chance = 1 / parts.task.out_shape[0]
    accuracies = np.array([a.result.accuracy if a.result else chance for a in past])
    spread = accuracies.std()
    tried = parts.llm.embed([prompt.prefill + a.completion.text for a in past])
    asked = parts.llm.embed(readable)
    scaled, _ = expectation.posterior(tried, (accuracies - accuracies.mean()) / spread, asked)
    expected = accuracies.mean() + spread * scaled
    best = np.sort(expected[novel])[::-1]
    return {
        "readable": len(readable),
        "novel": len(best),
        "expected": _percent(expected),
        "expected_novel": _percent(best),
        "expected_chosen": _percent(best[:CHOSEN]),
    }


def _percent(values: expectation.Vector) -> float | None:
    return round(100 * float(values.mean()), 1) if len(values) else None


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("database", type=Path, help="database of the finished run")
    parser.add_argument("--config", required=True, help="configuration of that run")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--cycles", type=int, required=True, help="cycles that are learned")
    parser.add_argument("--temperatures", type=float, nargs="+", default=[1.0])
    parser.add_argument("--answers", type=int, default=144)
    parser.add_argument("--changes", type=int, help="random changes in place of answers")
    parser.add_argument("--out", type=Path, help="JSONL file; rows are added")
    return parser.parse_args()


if __name__ == "__main__":
    main()
