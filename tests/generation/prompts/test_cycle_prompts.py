"""Examples in prompts: the choice, the limits of length, and the log lines of a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from command_line import ALSO_GOOD, GOOD, NEAR_TWIN, NO_LAYER, WEAK
from quick_runs import database, quick_run, write_answers

from nngpt import config
from nngpt.data.loading import data_source
from nngpt.errors import ConfigError, StoreError
from nngpt.generation import contract
from nngpt.generation.contract import Reader, make_reader
from nngpt.generation.llm.scripted import ScriptedLLM
from nngpt.generation.pairs import admitted_pairs
from nngpt.generation.prompts import template as prompts
from nngpt.generation.prompts.cycle_prompts import make_prompts
from nngpt.generation.prompts.known import (
    KnownNetwork,
    choose_examples,
    quality_ranks,
    read_pool,
    shuffle_by_quality,
)
from nngpt.novelty.shingles import jaccard, shingles, text_similarity
from nngpt.records import Candidate, Prompt, Sampling
from nngpt.store import Lease, Store

WIDTH = 10
SIMILARITY = text_similarity(WIDTH)
COUSIN = GOOD.replace("nn.MaxPool2d(2)", "nn.MaxPool2d(2),\n    nn.Dropout2d(0.1)")
RATED = ((GOOD, 0.9), (COUSIN, 0.89), (ALSO_GOOD, 0.7), (WEAK, 0.2))

BODY = """\
class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.device = device
        self.head = nn.Linear(in_shape[1], out_shape[0])

    def forward(self, x):
        return self.head(x.mean((2, 3)))"""


def corpus(folder: Path, *rated: tuple[str, float | None], **more: Any) -> Path:
    path = folder / "rated.jsonl"
    lines = [{"completion": c, "accuracy": a, "accuracy_on": "mnist", **more} for c, a in rated]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def assembled(folder: Path, *overrides: str) -> tuple[config.Config, Reader]:
    settings = config.load("smoke-mnist", [f"prompt.corpus={folder / 'rated.jsonl'}", *overrides])
    return settings, make_reader(settings, data_source(settings))


@pytest.fixture
def pool(tmp_path: Path) -> list[KnownNetwork]:
    corpus(tmp_path, *RATED)
    settings, reader = assembled(tmp_path, "prompt.shots=2", "prompt.shots_from=corpus")
    return read_pool(settings, reader, lambda text: None)


def everything(networks: Sequence[KnownNetwork]) -> bool:
    return True


# ---------------------------------------------------------------- the choice


def test_the_best_network_comes_first_then_different_ones(pool: list[KnownNetwork]) -> None:
    assert quality_ranks(pool) == [1.0, 0.75, 0.5, 0.25]
    chosen = choose_examples(pool, 4, SIMILARITY, everything)
    assert [network.accuracy for network in chosen] == [0.9, 0.7, 0.89, 0.2]
    assert choose_examples(pool[::-1], 2, SIMILARITY, everything) == chosen[:2], (
        "the order does not matter"
    )
    code = pool[0].candidate.code.replace("LazyConv2d(16", "LazyConv2d(20")
    copy = replace(pool[0].candidate, code=code, written=NEAR_TWIN)
    twin = replace(pool[0], name="a twin", candidate=copy, accuracy=0.1)
    assert twin not in choose_examples([*pool, twin], 9, SIMILARITY, everything), (
        "no copy of a chosen one"
    )
    assert choose_examples([], 3, SIMILARITY, everything) == []


def test_each_choice_is_the_greedy_one(pool: list[KnownNetwork]) -> None:
    runs = {network.name: shingles(network.text, WIDTH) for network in pool}
    worth = dict(zip(runs, quality_ranks(pool), strict=True))

    def gain(network: KnownNetwork, chosen: Sequence[KnownNetwork]) -> float:
        likeness = [jaccard(runs[network.name], runs[other.name]) for other in chosen]
        return worth[network.name] * (1 - max(likeness, default=0.0))

    chosen = choose_examples(pool, 4, SIMILARITY, everything)
    for number, network in enumerate(chosen):
        rest = [other for other in pool if other not in chosen[:number]]
        assert gain(network, chosen[:number]) == max(gain(o, chosen[:number]) for o in rest)


def test_networks_that_do_not_fit_are_skipped(pool: list[KnownNetwork]) -> None:
    def fits(networks: Sequence[KnownNetwork]) -> bool:
        return all("GELU" not in network.text for network in networks)

    chosen = choose_examples(pool, 2, SIMILARITY, fits)
    assert [network.accuracy for network in chosen] == [0.9, 0.89]


def test_accuracies_of_different_settings_are_not_compared(pool: list[KnownNetwork]) -> None:
    own = [KnownNetwork("attempt 1", pool[0].candidate, "", 0.3, "this run")]
    assert quality_ranks([*pool, *own])[-1] == 1.0


def test_parents_depend_on_seed_and_quality(pool: list[KnownNetwork]) -> None:
    assert shuffle_by_quality(pool, 3) == shuffle_by_quality(pool, 3)
    firsts = [shuffle_by_quality(pool, seed)[0].accuracy for seed in range(400)]
    counts = [firsts.count(network.accuracy) for network in pool]
    assert all(better > worse for better, worse in pairwise(counts)) and counts[-1] > 0


# ---------------------------------------------------------------- the pool


def test_only_networks_with_an_accuracy_that_fit_the_prompt(tmp_path: Path) -> None:
    corpus(tmp_path, (GOOD, 0.9), (GOOD, 0.8), (ALSO_GOOD, None), ("no layers", 0.5))
    settings, reader = assembled(tmp_path, "prompt.shots=2", "prompt.shots_from=both")
    (known,) = read_pool(settings, reader, lambda text: None)
    assert (known.accuracy, known.measured) == (0.9, "corpus: mnist")
    assert known.answer == reader.prompt.prefill + GOOD


def test_answers_with_another_prefill_are_read_again(tmp_path: Path) -> None:
    own = {"messages": [{"role": "user", "content": "Go."}], "prefill": "nn.Sequential("}
    opened = "\n    nn.LazyConv2d("
    starts_otherwise = "\n    nn.Flatten(),\n    nn.LazyLinear(64),\n)"
    corpus(tmp_path, (opened + GOOD, 0.9), (starts_otherwise, 0.95), **own)
    settings, reader = assembled(tmp_path, "prompt.shots=1", "prompt.shots_from=corpus")
    (known,) = read_pool(settings, reader, lambda text: None)
    assert (
        known.answer == reader.prompt.prefill + GOOD == "nn.Sequential(\n    nn.LazyConv2d(" + GOOD
    )


@pytest.mark.parametrize(
    ("overrides", "log"),
    [
        (["prompt.shots_from=corpus"], "shots_from needs a number of shots"),
        (["prompt.shots=7"], "prompt.shots"),
        (["prompt.begin=0.5"], "begin needs shots_from"),
        (["prompt.shots=1", "prompt.shots_from=corpus", "prompt.corpus=null"], "not set"),
        (["prompt.shots=1", "prompt.shots_from=corpus", "prompt.corpus=/none"], "cannot be read"),
        (["prompt.shots=1", "prompt.shots_from=corpus"], "no line has an 'accuracy'"),
        (["prompt.shots=1", "prompt.shots_from=corpus", "prompt.template=full"], "no code block"),
    ],
)
def test_configuration_errors_are_one_line(tmp_path: Path, overrides: list[str], log: str) -> None:
    corpus(tmp_path, (GOOD, 0.9 if "template" in overrides[-1] else None))
    with pytest.raises(ConfigError, match=log) as caught:
        settings, reader = assembled(tmp_path, *overrides)
        read_pool(settings, reader, lambda text: None)
    assert "prompt" in caught.value.line()


# ---------------------------------------------------------------- the prompt


def asked(folder: Path, *overrides: str) -> tuple[Prompt, list[str]]:
    """Return the prompt of the first cycle, and the log."""
    settings, reader = assembled(folder, *overrides)
    pool, log = read_pool(settings, reader, lambda text: None), list[str]()
    questions = make_prompts(settings, reader, pool, ScriptedLLM(["x"], 1), SIMILARITY)
    return questions.of_cycle([], log.append).prompt(1), log


def answers(prompt: Prompt) -> list[str]:
    return [message.content for message in prompt.messages if message.role == "assistant"]


def test_the_templates_own_examples_are_the_default(tmp_path: Path) -> None:
    corpus(tmp_path, *RATED)
    own = [example.assistant.strip() for example in prompts.load("features").examples]
    prompt, log = asked(tmp_path)
    assert (answers(prompt), log) == (own, [])
    assert prompt == assembled(tmp_path)[1].prompt, "as it was before there was a choice"
    for shots in (0, 1, 3, 6):
        prompt, _ = asked(tmp_path, f"prompt.shots={shots}")
        assert answers(prompt) == own[:shots]
        assert prompt == assembled(tmp_path, f"prompt.shots={shots}")[1].prompt


def test_chosen_examples_stand_last_with_the_best_at_the_end(tmp_path: Path) -> None:
    corpus(tmp_path, *RATED)
    prompt, log = asked(tmp_path, "prompt.shots=2", "prompt.shots_from=corpus")
    assert answers(prompt) == [prompt.prefill + ALSO_GOOD, prompt.prefill + GOOD]
    assert [m.content for m in prompt.messages if m.role == "user"] == [
        "Write a new convolutional feature extractor in PyTorch."
    ] * 3
    assert log == [
        "Shown in the prompt: corpus network 1 (rated.jsonl), 90.0%, "
        "corpus network 3 (rated.jsonl), 70.0%."
    ]
    corpus(tmp_path, (GOOD, 0.9))
    prompt, _ = asked(tmp_path, "prompt.shots=2", "prompt.shots_from=corpus")
    own = prompts.load("features").examples[0].assistant.strip()
    assert answers(prompt) == [own, prompt.prefill + GOOD], "filled up with the template's"


def test_examples_that_do_not_fit_are_left_out_and_logged(tmp_path: Path) -> None:
    corpus(tmp_path, *RATED)
    whole, _ = asked(tmp_path)
    length = sum(len(m.content) for m in whole.messages) + len(whole.prefill)
    assert asked(tmp_path, f"prompt.max_chars={length}") == (whole, [])
    prompt, log = asked(tmp_path, f"prompt.max_chars={length - 1}")
    assert answers(prompt) == answers(whole)[:-1]
    assert log == ["Examples were left out: too long for prompt.max_chars."]
    prompt, _ = asked(tmp_path, "prompt.max_chars=1")
    assert answers(prompt) == []


def test_answers_begin_as_a_known_network_of_which_the_llm_writes_the_rest(tmp_path: Path) -> None:
    corpus(tmp_path, (ALSO_GOOD, 0.7))
    known = ("prompt.shots=0", "prompt.shots_from=corpus")
    plain, _ = asked(tmp_path, *known)
    prompt, log = asked(tmp_path, *known, "prompt.begin=0.5")
    assert prompt == replace(plain, prefill=prompt.prefill)
    assert log == ["Answers begin as corpus network 1 (rated.jsonl), 70.0%."]
    half = "nn.Sequential(\n    nn.LazyConv2d(24, 5, stride=2),\n    nn.LazyBatchNorm2d(),"
    assert prompt.prefill == half
    _, reader = assembled(tmp_path, *known)
    found = reader.read_answer("\n    nn.ReLU(),\n)", prompt)
    assert isinstance(found, Candidate)
    assert found.written == "\n    nn.ReLU(),\n)"
    assert contract.novelty_text(found) == half + found.written
    for nothing in ("prompt.begin=0.2", "prompt.max_chars=100"):
        assert asked(tmp_path, *known, "prompt.begin=0.5", nothing)[0] == plain


class Tight(ScriptedLLM):
    """An LLM whose context has room for two examples."""

    def room(self, prompt: Prompt, sampling: Sampling) -> int | None:
        return 2 - len(answers(prompt))


def test_the_models_context_is_a_limit_too(tmp_path: Path) -> None:
    corpus(tmp_path, *RATED)
    settings, reader = assembled(tmp_path)
    questions, log = make_prompts(settings, reader, [], Tight(["x"], 1), SIMILARITY), list[str]()
    assert len(answers(questions.of_cycle([], log.append).prompt(1))) == 2
    assert log == ["Examples were left out: too long for the model's context."]


@pytest.mark.parametrize(("mode", "prefill"), [("full", ""), ("body", "```python\n")])
def test_other_modes_show_whole_canonical_answers(tmp_path: Path, mode: str, prefill: str) -> None:
    net = (Path(__file__).parents[2] / "networks" / "branches.py").read_text().strip()
    code = net if mode == "full" else BODY
    corpus(tmp_path, (f"```python\n{code}\n```\nBye.".removeprefix(prefill), 0.9))
    overrides = [f"prompt.template={mode}", "prompt.shots=1", "prompt.shots_from=corpus"]
    overrides += ["evaluation.hyperparameters.dropout=0.1"]
    prompt, _ = asked(tmp_path, *overrides)
    assert answers(prompt) == [f"```python\n{code}\n```"]
    _, reader = assembled(tmp_path, *overrides)
    assert isinstance(reader.read(answers(prompt)[0].removeprefix(prefill)), Candidate)


# ---------------------------------------------------------------- a run


def test_a_run_shows_what_it_admitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Examples come from the corpus, later from the run, too; pairs keep the original prompt."""
    monkeypatch.chdir(tmp_path)
    copied = "8, 5, padding=2),\n    nn.SiLU(),\n    nn.MaxPool2d(2),\n)"
    corpus(tmp_path, (copied, 0.99), (NO_LAYER, 0.1))
    write_answers(tmp_path, (GOOD, ALSO_GOOD, copied))
    settings = ["candidates.per_cycle=3", "llm.batch_size=3", "prompt.corpus=rated.jsonl"]
    settings += ["prompt.shots=3", "prompt.shots_from=both"]
    quick_run(tmp_path, 3, *settings)
    cycles = capsys.readouterr().err.split(" of 3: ")[1:]
    shown_in = [cycle.partition("Shown in the prompt: ")[2].partition("\n")[0] for cycle in cycles]
    assert ["attempt" in names for names in shown_in] == [False, True, True]
    with Store.open(database(tmp_path)) as store:
        first, second, third = ({a.prompt_hash for a in store.attempts(1, c)} for c in (1, 2, 3))
        assert len(first) == 1 and first != second == third, "nothing new in the second cycle"
        assert len(answers(store.prompt(*first))) == 3, "filled up with the template's"
        reasons = [a.refusal.reason for a in store.attempts(1, 1) if a.refusal]
        assert reasons == ["same network as corpus network 1 (rated.jsonl)"]
        admitted, shown = store.admitted(1), answers(store.prompt(*second))
        written = [
            store.prompt(*first).prefill + a.candidate.written for a in admitted if a.candidate
        ]
        assert len(written) == 2 and set(written) & set(shown)
        assert [pair.prompt for pair in admitted_pairs(store, admitted)] == [
            store.prompt(*first)
        ] * 2


def test_a_resumed_cycle_needs_the_prompt_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_answers(tmp_path, (GOOD,))
    corpus(tmp_path, (ALSO_GOOD, 0.9))
    settings = ["candidates.per_cycle=2", "llm.batch_size=1", "prompt.corpus=rated.jsonl"]
    settings += ["prompt.shots=1", "prompt.shots_from=corpus"]

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Lease, "training", stop)
        quick_run(tmp_path, 1, *settings)
    corpus(tmp_path, (COUSIN, 0.9))
    with pytest.raises(StoreError, match=r"another text of this prompt.*the corpus"):
        quick_run(tmp_path, 1, *settings)
    corpus(tmp_path, (ALSO_GOOD, 0.9))
    quick_run(tmp_path, 1, *settings)
    with Store.open(database(tmp_path)) as store:
        assert len({a.prompt_hash for a in store.attempts(1)}) == 1
    corpus(tmp_path, (COUSIN, 0.9))
    quick_run(tmp_path, 2, *settings)  # a new cycle shows what is there now
