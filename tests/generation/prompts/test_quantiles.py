"""Questions that name a quantile of accuracy, and the pairs that teach what it means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from command_line import ALSO_GOOD, GOOD, WEAK
from crash.instant_learner import InstantLearner
from quick_runs import database, quick_run, write_answers

from nngpt import config
from nngpt.data.loading import data_source
from nngpt.generation.contract import make_reader
from nngpt.generation.llm.scripted import ScriptedLLM
from nngpt.generation.prompts.better import better_than
from nngpt.generation.prompts.crossover import crossed, is_crossed
from nngpt.generation.prompts.cycle_prompts import make_prompts
from nngpt.generation.prompts.known import KnownNetwork
from nngpt.generation.prompts.quantiles import in_quantile
from nngpt.novelty.shingles import text_similarity
from nngpt.records import Candidate, Message, Prompt
from nngpt.store import Store

PLAIN = Path(__file__).parents[2] / "networks" / "plain.py"
BEST = "Accuracy quantile: 4 of 4\n\n"


def test_a_quantile_takes_the_place_of_another_and_of_nothing_else() -> None:
    asked = Prompt("cell", "", "cell", (Message("system", "s"), Message("user", "Write.")))
    named = in_quantile(in_quantile(asked, 1, 10), 4, 4)
    assert named.messages == (Message("system", "s"), Message("user", f"{BEST}Write."))
    both = in_quantile(better_than(in_quantile(better_than(asked, "x"), 1, 4), "y"), 4, 4)
    assert both.messages[-1].content == f"{BEST}Write.\n\nBetter than:\ny"
    second = KnownNetwork("attempt 1", Candidate("", "", "", {}, "", 1), "", 0.5, "this run")
    assert is_crossed(in_quantile(crossed(asked, second, "z"), 4, 4)) and not is_crossed(both)


def questions(mode: str, *more: str) -> tuple[Prompt, Prompt]:
    """Return the prompts before and after a first network is admitted."""
    keys = [f"prompt.template={mode}", "evaluation.hyperparameters.dropout=0.1", *more]
    settings = config.load("smoke-mnist", ["prompt.accuracy_quantiles=4", *keys])
    reader = make_reader(settings, data_source(settings))
    code = reader.read_whole(f"```python\n{PLAIN.read_text().strip()}\n```")
    assert isinstance(code, Candidate)
    known = KnownNetwork("attempt 1", code, "", 0.5, "this run")
    made = make_prompts(settings, reader, [], ScriptedLLM(["x"], 1), text_similarity(10))
    first, later = (made.of_cycle(networks, lambda _: None) for networks in ([], [known]))
    return first.prompt(1), later.prompt(1)


@pytest.mark.parametrize("mode", ["features", "body", "full", "delta"])
def test_every_mode_asks_for_the_best_quantile_once_networks_are_admitted(mode: str) -> None:
    first, later = (prompt.messages[-1].content for prompt in questions(mode))
    assert "quantile" not in first and later.startswith(BEST)
    assert later == BEST + first or mode == "delta", "which shows another network then"


def test_the_longest_prompt_counts_the_quantile() -> None:
    first, later = questions("features")
    length = sum(len(message.content) for message in first.messages) + len(first.prefill)
    cut = questions("features", f"prompt.max_chars={length}")
    assert cut[0] == first and len(cut[1].messages) == len(later.messages) - 2


def test_every_network_that_trains_teaches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    learned, learn = list[Any](), InstantLearner.learn

    def watched(self: InstantLearner, pairs: Any, *rest: Any) -> Any:
        learned.append((*pairs, *rest[-1]))
        return learn(self, pairs, *rest)

    monkeypatch.setattr(InstantLearner, "learn", watched)
    others = (WEAK.replace("28", "14"), ALSO_GOOD.replace("GELU", "Sigmoid"), GOOD[:40] + ")")
    write_answers(tmp_path, (GOOD, WEAK, ALSO_GOOD, *others))
    settings = ["candidates.per_cycle=3", "llm.batch_size=3", "learning.held_out=3"]
    settings += ["without=[threshold, novelty]", "evaluation.retrain=false"]
    quick_run(tmp_path, 2, *settings, "prompt.accuracy_quantiles=2")
    with Store.open(database(tmp_path)) as store:
        admitted = store.admitted(1)
        asked = {store.prompt(a.prompt_hash).messages[-1].content for a in admitted if a.cycle > 1}
    written = {a.candidate.written for a in admitted if a.candidate}
    assert WEAK in written and {pair.completion for pair in learned[-1]} == written
    assert all(text.startswith("Accuracy quantile: 2 of 2\n\nWrite a new ") for text in asked)
    ranked = sorted(admitted, key=lambda attempt: attempt.accuracy)
    better = {a.candidate.written for a in ranked[len(ranked) // 2 :] if a.candidate}
    for pair in learned[-1]:
        quantile = 2 if pair.completion in better else 1
        named = f"Accuracy quantile: {quantile} of 2\n\nWrite a new "
        assert pair.prompt.messages[-1].content.startswith(named)
