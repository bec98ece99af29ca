"""A run starts from a corpus: lines are read with their own prompts, and trained on first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import GOOD, Nngpt

from nngpt import config
from nngpt.errors import ConfigError
from nngpt.generation.pairs import corpus_pairs
from nngpt.records import Message, Prompt, TrainingPair
from nngpt.store import Store

PROMPT = Prompt("features", "0", "features", (Message("user", "Write."),), "nn.Seq", ("\n)",))
ASKED = {"role": "user", "content": "Design."}


def file_of(folder: Path, *rows: dict[str, Any] | bytes) -> Path:
    file = folder / "pairs.jsonl"
    raw = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    file.write_bytes(b"\n".join(raw) + b"\n")
    return file


def test_lines_with_and_without_a_prompt(tmp_path: Path) -> None:
    own = {"prefill": "nn", "stop": ["\n)"], "mode": "features", "template": "t"}
    file = file_of(
        tmp_path,
        {"completion": "a", "source": "by hand"},
        {"messages": [ASKED], "completion": "b", **own, "template_hash": "h", "accuracy": 0.5},
        b"",
        {"messages": [ASKED, {"role": "assistant", "content": "c"}], "name": "x"},
    )
    asked = (Message("user", "Design."),)
    expected = [
        TrainingPair(PROMPT, "a", "by hand"),
        TrainingPair(Prompt("t", "h", "features", asked, "nn", ("\n)",)), "b", "pairs.jsonl"),
        TrainingPair(Prompt("corpus", "", "features", asked), "c", "pairs.jsonl"),
    ]
    assert corpus_pairs(file, PROMPT) == expected
    shipped = corpus_pairs(Path("smollm2-135m-lemur/features.jsonl.gz"), PROMPT, limit=3)
    assert len(shipped) == 3, "what comes with nngpt is found by name"
    assert corpus_pairs(file, PROMPT, limit=2) == expected[:2]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (b"{", "line 2: not a line of JSON"),
        (b'"text"', "line 2: Input should be an object"),
        (b'{"completion": "\xff"}', "line 2: not a line of JSON"),
        ({"source": "a"}, "line 2: it has no 'completion'"),
        ({"completion": 3}, "line 2: completion: Input should be a valid string"),
        ({"completion": "a", "messages": [{"role": "user"}]}, "line 2: messages.0.content"),
        ({"completion": "a", "messages": []}, "line 2: 'messages' ask nothing"),
        ({"messages": [{"role": "assistant", "content": "c"}]}, "line 2: 'messages' ask nothing"),
        ({"completion": "a", "mode": "full"}, "line 2: written in full mode"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(
    tmp_path: Path, row: dict[str, Any] | bytes, said: str
) -> None:
    file = file_of(tmp_path, {"completion": "a"}, row)
    with pytest.raises(ConfigError) as caught:
        corpus_pairs(file, PROMPT)
    assert f"learning.corpus: {file}, {said}" in caught.value.line()
    assert corpus_pairs(file, PROMPT, limit=1), "what is not asked for is not read"


def test_a_warm_up_needs_a_corpus() -> None:
    with pytest.raises(ConfigError, match="warm_up needs a corpus"):
        config.load("smoke-mnist", ["learning.warm_up=true"])


def test_a_run_learns_the_corpus_before_it_writes(
    nngpt: Nngpt, scripted: list[str], model: str, tmp_path: Path
) -> None:
    """Scripted answers, but a real model is tuned; a second start does not tune it again."""
    good, bad = {"completion": GOOD}, {"completion": "16, 3, kernel=wide),\n)"}
    settings = {
        "learning.enabled": "true",
        "learning.base": model,
        "learning.corpus": file_of(tmp_path, good, bad, good),
        "learning.corpus_limit": 2,
        "learning.warm_up": "true",
        "learning.epochs": 1,
        "learning.layers": 1,
        "learning.rank": 2,
        "candidates.per_cycle": 1,
    }
    sets = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    for _ in range(2):
        done = nngpt("cycle", "run", "smoke-mnist", "--cycles", 1, *scripted, *sets)
        assert done.returncode == 0, done.stderr
    assert "Corpus: 1 pairs of" not in done.stdout, "it was finished already"
    with Store.open(tmp_path / "runs" / "nngpt.db") as store:
        adapters = store.adapters(1)
        (attempt,) = store.attempts(1)
        assert attempt.completion.adapter == "smoke-mnist-1-c0" == adapters[0].name
        assert adapters[0].pairs == 1, "the pair that does not fit the contract is left out"
        assert [s.cycle for s in store.summary(1)] == [1]
