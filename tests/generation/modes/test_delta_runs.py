"""Runs in `delta` mode: choice of the parent, novelty, and resuming after an interruption."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from quick_runs import database, quick_run, write_answers

from nngpt import config
from nngpt.data.loading import data_source
from nngpt.errors import ConfigError
from nngpt.generation.contract import Reader, make_reader
from nngpt.generation.llm.scripted import ScriptedLLM
from nngpt.generation.pairs import admitted_pairs, corpus_pairs
from nngpt.generation.prompts.cycle_prompts import make_prompts
from nngpt.generation.prompts.known import KnownNetwork, from_run, read_pool
from nngpt.generation.prompts.memory import last_tries, make_memory
from nngpt.novelty.shingles import text_similarity
from nngpt.records import Candidate, Prompt
from nngpt.store import Lease, Store

NETWORKS = Path(__file__).parents[2] / "networks"
DELTA = (
    "prompt.template=delta",
    "candidates.per_cycle=4",
    "llm.batch_size=2",
    "evaluation.hyperparameters.dropout=0.1",
)

WIDER = """\
 @@
         self.features = nn.Sequential(
-            nn.Conv2d(in_shape[1], 32, 3, padding=1),
-            nn.ReLU(),
-            nn.MaxPool2d(2),
-            nn.Conv2d(32, 64, 3, padding=1),
+            nn.Conv2d(in_shape[1], 48, 5, stride=2, padding=2, bias=False),
+            nn.BatchNorm2d(48),
+            nn.GELU(),
+            nn.Conv2d(48, 64, 3, padding=1, groups=4),
+            nn.BatchNorm2d(64),
```"""
RESIDUAL = """\
 -24 @@
     def forward(self, x):
-        x = self.features(x)
-        return self.classifier(torch.flatten(x, 1))
+        x = self.features(x)
+        mean, std = x.mean(dim=(2, 3), keepdim=True), x.std(dim=(2, 3), keepdim=True)
+        x = torch.tanh((x - mean) / (std + 0.001)) + torch.sigmoid(x) * torch.relu(x)
+        x = torch.flatten(x, 1)
+        x = nn.functional.dropout(x, 0.2, self.training)
+        x = nn.functional.layer_norm(x, x.shape[1:]) * nn.functional.softplus(x.mean())
+        return self.classifier(x)
```"""
TINY = " @@\n-            nn.MaxPool2d(2),\n+            nn.AvgPool2d(2),\n```"
LOST = " @@\n-            nn.Softmax(),\n+            nn.ReLU(),\n```"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_answers(tmp_path, (WIDER, RESIDUAL, TINY, LOST))
    return tmp_path


@pytest.fixture(scope="module")
def reader() -> Reader:
    settings = config.load("smoke-mnist", DELTA)
    return make_reader(settings, data_source(settings))


def asked(store: Store, cycle: int) -> list[Prompt]:
    """Return the prompt of each batch of a cycle."""
    batches = {a.batch: a.prompt_hash for a in store.attempts(1, cycle)}
    return [store.prompt(key) for _, key in sorted(batches.items())]


def code_of(reader: Reader, prompt: Prompt) -> str:
    """Return the network that a prompt asks to change."""
    parent = reader.read_whole(prompt.parent)
    assert isinstance(parent, Candidate)
    return parent.code


def test_a_run_changes_its_own_network_then_what_it_admitted(
    folder: Path, reader: Reader, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["llm.batch_size=4", "prompt.shots=1", "prompt.shots_from=admitted"]
    quick_run(folder, 2, *DELTA, *settings)
    told = capsys.readouterr().err
    assert "Network to change: attempt" in told and "Shown in the prompt: attempt" in told
    with Store.open(database(folder)) as store:
        assert [prompt.parent for prompt in asked(store, 1)] == [reader.prompt.parent]
        first = store.attempts(1, 1, with_code=True)
        refused = {a.refusal.reason for a in first if a.refusal}
        lost = "hunk 1: the line 'nn.Softmax(),' is not in the network"
        assert lost in refused and len(refused) == 2
        (near,) = (a.novelty for a in first if a.novelty and a.novelty.duplicate)
        assert near.nearest == "the prompt's own network"
        admitted = store.admitted(1, upto_cycle=1)
        codes = {a.candidate.code for a in admitted if a.candidate}
        assert len(codes) == 2 and {code_of(reader, prompt) for prompt in asked(store, 2)} <= codes
        tries = last_tries(store, 1, 2, 8)
        lines = make_memory(store, tries, from_run(store, admitted), reader.defaults).tries
        assert "-nn.MaxPool2d(2)" in lines[[a.completion.text for a in first].index(TINY)]
        assert all("+nn.BatchNorm2d(48) +nn.GELU()" in line for line in lines if "48, 5" in line)
        again = [(a, line) for a, line in zip(tries, lines, strict=True) if a.cycle == 2]
        assert {": from " in line for a, line in again if a.result} == {True}
        pairs = admitted_pairs(store, admitted)
        assert {pair.prompt.parent for pair in pairs} == {reader.prompt.parent}
        for prompt in asked(store, 2):
            shown = [m.content for m in prompt.messages if m.role == "assistant"]
            assert shown[0].removeprefix(prompt.prefill) in {pair.completion for pair in pairs}
            assert reader.prompt.parent in prompt.messages[1].content, "with what it changed"
        for attempt in store.attempts(1, with_code=True):
            if attempt.candidate is not None:
                prompt = store.prompt(attempt.prompt_hash)
                assert reader.read_answer(attempt.candidate.written, prompt) == attempt.candidate


def test_each_batch_changes_a_network_of_the_corpus_until_one_is_admitted(
    folder: Path, reader: Reader
) -> None:
    names = ("plain", "branches", "residual")
    codes = [(NETWORKS / f"{name}.py").read_text().strip() for name in names]
    fenced = [f"```python\n{code}\n```" for code in (*codes, codes[0] + '\n\nX = "```"')]
    lines = [{"completion": c, "accuracy": n / 10, "mode": "full"} for n, c in enumerate(fenced, 1)]
    (folder / "nets.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    quick_run(folder, 1, *DELTA, "prompt.corpus=nets.jsonl", "candidates.per_cycle=12")
    with Store.open(database(folder)) as store:
        prompts = asked(store, 1)
        changed = [code_of(reader, prompt) for prompt in prompts]
    assert len(prompts) == 6 and len(set(changed)) > 1
    assert set(changed) <= {code + "\n" for code in codes}


def test_a_run_interrupted_before_each_batch_has_the_same_attempts(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = [*DELTA, "prompt.shots=2", "prompt.shots_from=admitted", "candidates.overlap=false"]

    def outcome() -> list[tuple[object, ...]]:
        with Store.open(database(folder)) as store:
            return [
                (a.cycle, a.place, a.prompt_hash, a.completion.text, a.state, a.content_hash)
                for a in store.attempts(1)
            ]

    quick_run(folder, 2, *settings)
    undisturbed = outcome()
    database(folder).unlink()
    record, calls = Lease.add_completions, 0

    def record_at_the_second_try(*arguments: Any) -> list[int]:
        nonlocal calls
        calls += 1
        if calls % 2:
            raise KeyboardInterrupt
        return record(*arguments)

    monkeypatch.setattr(Lease, "add_completions", record_at_the_second_try)
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            quick_run(folder, 2, *settings)
    quick_run(folder, 2, *settings)
    assert calls == 8 and outcome() == undisturbed


def test_a_parent_that_is_too_long_is_skipped(folder: Path, reader: Reader) -> None:
    short = reader.read_whole(reader.prompt.parent)
    assert isinstance(short, Candidate)
    long = replace(short, code=short.code + "# " + "x" * 9_000 + "\n")
    pool = [KnownNetwork("short", short, "", 0.1, ""), KnownNetwork("long", long, "", 0.9, "")]
    length = sum(len(m.content) for m in reader.template.render(reader.task, {}, []).messages)
    settings = config.load(
        "smoke-mnist",
        ["prompt.template=delta", "prompt.shots=0", f"prompt.max_chars={length + 99}"],
    )
    run_prompts = make_prompts(settings, reader, pool, ScriptedLLM(["x"], 1), text_similarity(10))
    prompts = run_prompts.of_cycle([], lambda text: None)
    assert {prompts.prompt(seed).parent for seed in range(9)} == {reader.prompt.parent}


def test_corpus_lines_may_be_diffs(folder: Path, reader: Reader) -> None:
    line = {"messages": [{"role": "user", "content": "Change it."}], "mode": "delta"}
    line |= {"completion": WIDER, "prefill": "```diff\n@@", "parent": reader.prompt.parent}
    (folder / "changes.jsonl").write_text(json.dumps(line) + "\n")
    (pair,) = corpus_pairs(folder / "changes.jsonl", reader.prompt)
    read = reader.read_answer(pair.completion, pair.prompt)
    assert isinstance(read, Candidate) and "nn.GELU()" in read.code


def test_configuration_errors_are_one_line(folder: Path, reader: Reader) -> None:
    settings = config.load(
        "smoke-mnist",
        ["prompt.template=delta", "prompt.shots=1", "prompt.shots_from=both", "prompt.corpus=x"],
    )
    with pytest.raises(ConfigError, match=r"prompt\.shots_from: a corpus holds whole networks"):
        read_pool(settings, reader, lambda text: None)
