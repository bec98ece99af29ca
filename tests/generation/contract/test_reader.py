"""Answers that the contract accepts, refusal reasons, and canonical texts."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from nngpt import config
from nngpt.config import EvaluationConfig
from nngpt.data.loading import data_source
from nngpt.generation import contract
from nngpt.generation.contract import Defaults, answers
from nngpt.generation.contract.answers import Answer
from nngpt.generation.prompts import template as prompts
from nngpt.records import Candidate, Prompt, Refusal, Stage, Task, content_hash

TASK = Task("mnist", (1, 1, 28, 28), (10,), threshold=0.4)
DEFAULTS = Defaults.of(EvaluationConfig())
NETWORKS = sorted((Path(__file__).parents[2] / "networks").glob("*.py"))

NET = """\
import torch
import torch.nn as nn


def supported_hyperparameters():
    return {'lr', 'momentum'}


class Net(nn.Module):

    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.fc = nn.Linear(4, 10)

    def forward(self, x):
        return self.fc(x)

    def train_setup(self, prm):
        pass

    def learn(self, train_data):
        pass
"""
BODY = NET[NET.index("class Net") : NET.index("\n    def train_setup")]
FEATURES = "32, 3, padding=1),\n    nn.ReLU(),\n)"


@cache
def asked(mode: str) -> tuple[prompts.Template, Prompt]:
    template = prompts.load(mode)
    return template, template.render(TASK, DEFAULTS.hyperparameters)


def read(text: str, mode: str = "full") -> Candidate | Refusal:
    template, prompt = asked(mode)
    return contract.read(text, prompt, TASK, template, DEFAULTS)


def accept(text: str, mode: str = "full") -> Candidate:
    candidate = read(text, mode)
    assert isinstance(candidate, Candidate), candidate
    assert read(candidate.written, mode) == candidate
    return candidate


def refuse(text: str, mode: str = "full") -> Refusal:
    refusal = read(text, mode)
    assert isinstance(refusal, Refusal), refusal
    return refusal


def fenced(code: str, settings: str = "") -> str:
    return f"```python\n{code}\n```" + (f"\n```json\n{settings}\n```" if settings else "")


def net(old: str, new: str) -> str:
    assert old in NET
    return fenced(NET.replace(old, new))


# ---------------------------------------------------------------- what is accepted


@pytest.mark.parametrize("path", NETWORKS, ids=lambda path: path.stem)
def test_lemur_style_networks_pass_and_keep_their_hash(path: Path) -> None:
    source = path.read_text()
    candidate = accept(answers.write(Answer(source.strip(), {})))
    assert candidate.content_hash == content_hash(source)
    assert contract.novelty_text(candidate) == candidate.code


def test_missing_settings_come_from_the_defaults() -> None:
    candidate = accept(fenced(NET))
    assert candidate.hyperparameters == {"lr": 0.01, "momentum": 0.9}
    assert (candidate.batch, candidate.transform) == (64, "norm")


def test_settings_come_from_the_json_block() -> None:
    settings = '{"hyperparameters": {"lr": 1, "batch": 128}, "transform": "norm_32_flip"}'
    candidate = accept(f"Here you are:\n{fenced(NET, settings)}\nHave fun!")
    assert candidate.hyperparameters == {"lr": 1.0, "momentum": 0.9}
    assert (candidate.batch, candidate.transform) == (128, "norm_32_flip")
    assert "Have fun" not in candidate.written


SET = '{"hyperparameters": {"lr": 1, "batch": 128}, "transform": "norm_32_flip"}'
TAGS = f'<nn>\n{NET}\n</nn>\n<hp>{{"lr": 0.1}}</hp>\n<tr>echo</tr>'


@pytest.mark.parametrize("text", [fenced(NET, SET), fenced(NET, "{lr: 1"), TAGS])
def test_a_fixed_protocol_passes_over_settings(text: str) -> None:
    template, prompt = asked("full")
    fixed = replace(DEFAULTS, fixed=True)
    found = contract.read(text, prompt, TASK, template, fixed)
    assert isinstance(found, Candidate), found
    assert (found.hyperparameters["lr"], found.batch, found.transform) == (0.01, 64, "norm")
    assert answers.gives_settings(text) and not answers.gives_settings(found.written)
    assert contract.read(found.written, prompt, TASK, template, fixed) == found


def test_a_fixed_protocol_gives_no_other_hyperparameters() -> None:
    fixed = config.load(None, ["evaluation.fixed=true", "evaluation.hyperparameters={lr: 0.1}"])
    reader = contract.make_reader(fixed, data_source(fixed))
    found = reader.read(fenced(NET))
    assert isinstance(found, Refusal) and "'momentum' has no value" in found.reason


def test_the_tags_of_nn_gpt_are_understood() -> None:
    tags = '<hp>{"lr": 0.1, "transform": "echo", "epoch": 5}</hp>\n<tr></tr>'
    candidate = accept(f"<nn>\n{fenced(NET)}\n</nn>\n{tags}")
    assert candidate.hyperparameters["lr"] == 0.1
    assert candidate.transform == "echo"
    assert candidate.code == accept(fenced(NET)).code


def test_a_composed_transform_is_source_text() -> None:
    source = "def transform(norm):\n    return v2.Compose([v2.ToTensor(), v2.Normalize(*norm)])"
    candidate = accept(f"<nn>{NET}</nn><tr>{source}</tr>")
    assert candidate.transform == source


def test_the_block_with_the_network_is_taken_and_thoughts_are_skipped() -> None:
    text = f"<think>```python\nx\n```</think>\n{fenced('pip = 1')}\n{fenced(NET)}\n{fenced('y')}"
    assert accept(text).code == NET


def test_a_docstring_may_hold_a_fence_if_the_answer_uses_a_longer_one() -> None:
    code = '"""Say:\n```\nhello\n```\n"""\n' + NET.strip()
    assert accept(answers.write(Answer(code, {}))).code == code + "\n"


def test_features_are_put_into_a_network_one_layer_a_line() -> None:
    candidate = accept(
        "32,3 , padding = 1), # first\n torch.nn.Sequential(nn.ReLU(), nn.Dropout(.1)),\n)",
        "features",
    )
    assert candidate.written == (
        "32, 3, padding=1),\n    nn.Sequential(nn.ReLU(), nn.Dropout(0.1)),\n)"
    )
    assert "            nn.LazyConv2d(32, 3, padding=1),\n" in candidate.code
    assert contract.novelty_text(candidate) == (
        "nn.Sequential(\n    nn.LazyConv2d(" + candidate.written
    )


def test_features_end_at_the_stop_string() -> None:
    assert accept(FEATURES + "\n\nnet = 3 +", "features") == accept(FEATURES, "features")


@pytest.mark.parametrize("indent", ["  ", "    ", "\t"])
def test_a_body_gets_its_training_methods(indent: str) -> None:
    body = BODY.replace("    ", indent) + "\nWIDTH = 3"
    candidate = accept(f"{body}\n```", "body")
    assert f"\n{indent}def learn(self, train_data):\n" in candidate.code
    assert candidate.code.endswith("\n\n\nWIDTH = 3\n")
    assert set(candidate.hyperparameters) == {"lr", "momentum", "dropout"}
    assert contract.novelty_text(candidate) == body


@pytest.mark.parametrize("name", prompts.names())
def test_every_example_of_a_prompt_is_a_canonical_answer(name: str) -> None:
    template = prompts.load(name)
    for example in template.examples:
        text = example.assistant.strip()
        assert text.startswith(template.prefill)
        written = text.removeprefix(template.prefill)
        prompt = replace(asked(name)[1], parent=example.parent.strip())
        candidate = contract.read(written, prompt, TASK, template, DEFAULTS)
        assert isinstance(candidate, Candidate) and candidate.written == written, candidate
        assert contract.read(candidate.written, prompt, TASK, template, DEFAULTS) == candidate


# ---------------------------------------------------------------- what is refused, and why

REFUSALS = [
    # answer, mode, stage, words of the reason
    ("", "full", Stage.PARSE, "no code block"),
    ("I cannot do that.", "full", Stage.PARSE, "no code block"),
    ("```python\n\n```", "full", Stage.PARSE, "empty"),
    ("```python\n" + NET, "full", Stage.PARSE, "cut off"),
    ("<nn>" + NET, "full", Stage.PARSE, "cut off"),
    (net("self.fc(x)", "self.fc(x"), "full", Stage.PARSE, "not valid Python"),
    (fenced("return 3\n" + NET), "full", Stage.PARSE, "not valid Python"),
    (fenced(NET + "\0"), "full", Stage.PARSE, "NUL"),
    (fenced(NET + "# \ud800"), "full", Stage.PARSE, "surrogates"),
    ("x" * 1_000_000, "full", Stage.PARSE, "1,000,000 characters"),
    (fenced("(" * 5_000 + ")" * 5_000), "full", Stage.PARSE, ""),
    (fenced("-" * 50_000 + "1"), "full", Stage.PARSE, ""),
    (fenced("x = a" + ".b" * 50_000), "full", Stage.PARSE, ""),
    (fenced(NET, "{lr: 1}"), "full", Stage.PARSE, "not valid JSON"),
    (fenced(NET, "[" * 90_000), "full", Stage.PARSE, ""),
    (net("supported_hyper", "hyper"), "full", Stage.CONTRACT, "no function supported_hyper"),
    (net("{'lr', 'momentum'}", "set(NAMES)"), "full", Stage.CONTRACT, "without running it"),
    (net("{'lr', 'momentum'}", "{'lr', n()}"), "full", Stage.CONTRACT, "without running it"),
    (net("class Net", "class Model"), "full", Stage.CONTRACT, "no class Net"),
    (net("(nn.Module)", ""), "full", Stage.CONTRACT, "not an nn.Module"),
    (net("def learn", "def teach"), "full", Stage.CONTRACT, "no method learn"),
    (net("self, x)", "self, x, y)"), "full", Stage.CONTRACT, "cannot be called as (self, x)"),
    (net("self, x)", "self, x, *, y)"), "full", Stage.CONTRACT, "cannot be called as (self, x)"),
    (net("prm, device)", "prm)"), "full", Stage.CONTRACT, "in_shape, out_shape, prm, device"),
    (
        net("(self, x)", "(self, x, y=0x" + "f" * 9_000 + ", *, z)"),
        "full",
        Stage.CONTRACT,
        "cannot be called as (self, x)",
    ),
    (net("def learn", "async def learn"), "full", Stage.CONTRACT, "must not be async"),
    (net("'momentum'}", "'depth'}"), "full", Stage.CONTRACT, "'depth' has no value"),
    (fenced(NET, '{"hyperparameters": {"lr": 2}}'), "full", Stage.CONTRACT, "hyperparameters.lr"),
    (fenced(NET, '{"hyperparameters": {"lr": NaN}}'), "full", Stage.CONTRACT, "parameters.lr"),
    (fenced(NET, '{"hyperparameters": {"lr": true}}'), "full", Stage.CONTRACT, "parameters.lr"),
    (fenced(NET, '{"hyperparameters": {"dropout": 0.6}}'), "full", Stage.CONTRACT, "dropout"),
    (fenced(NET, '{"hyperparameters": {"dropout": 0.1}}'), "full", Stage.CONTRACT, "'dropout'"),
    (fenced(NET, '{"hyperparameters": {"batch": 0}}'), "full", Stage.CONTRACT, "batch"),
    (fenced(NET, '{"hyperparameters": {"x": Infinity}}'), "full", Stage.CONTRACT, "parameters.x"),
    (fenced(NET, '{"hyperparameters": {"x": 1%s}}' % ("0" * 400)), "full", Stage.CONTRACT, ".x"),
    (fenced(NET, r'{"hyperparameters": {"\ud800": "x"}}'), "full", Stage.CONTRACT, r"\ud800"),
    (fenced(NET, '{"hyper": {}}'), "full", Stage.CONTRACT, "unknown key 'hyper'"),
    (fenced(NET, '{"transform": "norm-flop"}'), "full", Stage.CONTRACT, "unknown transform"),
    (fenced(NET, '{"transform": "x = 3"}'), "full", Stage.CONTRACT, "unknown transform"),
    (
        fenced(NET, '{"transform": "transform = torch.load(1)"}'),
        "full",
        Stage.SAFETY,
        "the transform uses torch.load",
    ),
    (f"{NET}\n```", "body", Stage.CONTRACT, "train_setup belongs to the template"),
    ("class Net(nn.Module): pass\n```", "body", Stage.CONTRACT, "no method __init__"),
    ("32, 3),\n    nn.ReLU(),", "features", Stage.PARSE, "cut off"),
    ("32, 3),\n    nn.ReLU(,\n)", "features", Stage.PARSE, "not valid Python"),
    ("32, 3), nn.ReLU()).to('cuda'\n)", "features", Stage.PARSE, "not one nn.Sequential"),
    ("32, width),\n)", "features", Stage.CONTRACT, "must be constants"),
    ("32, 9e999),\n)", "features", Stage.CONTRACT, "must be constants"),
    ("32, open('/etc/passwd')),\n)", "features", Stage.CONTRACT, "not a layer"),
    ("32, 3), nn.init.normal_(3),\n)", "features", Stage.CONTRACT, "not a layer"),
    ("32, 3), *[nn.ReLU()],\n)", "features", Stage.CONTRACT, "not a layer"),
    ("32, 0x" + "f" * 9_000 + "),\n)", "features", Stage.CONTRACT, "must be constants"),
    ("32, **{}),\n)", "features", Stage.CONTRACT, "must be constants"),
]


@pytest.mark.parametrize(
    ("text", "mode", "stage", "words"),
    REFUSALS,
    ids=[str(number) for number in range(len(REFUSALS))],
)
def test_refusals_have_stage_and_reason(text: str, mode: str, stage: Stage, words: str) -> None:
    refusal = refuse(text, mode)
    assert (refusal.stage, words in refusal.reason) == (stage, True), refusal


def test_layers_without_weights_are_refused() -> None:
    template = prompts.load("features")
    prompt = prompts.Template(**{**vars(template), "prefill": ""}).render(TASK, {})
    outcome = contract.read("nn.Sequential(nn.ReLU()\n)", prompt, TASK, template, DEFAULTS)
    assert isinstance(outcome, Refusal)
    assert (outcome.stage, outcome.reason) == (
        Stage.CONTRACT,
        "no layer of the list has weights to train",
    )


def test_a_canonical_answer_must_begin_with_the_prefill() -> None:
    template = prompts.load("body")
    prompt = replace(template.render(TASK, {}), prefill="Sure:\n```python\n")
    outcome = contract.read(f"{BODY}\n```", prompt, TASK, template, DEFAULTS)
    assert isinstance(outcome, Refusal)
    assert "does not begin as the prompt asks" in outcome.reason


def test_a_fence_within_a_line_needs_no_longer_fence() -> None:
    body = BODY.replace("(nn.Module):", "(nn.Module):\n    '''A ```net``` it is.'''")
    assert accept(f"{body}\n```", "body").written.startswith("class Net")


# ---------------------------------------------------------------- totality


def test_read_never_raises() -> None:
    """Damaged answers of three modes are read or refused; candidates read the same again."""
    draw = random.Random(0)
    seeds = [(fenced(path.read_text(), '{"transform": "echo"}'), "full") for path in NETWORKS[:3]]
    seeds += [(f"{BODY}\n```", "body"), (FEATURES, "features"), (f"<nn>{NET}</nn>", "full")]
    read_again = 0
    for _ in range(250):
        text, mode = draw.choice(seeds)
        outcome = read(damaged(text, draw), mode)
        if isinstance(outcome, Candidate):
            assert read(outcome.written, mode) == outcome
            assert contract.novelty_text(outcome)
            read_again += 1
        else:
            assert outcome.reason
    assert read_again > 20


def damaged(text: str, draw: random.Random) -> str:
    """Return `text` with a few characters, words or lines cut, swapped, doubled or inserted."""
    junk = ["(", ")", '"', "'''", "```", "\\", "\t", "\0", "\ud8ff", "é", "lambda", "\x0c", "#"]
    for _ in range(draw.randint(1, 4)):
        start = draw.randrange(len(text) + 1)
        end = min(len(text), start + draw.choice([0, 1, 5, 40]))
        middle = draw.choice(["", text[start:end] * 2, draw.choice(junk), text[start:end][::-1]])
        text = text[:start] + middle + text[end:]
    return text[: draw.randrange(len(text) + 1)] if draw.random() < 0.1 else text


def test_the_mode_is_kept_with_the_candidate() -> None:
    assert accept(fenced(NET)).mode == "full"
    assert accept(f"{BODY}\n```", "body").mode == "body"
    assert accept(FEATURES, "features").mode == "features"
