"""Memory of the last tries: what questions say in each mode, of which cycles, and how much."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from command_line import ANSWERS, CUT_OFF, NEAR_TWIN, NO_LAYER
from quick_runs import database, quick_run, write_answers

from nngpt import config
from nngpt.data.loading import data_source
from nngpt.errors import ConfigError
from nngpt.generation.contract import Defaults, make_reader
from nngpt.generation.llm.scripted import ScriptedLLM
from nngpt.generation.prompts import memory
from nngpt.generation.prompts.cycle_prompts import make_prompts
from nngpt.generation.prompts.known import from_run
from nngpt.generation.prompts.memory import (
    Memory,
    find_layers,
    last_tries,
    make_memory,
    repeatable,
)
from nngpt.novelty.shingles import text_similarity
from nngpt.store import Store

NETWORK = (Path(__file__).parents[2] / "networks" / "plain.py").read_text().strip()
BODY = """\
class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.device = device
        self.body = nn.Sequential(nn.Conv2d(in_shape[1], 8, 3), torch.nn.{}(), nn.Flatten(2))
        self.head = nn.LazyLinear(out_shape[0])

    def forward(self, x):
        return self.head(self.body(x).mean(2))
```"""
RUN_OF_TWO = (
    "candidates.per_cycle=2",
    "evaluation.hyperparameters.dropout=0.1",
    "evaluation.retrain=false",
)
SETTINGS = '\n\n```json\n{"hyperparameters": {"lr": 0.1}, "transform": "norm-flip"}\n```'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def memories(folder: Path) -> list[list[str]]:
    """Return the lines that the first question of each cycle adds to that of the first cycle."""
    with Store.open(database(folder)) as store:
        hashes = {a.cycle: a.prompt_hash for a in reversed(store.attempts(1))}
        asked = [store.prompt(hashes[cycle]).messages[-1].content for cycle in sorted(hashes)]
    return [question.removeprefix(asked[0]).strip().splitlines() for question in asked]


def test_questions_end_with_the_tries_of_earlier_cycles(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_answers(folder, ANSWERS)
    quick_run(folder, 3, "candidates.per_cycle=6", "llm.batch_size=6", "prompt.memory=6")
    first, second, third = memories(folder)
    with Store.open(database(folder)) as store:
        written = store.attempts(1, 1, with_code=True)
        best = max(store.admitted(1, 1), key=lambda a: a.result.accuracy if a.result else 0)
        asked = [{a.prompt_hash for a in store.attempts(1, cycle)} for cycle in (1, 2, 3)]
        defaults = Defaults.of(config.load("smoke-mnist").evaluation)
        tries = last_tries(store, 1, 2, 8)
        whole = make_memory(store, tries, [], defaults).tries
        monkeypatch.setattr(memory, "LONGEST", sum(len(line) + 1 for line in whole[-3:]))
        bounded = make_memory(store, tries, [], defaults).tries
        assert [a.id for a in tries] == [a.id for a in store.attempts(1)][4:12]
    assert first == [] and all(len(hashes) == 1 for hashes in asked), "the same in each batch"
    assert best.result and second[0].startswith(f"Best so far, {best.result.accuracy:.1%}: LazyC")
    assert second[1] == "Last tries, compared with it, the newest last:"
    for attempt, line in zip(written, second[2:], strict=True):
        outcome = {
            NEAR_TWIN: ", too similar to a known network",
            NO_LAYER: "LazyReLU(): refused (build): building the network failed: AttributeError",
            CUT_OFF: "no network: refused (parse): the answer is cut off: its code never ends",
        }
        assert line.endswith(outcome.get(attempt.completion.text, "%"))
        if attempt.result:
            change = "the same layers" if attempt.id == best.id else ""
            assert f"{change}: {attempt.result.accuracy:.1%}" in line
    outcomes = {line.rpartition(": ")[2] for line in third[2:]}
    assert outcomes == {"repeats a known network", "its code never ends"}
    assert "attempt" not in "".join([*second, *third])
    assert len(whole) == 8 and bounded == whole[-3:]


@pytest.mark.parametrize(
    ("template", "texts", "best", "tries"),
    [
        (
            "body",
            [BODY.format("ReLU"), BODY.format("GELU")],
            "Conv2d(in_shape[1], 8, 3), GELU(), Flatten(2), LazyLinear(out_shape[0])",
            ["-GELU() +ReLU(): 63.5%", "the same layers: 66.0%"],
        ),
        (
            "full",
            [f"```python\n{NETWORK}\n```", f"```python\n{NETWORK} + 0\n```{SETTINGS}"],
            "CrossEntropyLoss(), Conv2d(in_shape[1], 16, kernel_size=5, stride=2, padding=2), ",
            [
                "+lr=0.1 +transform=norm-flip: 65.5%, too similar to a known network",
                "the same layers: 52.5%",
            ],
        ),
    ],
)
def test_networks_are_compared_with_the_best(
    folder: Path, template: str, texts: list[str], best: str, tries: list[str]
) -> None:
    write_answers(folder, texts)
    quick_run(folder, 1, f"prompt.template={template}", *RUN_OF_TWO)
    settings = config.load("smoke-mnist", [f"prompt.template={template}", *RUN_OF_TWO])
    defaults = make_reader(settings, data_source(settings)).defaults
    with Store.open(database(folder)) as store:
        known = from_run(store, store.admitted(1))
        found = make_memory(store, last_tries(store, 1, 1, 2), known, defaults)
    assert re.sub(r" [\d.]+%", "", found.best).startswith(f"Best so far,: {best}")
    assert sorted(found.tries) == tries and len(found.best) <= 320


def test_layers_are_calls_of_modules() -> None:
    code = (
        "nn.Sequential(nn.Conv2d(8, 8,\n    3), Block(8), *[torch.nn.ReLU() for _ in range(2)])\n"
        f"nn.Linear({' + '.join(['1'] * 2_000)}, nn.functional.relu(x), F.relu(x))"
    )
    assert find_layers(code)[:3] == ["Conv2d(8, 8,\n    3)", "Block(8)", "ReLU()"]
    assert len(find_layers(code)) == 4 and find_layers("nn.Linear(") == []


@pytest.mark.parametrize(
    ("reason", "same"),
    [
        ("takes 12.34 ms an image, the budget is 10 ms", "takes … an image, the budget is 10 ms"),
        (
            "would train for 33.1 ± 2.0 s of its own, the budget is 20 s",
            "would train for … of its own, the budget is 20 s",
        ),
        ("used more than its 20 CPU seconds", "used more than its …"),
        ("slept more than 7.5 seconds", "slept more than …"),
        ("extra epochs: it trained 4.3 × as long", "extra epochs: it trained … as long"),
        ("failed: <Net object at 0x7f00deadbeef>", "failed: <Net object at 0x…>"),
        ("has 1,200 parameters, the budget is 1,000", "has 1,200 parameters, the budget is 1,000"),
    ],
)
def test_reasons_are_said_without_what_was_measured(reason: str, same: str) -> None:
    assert repeatable(reason) == same


def test_the_oldest_tries_are_left_out_first() -> None:
    settings = config.load("smoke-mnist")
    reader, log = make_reader(settings, data_source(settings)), list[str]()
    remembered = Memory("Best so far", ("one", "two", "three"))
    length = sum(len(message.content) for message in reader.prompt.messages)
    length += len(reader.prompt.prefill)
    for room, lines in ((73, ["two", "three"]), (0, [])):
        limited = config.load("smoke-mnist", [f"prompt.max_chars={length + room}"])
        prompts = make_prompts(limited, reader, [], ScriptedLLM(["x"], 1), text_similarity(10))
        question = (
            prompts.of_cycle([], log.append, memory=remembered).prompt(1).messages[-1].content
        )
        assert question.split("last:\n")[1:] == (["\n".join(lines)] if lines else [])
    assert set(log) == {"Old tries were left out: too long for the prompt."}


@pytest.mark.parametrize("wrong", ["-1", "101", "five", "null"])
def test_mistakes_are_one_line(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"prompt\.memory") as caught:
        config.load("smoke-mnist", [f"prompt.memory={wrong}"])
    assert "\n" not in caught.value.line()
