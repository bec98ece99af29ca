"""LLM backend `mutation`: what each random change does, and that the seed alone decides."""

from __future__ import annotations

import ast
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from nngpt import config, plugins
from nngpt.data.loading import data_source
from nngpt.errors import ConfigError
from nngpt.generation import modes
from nngpt.generation.contract import Reader, make_reader
from nngpt.generation.contract.layer_list import read_layers
from nngpt.generation.llm import mutation
from nngpt.generation.llm.mutation import MutationLLM, change
from nngpt.novelty.shingles import jaccard, shingles
from nngpt.records import RANDOM_CHANGE, Candidate, Completion, Sampling

LIST = (
    "nn.Sequential(nn.LazyConv2d(16, 3), nn.ReLU(), nn.LazyConv2d(32, 3), nn.GELU(), "
    "nn.MaxPool2d(2))"
)
BODY = """```python
class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.device = device
        self.features = nn.Sequential(
            nn.Conv2d(in_shape[1], 16, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(16),
            nn.Conv2d(16, 16, 3, padding=1), nn.GELU(), nn.MaxPool2d(2), nn.Dropout(0.1),
        )
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(10))

    def forward(self, x):
        return self.head(self.features(x))
```"""
NETWORKS = Path(__file__).parents[2] / "networks"
Rule = Callable[[mutation.Row, random.Random], bool]


def row() -> mutation.Row:
    tree = ast.parse(LIST, mode="eval").body
    assert isinstance(tree, ast.Call)
    return tree.args


def written(layers: mutation.Row) -> list[str]:
    return [ast.unparse(layer) for layer in layers]


def changed(rule: Rule, seed: int) -> list[str]:
    layers = row()
    assert rule(layers, random.Random(seed))
    return written(layers)


@pytest.mark.parametrize("seed", range(20))
def test_each_rule_makes_its_change(seed: int) -> None:
    before = written(row())
    dropped = changed(mutation._drop, seed)
    assert len(dropped) == 4 and all(layer in before for layer in dropped)
    repeated = changed(mutation._repeat, seed)
    assert len(repeated) == 6 and set(repeated) == set(before) and repeated[0] == before[0]
    swapped = changed(mutation._swap, seed)
    assert sorted(swapped) == sorted(before) and swapped != before
    differ = [i for i, (a, b) in enumerate(zip(before, swapped, strict=True)) if a != b]
    assert len(differ) == 2 and differ[1] == differ[0] + 1
    exchanged = changed(mutation._exchange, seed)
    places = [i for i in range(5) if exchanged[i] != before[i]]
    assert places in ([1], [3])
    resized = changed(mutation._resize, seed)
    (place,) = (i for i in range(5) if resized[i] != before[i])
    assert (
        resized[place]
        in {
            0: ("nn.LazyConv2d(8, 3)", "nn.LazyConv2d(32, 3)"),
            2: ("nn.LazyConv2d(16, 3)", "nn.LazyConv2d(64, 3)"),
        }[place]
    )


def test_a_rule_without_a_fitting_layer_returns_false() -> None:
    plain = ast.parse("nn.Sequential(nn.Flatten())", mode="eval").body
    assert isinstance(plain, ast.Call)
    for rule in (mutation._drop, mutation._swap, mutation._exchange, mutation._resize):
        assert not rule(plain.args, random.Random(1))
    assert change("x = 1", 1, random.Random(1)) == ""


def reader(*overrides: str) -> Reader:
    settings = config.load("smoke-mnist", overrides)
    return make_reader(settings, data_source(settings))


def written_by(
    found: Reader, networks: list[Candidate], changes: int, count: int, seed: int
) -> list[Completion]:
    """Completions of the backend for the reader's prompt."""
    mode = modes.load(found.prompt.mode)
    answers = [mode.known_answer(n, found.prompt, found.defaults) for n in networks]
    llm = MutationLLM(answers, changes, batch_size=8)
    return llm.generate(found.prompt, count, seed, Sampling())


def corpus(found: Reader) -> list[Candidate]:
    """Networks of the reader's mode."""
    if found.prompt.mode == "features":
        return list(found.examples().values())
    files = [NETWORKS / f"{name}.py" for name in ("plain", "separable", "branches")]
    answers = [f"```python\n{file.read_text()}\n```" for file in files]
    if found.prompt.mode == "body":
        answers = [BODY]
    read = [found.read(answer.removeprefix(found.prompt.prefill)) for answer in answers]
    assert all(isinstance(network, Candidate) for network in read), read
    return [network for network in read if isinstance(network, Candidate)]


@pytest.mark.parametrize("template", ["features", "body", "full"])
def test_answers_fit_the_contract_and_differ_from_the_corpus(template: str) -> None:
    dropout = "evaluation.hyperparameters.dropout=0.1"
    found = reader(f"prompt.template={template}", dropout)
    networks = corpus(found)
    completions = written_by(found, networks, 2, 30, seed=5)
    read = [found.read(completion.text) for completion in completions]
    good = [candidate for candidate in read if isinstance(candidate, Candidate)]
    assert len(good) >= 24, "most changes keep to the form of an answer"
    codes = {network.code for network in networks}
    assert not any(candidate.code in codes for candidate in good)
    assert len({candidate.content_hash for candidate in good}) > 10
    nearest = max(jaccard(shingles(good[0].code), shingles(n.code)) for n in networks)
    assert nearest > 0.3, "what it was made of can still be seen"
    assert {c.model for c in completions} == {RANDOM_CHANGE}
    assert {c.adapter for c in completions} == {None}


def test_the_seed_decides_alone() -> None:
    found = reader()
    networks = list(found.examples().values())
    texts = [[c.text for c in written_by(found, networks, 3, 6, seed)] for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    three = written_by(found, networks, 3, 3, seed=1)
    assert [c.text for c in three] == texts[0][:3], "whatever the batch's size"


def test_answers_have_no_prefill_even_if_all_are_to_be_avoided() -> None:
    class Everything:
        def __contains__(self, text: object) -> bool:
            return True

    found = reader()
    networks = [found.prompt.prefill + n.written for n in found.examples().values()]
    llm = MutationLLM(networks, 2, 1, avoid=Everything())  # type: ignore[arg-type]
    (completion,) = llm.generate(found.prompt, 1, 1, Sampling())
    assert found.prompt.prefill and not completion.text.startswith(found.prompt.prefill)


def test_lists_stay_lists() -> None:
    found = reader()
    assert found.prompt.mode == "features"
    networks = list(found.examples().values())
    for completion in written_by(found, networks, 20, 20, seed=1):
        layers = read_layers(found.prompt.prefill + completion.text)
        assert isinstance(layers, tuple) and layers


def test_the_backend_reads_a_built_corpus(tmp_path: Path) -> None:
    found = reader()
    (network, *_) = found.examples().values()
    messages = [
        {"role": message.role, "content": message.content} for message in found.prompt.messages
    ]
    pair = {"messages": messages, "prefill": found.prompt.prefill, "completion": network.written}
    path = tmp_path / "corpus.jsonl"
    path.write_text(json.dumps({**pair, "mode": found.prompt.mode}) + "\n")
    made = config.load("smoke-mnist", ["llm.backend=mutation", f"llm.options.corpus={path}"]).llm
    llm = plugins.create("LLM backend", made.backend, made, options=made.options)
    (completion,) = llm.generate(found.prompt, 1, 1, Sampling())
    assert isinstance(found.read(completion.text), Candidate)
    with pytest.raises(ConfigError, match="there is no network to change"):
        plugins.create("LLM backend", "mutation", made, options={})
