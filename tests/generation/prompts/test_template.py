"""Prompt templates: loading, rendering, hash, and error messages."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from network_training import train_one_batch

from nngpt import config, plugins
from nngpt.config import EvaluationConfig
from nngpt.errors import ConfigError
from nngpt.generation import contract
from nngpt.generation.prompts import template as prompts
from nngpt.records import Candidate, Task

TASK = Task("mnist", (1, 1, 28, 28), (10,), threshold=0.4, max_parameters=1_000_000)
DEFAULTS = contract.Defaults.of(EvaluationConfig())
ANSWERS = {
    "features": "8, 3, padding=1),\n    nn.LazyBatchNorm2d(),\n    nn.ReLU(),\n)",
    "body": """\
class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.device = device
        self.conv = nn.Conv2d(in_shape[1], 8, 3, stride=2)
        self.head = nn.Linear(8, out_shape[0])

    def forward(self, x):
        x = F.relu(self.conv(x)).mean((2, 3))
        return self.head(F.dropout(x, 0.1, self.training))
```""",
}


@pytest.mark.parametrize("mode", plugins.names("prompt mode"))
def test_there_is_a_template_for_every_mode(mode: str) -> None:
    template = prompts.load(mode)
    prompt = template.render(TASK, {"lr": 0.01})
    assert (template.mode, prompt.mode, prompt.template) == (mode, mode, mode)
    assert prompt.template_hash == template.hash
    assert [m.role for m in prompt.messages][-1] == "user"
    assert not any("{{" in m.content or "{%" in m.content for m in prompt.messages)


def test_the_full_prompt_describes_task_and_interface() -> None:
    text = prompts.load("full").render(TASK, {"lr": 0.01}).messages[-1].content
    parts = ["mnist", "(1, 1, 28, 28)", "(10,)", "1,000,000", "'lr': 0.01", "norm-32-flip"]
    parts += ["supported_hyperparameters", "__init__", "forward", "train_setup", "learn"]
    assert all(part in text for part in parts)


def test_the_delta_prompt_shows_the_network_to_change() -> None:
    template = prompts.load("delta")
    prompt = template.render(TASK, {})
    assert prompt.parent == template.own_parent(TASK) and "class Net" in prompt.parent
    assert prompt.parent in prompt.messages[-1].content
    questions = [m.content for m in prompt.messages if m.role == "user"][:-1]
    for question, example in zip(questions, template.examples, strict=True):
        assert example.parent.strip() in question and prompt.parent not in question
    other = template.render(TASK, {}, [], "```python\nx = 1\n```")
    assert [m.role for m in other.messages] == ["system", "user"]
    assert other.parent == "```python\nx = 1\n```" in other.messages[-1].content


def test_examples_are_turns_before_the_question() -> None:
    template = prompts.load("features")
    messages = template.render(TASK, {}).messages
    assert [m.role for m in messages] == ["user", "assistant"] * len(template.examples) + ["user"]
    assert messages[1].content == template.examples[0].assistant.strip()


@pytest.mark.parametrize("shape", [(1, 1, 28, 28), (1, 3, 32, 32)])
@pytest.mark.parametrize("mode", ["features", "body"])
def test_a_templated_network_trains(mode: str, shape: tuple[int, int, int, int]) -> None:
    template = prompts.load(mode)
    prompt = template.render(TASK, {})
    candidate = contract.read(ANSWERS[mode], prompt, TASK, template, DEFAULTS)
    assert isinstance(candidate, Candidate), candidate
    train_one_batch(candidate, shape)


@pytest.mark.parametrize("shape", [(1, 1, 28, 28), (1, 3, 32, 32)])
def test_the_networks_of_the_delta_prompt_train(shape: tuple[int, int, int, int]) -> None:
    template = prompts.load("delta")
    prompt = template.render(TASK, {})
    whole = replace(prompt, mode="full", prefill="", stop=(), parent="")
    for parent in (prompt.parent, *(example.parent for example in template.examples)):
        candidate = contract.read(parent, whole, TASK, template, DEFAULTS)
        assert isinstance(candidate, Candidate), candidate
        train_one_batch(candidate, shape)
    for example in template.examples:
        written = example.assistant.strip().removeprefix(prompt.prefill)
        asked = replace(prompt, parent=example.parent)
        candidate = contract.read(written, asked, TASK, template, DEFAULTS)
        assert isinstance(candidate, Candidate), candidate
        train_one_batch(candidate, shape)


# ---------------------------------------------------------------- a user's own template


@pytest.fixture
def own(tmp_path: Path) -> Path:
    shutil.copytree(config.resource_folder("prompts"), tmp_path / "prompts")
    return tmp_path / "prompts" / "features.yaml"


def change(path: Path, **changes: object) -> Path:
    data = yaml.safe_load(path.read_text()) | changes
    path.write_text(yaml.safe_dump({k: v for k, v in data.items() if v is not None}))
    return path


def test_the_hash_covers_everything_but_name_and_comments(own: Path) -> None:
    original = prompts.load("features").hash
    assert len(original) == 16
    own.write_text("# mine\n" + own.read_text())
    assert prompts.load(own.rename(own.with_name("mine.yaml"))).hash == original
    own = own.with_name("mine.yaml")
    hashes = {original}
    examples = yaml.safe_load(own.read_text())["examples"]
    for key, value in {
        "user": "Other.",
        "system": "Other.",
        "prefill": "x",
        "stop": ["y"],
        "examples": examples[:2],
    }.items():
        hashes.add(prompts.load(change(own, **{key: value})).hash)
    network = own.parent / "networks" / "features.py.jinja"
    network.write_text(network.read_text().replace("nn.Sequential", "nn.Sequential "))
    hashes.add(prompts.load(own).hash)
    assert len(hashes) == 7


def test_a_network_file_of_nngpt_may_be_used_from_elsewhere(own: Path) -> None:
    shutil.rmtree(own.parent / "networks")
    assert prompts.load(own).network == prompts.load("features").network


WRONG = [
    ({"prefil": "x"}, "unknown key 'prefil'. Did you mean 'prefill'?"),
    ({"user": None}, "the key 'user' is missing"),
    ({"mode": "feature"}, "mode: unknown prompt mode 'feature'. Did you mean 'features'?"),
    ({"network": None}, "mode 'features' needs a 'network' file"),
    ({"mode": "full"}, "mode 'full' has no use for a 'network' file"),
    ({"network": "networks/feature.py.jinja"}, "Did you mean 'networks/features.py.jinja'?"),
    ({"user": "{{ dataset"}, "not valid Jinja2"),
    ({"examples": [{"user": "x", "asistant": "y"}]}, "Did you mean 'assistant'?"),
    ({"stop": 3, "mode": 4}, "mode: Input should be a valid string"),
    ({"mode": "delta"}, "examples of mode 'delta' each need a 'parent'"),
    ({"examples": [{"assistant": "y", "parent": "z"}]}, "'features' have no use for a 'parent'"),
]


@pytest.mark.parametrize(("changes", "words"), WRONG)
def test_errors_in_a_file_are_named(own: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        prompts.load(change(own, **changes))
    assert words in caught.value.line()
    assert caught.value.where == str(own)


def test_an_unknown_name_gets_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such prompt template.*Did you mean 'features'\?"):
        prompts.load("feature")
    with pytest.raises(ConfigError, match="no such prompt template"):
        prompts.load(tmp_path / "none.yaml")


@pytest.mark.parametrize("text", ["a: [", "- 1", "", "\x00"])
def test_files_that_are_not_templates_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        prompts.load(path)


@pytest.mark.parametrize("user", ["{{ datset }}", "{{ 1 / 0 }}", "{{ ''.__class__.mro() }}"])
def test_rendering_errors_are_reported(own: Path, user: str) -> None:
    template = prompts.load(change(own, user=user))
    with pytest.raises(ConfigError):
        template.render(TASK, {})


def test_prompts_do_not_need_torch() -> None:
    spec = importlib.util.find_spec("nngpt.generation.prompts.template")
    assert spec is not None and spec.origin is not None
    assert "import torch" not in Path(spec.origin).read_text()
