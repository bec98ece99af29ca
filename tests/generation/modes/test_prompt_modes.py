"""Prompt modes of nngpt, and a mode of three files outside: module, template, network file."""

from __future__ import annotations

from pathlib import Path

import pytest
from quick_runs import database, quick_run, write_answers

from nngpt import config, plugins
from nngpt.data.loading import data_source
from nngpt.errors import ConfigError
from nngpt.generation import contract, modes
from nngpt.generation.contract import make_reader
from nngpt.generation.llm.scripted import ScriptedLLM
from nngpt.generation.models import constrained
from nngpt.generation.prompts.cycle_prompts import make_prompts
from nngpt.novelty.shingles import text_similarity
from nngpt.protocols import PromptMode, TakesSettings
from nngpt.records import Candidate, Refusal, Sampling, Stage
from nngpt.store import Store

MODE = '''
"""The LLM writes the operations of a cell, in order."""

from nngpt.generation.contract import Defaults, Reader
from nngpt.generation.contract.answers import Answer
from nngpt.generation.contract.candidate import make_candidate
from nngpt.protocols import PromptMode
from nngpt.records import Candidate, Prompt, Refusal, Stage

LAYERS = {"conv": "nn.LazyConv2d(8, 3, padding=1)", "relu": "nn.ReLU()", "pool": "nn.MaxPool2d(2)"}


class CellMode(PromptMode):
    def read(self, answer: str, reader: Reader) -> Candidate | Refusal:
        names = answer.partition(".")[0].split()
        wrong = next((name for name in names if name not in LAYERS), None)
        if wrong is not None or not names:
            return Refusal(Stage.PARSE, f"no operation: {wrong}")
        layers = [LAYERS[name] for name in names]
        code = reader.template.network_code(reader.task, layers=layers)
        canonical = " ".join(names) + "."
        return make_candidate(Answer(code, {}), code, canonical, reader.prompt, reader.defaults)

    def novelty_text(self, candidate: Candidate) -> str:
        return candidate.code

    def known_answer(self, candidate: Candidate, prompt: Prompt, defaults: Defaults) -> str:
        return prompt.prefill + candidate.written


def create() -> CellMode:
    return CellMode()
'''

TEMPLATE = """
mode: lab.cells
network: networks/cells.py.jinja
prefill: "conv "
stop: ["."]
user: Write a cell for {{ dataset }} from the operations conv, relu and pool.
examples:
  - assistant: conv relu.
"""

RUN = ["prompt.template=cells.yaml", "novelty.measure=none", "candidates.per_cycle=2"]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with the three files of the mode `lab.cells`, and change to it."""
    network = (config.resource_folder("prompts") / "networks" / "features.py.jinja").read_text()
    files = {
        "lab/cells.py": MODE,
        "cells.yaml": TEMPLATE,
        "networks/cells.py.jinja": network,
    }
    for name, text in files.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_modes_that_come_with_nngpt() -> None:
    assert plugins.names("prompt mode") == ["body", "cell", "delta", "features", "full"]
    found = {name: modes.load(name) for name in plugins.names("prompt mode")}
    assert all(isinstance(mode, PromptMode) for mode in found.values())
    facts = {n: (m.network_file, m.changes_parent, m.defines_blocks) for n, m in found.items()}
    assert facts == {
        "full": (False, False, False),
        "body": (True, False, True),
        "features": (True, False, True),
        "delta": (True, True, False),
        "cell": (True, False, False),
    }
    assert [name for name, mode in found.items() if isinstance(mode, TakesSettings)] == ["full"]


def test_a_prompt_of_the_mode_is_answered_and_read(lab: Path) -> None:
    settings = config.load("smoke-mnist", ["prompt.template=cells.yaml"])
    reader = make_reader(settings, data_source(settings))
    llm = ScriptedLLM(["pool conv. And more.", "dense."], 1)
    prompts = make_prompts(settings, reader, [], llm, text_similarity(10))
    prompt = prompts.of_cycle([], print).prompt(1)
    assert (prompt.mode, prompt.prefill) == ("lab.cells", "conv ")
    assert [m.content for m in prompt.messages][-2:] == [
        "conv relu.",
        "Write a cell for mnist from the operations conv, relu and pool.",
    ]
    texts = [c.text for c in llm.generate(prompt, 2, 1, Sampling())]
    outcomes = {text[:4]: reader.read_answer(text, prompt) for text in texts}
    candidate = outcomes["pool"]
    assert isinstance(candidate, Candidate)
    assert (candidate.mode, candidate.written) == ("lab.cells", "pool conv.")
    assert candidate.code.index("MaxPool2d") > candidate.code.index("LazyConv2d")
    assert reader.read_answer(candidate.written, prompt) == candidate
    assert contract.novelty_text(candidate) == candidate.code
    assert outcomes["dens"] == Refusal(Stage.PARSE, "no operation: dense")
    with pytest.raises(ConfigError, match=r"lab\.cells mode have no settings"):
        constrained.check(llm, prompt.mode)


def test_a_run_in_the_mode_stores_its_name(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_answers(lab, ["relu pool.", "dense."])
    quick_run(lab, 1, *RUN)
    assert "lab.cells" in capsys.readouterr().err
    with Store.open(database(lab)) as store:
        attempts = store.attempts(1, with_code=True)
        assert {attempt.mode for attempt in attempts} == {"lab.cells"}
        (read,) = (a.candidate for a in attempts if a.candidate)
        assert read.written == "relu pool."
        (refusal,) = (a.refusal for a in attempts if a.refusal)
        assert refusal.reason == "no operation: dense"


def test_an_unknown_mode_is_named_in_the_error(lab: Path) -> None:
    (lab / "cells.yaml").write_text(TEMPLATE.replace("lab.cells", "lab.cell"))
    with pytest.raises(ConfigError, match=r"mode: unknown prompt mode 'lab\.cell'"):
        settings = config.load("smoke-mnist", ["prompt.template=cells.yaml"])
        make_reader(settings, data_source(settings))
