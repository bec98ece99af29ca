"""Answers of `delta` mode: diffs that apply, refusal reasons, and canonical answers."""

from __future__ import annotations

import difflib
import random
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from nngpt.config import EvaluationConfig
from nngpt.generation import contract
from nngpt.generation.contract import Defaults, answers, diffs
from nngpt.generation.contract.answers import Answer
from nngpt.generation.prompts import template as prompts
from nngpt.records import Candidate, Prompt, Refusal, Stage, Task

TASK = Task("mnist", (1, 1, 28, 28), (10,), threshold=0.4)
DEFAULTS = Defaults.of(EvaluationConfig())
TEMPLATE = prompts.load("delta")
PROMPT = TEMPLATE.render(TASK, DEFAULTS.hyperparameters)
NETWORKS = sorted((Path(__file__).parents[2] / "networks").glob("*.py"))

POOL = """\
@@ -17,6 +17,6 @@
             nn.Conv2d(in_shape[1], 32, 3, padding=1),
             nn.ReLU(),
-            nn.MaxPool2d(2),
+            nn.AvgPool2d(2),
             nn.Conv2d(32, 64, 3, padding=1),
"""


def read(diff: str, prompt: Prompt = PROMPT, fence: str = "diff") -> Candidate | Refusal:
    """Read an answer with this diff."""
    text = f"```{fence}\n{diff}\n```"
    plain = replace(prompt, prefill="")
    return contract.read(text, plain, TASK, TEMPLATE, DEFAULTS)


def accept(diff: str, prompt: Prompt = PROMPT) -> Candidate:
    candidate = read(diff, prompt)
    assert isinstance(candidate, Candidate), candidate
    again = contract.read(candidate.written, replace(prompt, prefill=""), TASK, TEMPLATE, DEFAULTS)
    assert again == candidate
    return candidate


def refuse(diff: str, prompt: Prompt = PROMPT) -> Refusal:
    refusal = read(diff, prompt)
    assert isinstance(refusal, Refusal), refusal
    return refusal


# ---------------------------------------------------------------- what applies


def test_a_diff_changes_the_network_of_the_prompt() -> None:
    candidate = accept(POOL)
    parent = answers.read(PROMPT.parent)
    assert isinstance(parent, Answer)
    assert candidate.code == parent.code.replace("MaxPool2d", "AvgPool2d") + "\n"
    assert contract.novelty_text(candidate) == candidate.code
    assert candidate.mode == "delta"
    assert (candidate.hyperparameters, candidate.batch) == ({"lr": 0.01, "momentum": 0.9}, 64)


def test_a_fixed_protocol_passes_over_the_settings_of_the_diff_and_of_the_network() -> None:
    parent = answers.read(PROMPT.parent)
    assert isinstance(parent, Answer)
    rated = replace(PROMPT, parent=answers.write(replace(parent, hyperparameters={"lr": 0.5})))
    text = f'```diff\n{POOL}\n```\n```json\n{{"hyperparameters": {{"batch": 8}}}}\n```'
    plain = replace(rated, prefill="")
    found = [
        contract.read(text, plain, TASK, TEMPLATE, replace(DEFAULTS, fixed=fixed))
        for fixed in (False, True)
    ]
    values = [(c.hyperparameters["lr"], c.batch) for c in found if isinstance(c, Candidate)]
    assert values == [(0.5, 8), (0.01, 64)]


def test_the_completion_continues_the_prefill() -> None:
    completion = POOL.removeprefix("@@") + "```\nThat should do."
    candidate = contract.read(completion, PROMPT, TASK, TEMPLATE, DEFAULTS)
    assert isinstance(candidate, Candidate)
    assert candidate.written.startswith(" -14,7 +14,7 @@\n") and candidate.written.endswith("\n```")
    assert contract.read(candidate.written, PROMPT, TASK, TEMPLATE, DEFAULTS) == candidate


@pytest.mark.parametrize(
    "change",
    [
        ("-17,6 +17,6 ", "-170,9 +3 "),
        ("-17,6 +17,6 ", ""),
        ("@@ -17,6 +17,6 @@", "@@"),
        ("@@ -17,6 +17,6 @@\n", ""),
        ("@@ -17", "diff --git a/net.py b/net.py\n--- a/net.py\n+++ b/net.py\n@@ -17"),
        ("nn.ReLU(),\n", "nn.ReLU(),  \n"),
        ("@@\n", "@@ class Net(nn.Module):\n"),
        ("              nn.ReLU(),\n"[1:], "            nn.ReLU(),\n"),
        ("             nn.Conv2d(in", "            nn.Conv2d(in"),
    ],
)
def test_harmless_mistakes_give_the_same_candidate(change: tuple[str, str]) -> None:
    assert change[0] in POOL
    assert accept(POOL.replace(*change)) == accept(POOL)


def test_hunks_come_in_any_order_and_may_share_kept_lines() -> None:
    one = "@@\n             nn.MaxPool2d(2),\n-            nn.Conv2d(32, 64, 3, padding=1),\n"
    one += "+            nn.Conv2d(32, 64, 5, padding=2),"
    two = "@@\n-            nn.AdaptiveAvgPool2d(4),\n+            nn.AdaptiveMaxPool2d(4),"
    three = "@@\n             nn.MaxPool2d(2),\n+            nn.Dropout(0.1),"
    both = accept(f"{one}\n\n{two}")
    assert accept(f"{two}\n{one}") == both
    assert both.written.count("@@ -") == 1, "near changes become one hunk"
    assert accept(f"{three}\n{two}").code.count("Dropout(0.1)") == 1
    shared = accept(f"{one}\n{three}")
    assert "Dropout(0.1),\n            nn.Conv2d(32, 64, 5" in shared.code


def test_an_empty_line_is_a_blank_kept_line_within_a_hunk() -> None:
    diff = "@@\n         return self.classifier(torch.flatten(x, 1))\n\n-    def train_setup"
    diff += "(self, prm):\n+    def train_setup(self, prm: dict):"
    assert "def train_setup(self, prm: dict):" in accept(diff).code
    with_end = "\n\\ No newline at end of file\n\n"
    assert accept(diff + with_end) == accept(diff)


def test_what_fits_twice_needs_its_line_number() -> None:
    twice = "@@ -{} @@\n             nn.ReLU(),\n+            nn.Dropout(0.1),"
    assert "fits in 2 places" in refuse(twice.format("1,2 +1,3")).reason
    first, second = accept(twice.format("16")), accept(twice.format("19,1"))
    assert first.code != second.code
    assert first.code.index("Dropout") < second.code.index("Dropout")


def test_settings_are_the_parents_unless_the_answer_has_its_own() -> None:
    net = next(n for n in NETWORKS if n.stem == "plain").read_text()
    parent = Answer(net.strip(), {"lr": 0.5, "dropout": 0.4}, batch=16, transform="norm-flip")
    prompt = replace(PROMPT, parent=answers.write(parent))
    less = '@@\n-    return {"lr", "momentum", "dropout"}\n+    return {"lr", "momentum"}\n'
    candidate = accept(less, prompt)
    assert candidate.hyperparameters == {"lr": 0.5, "momentum": 0.9}
    assert (candidate.batch, candidate.transform) == (16, "norm-flip")
    own = less + '```\n```json\n{"hyperparameters": {"lr": 0.25, "batch": 8}}'
    candidate = accept(own, prompt)
    assert candidate.hyperparameters["lr"] == 0.25
    assert (candidate.batch, candidate.transform) == (8, "norm-flip")
    assert contract.full_answer(candidate, DEFAULTS).endswith(
        '```json\n{"hyperparameters": {"batch": 8, "lr": 0.25}, "transform": "norm-flip"}\n```'
    )


# ---------------------------------------------------------------- what is refused

REFUSALS = [
    ("", "the diff is empty"),
    ("--- a/net.py\n+++ b/net.py\n", "the diff is empty"),
    ("@@\n nn.ReLU(),", "hunk 1: the line 'nn.ReLU(),' is indented otherwise in the network"),
    ("@@\n             nn.SELU(),\n+x", "hunk 1: the line 'nn.SELU(),' is not in the network"),
    (POOL + "@@\n-    x = 3\n+    x = 4", "hunk 2: the line 'x = 3' is not in the network"),
    (
        "@@\n             nn.ReLU(),\n             nn.Conv2d(32, 64, 3, padding=1),\n+x",
        "hunk 1: its lines do not follow each other in the network; "
        "'nn.Conv2d(32, 64, 3, padding=1),' comes elsewhere",
    ),
    ("@@ -3,0 +4 @@\n+import math", "hunk 1: it keeps no line, so its place is unknown"),
    (POOL + POOL, "hunk 2: it changes what another hunk changes or keeps"),
    (
        POOL + "@@\n             nn.ReLU(),\n             nn.MaxPool2d(2),\n+            nn.ELU(),",
        "hunk 2: it changes what another hunk changes or keeps",
    ),
    ("@@\nclass Nets(nn.Module):\n+x", "hunk 1: the line 'class Nets(nn.Module):' is not in"),
    ("@@\n             nn.MaxPool2d(2),", "the diff changes nothing in the network"),
    (
        "@@\n-            nn.MaxPool2d(2),\n+            nn.MaxPool2d(2),",
        "the diff changes nothing in the network",
    ),
    ("@@\n-            nn.MaxPool2d(2),\n+        nn.MaxPool2d( 2 ),", "changes nothing"),
    ("@@\n-import torch\n+import torch (", "the code is not valid Python"),
]


@pytest.mark.parametrize(("diff", "reason"), REFUSALS, ids=range(len(REFUSALS)))
def test_refusals_name_the_hunk_and_the_reason(diff: str, reason: str) -> None:
    refusal = refuse(diff)
    assert refusal.stage is Stage.PARSE
    assert reason in refusal.reason


def test_the_changed_network_passes_the_same_gates() -> None:
    safety = refuse("@@\n import torch\n+import socket")
    assert (safety.stage, "socket" in safety.reason) == (Stage.SAFETY, True)
    lost = refuse("@@\n-    def forward(self, x):\n+    def forwards(self, x):")
    assert (lost.stage, "no method forward" in lost.reason) == (Stage.CONTRACT, True)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("I change nothing.", "no ```diff block"),
        ("```python\nx\n```", "no ```diff block"),
        (f"```diff\n{POOL}", "cut off: its diff never ends"),
        (f"```diff\n{POOL}```\n```json\n{{lr: 1}}\n```", "not valid JSON"),
    ],
)
def test_answers_without_a_whole_diff(text: str, reason: str) -> None:
    outcome = contract.read(text, replace(PROMPT, prefill=""), TASK, TEMPLATE, DEFAULTS)
    assert isinstance(outcome, Refusal)
    assert (outcome.stage, reason in outcome.reason) == (Stage.PARSE, True)


# ---------------------------------------------------------------- against difflib and git


def altered(source: str, draw: random.Random) -> str:
    """Return `source` with a few lines dropped, doubled, changed or inserted."""
    lines = source.split("\n")
    for _ in range(draw.randint(1, 6)):
        at = draw.randrange(len(lines))
        new = draw.choice(
            [[], [lines[at]] * 2, ["", lines[at]], [f"# {draw.random()}"], ["a", "b"]]
        )
        lines[at : at + 1] = new
    return "\n".join(lines)


def test_real_diffs_apply_and_stay_what_they_are() -> None:
    draw = random.Random(0)
    for path in NETWORKS:
        source = path.read_text()
        for _ in range(25):
            target = altered(source, draw)
            made = difflib.unified_diff(source.split("\n"), target.split("\n"), lineterm="", n=3)
            text = "\n".join(made)
            if not text:
                continue
            patched = diffs.apply(text, source)
            assert isinstance(patched, diffs.Patched), patched
            assert patched.text == target
            assert diffs.apply(patched.diff, source) == patched


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")
def test_git_applies_canonical_diffs(tmp_path: Path) -> None:
    draw = random.Random(1)
    source = NETWORKS[0].read_text()
    target = altered(source, draw).rstrip("\n") + "\n"
    made = "\n".join(difflib.unified_diff(source.split("\n"), target.split("\n"), lineterm=""))
    patched = diffs.apply(made, source)
    assert isinstance(patched, diffs.Patched)
    (tmp_path / "net.py").write_text(source)
    (tmp_path / "a.diff").write_text(f"--- a/net.py\n+++ b/net.py\n{patched.diff}\n")
    command = ["git", "apply", "--recount", "--unsafe-paths", "a.diff"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "net.py").read_text() == target


def test_reading_a_diff_never_raises() -> None:
    draw = random.Random(2)
    applied = 0
    for _ in range(400):
        text = POOL
        for _ in range(draw.randint(0, 3)):
            start = draw.randrange(len(text) + 1)
            junk = draw.choice(
                ["@@", "\n", " ", "-", "+", "\\", "```", "\ud800", text[start:], "é"]
            )
            text = text[:start] + junk + text[start + draw.randint(0, 9) :]
        outcome = read(text)
        if isinstance(outcome, Candidate):
            plain = replace(PROMPT, prefill="")
            assert contract.read(outcome.written, plain, TASK, TEMPLATE, DEFAULTS) == outcome
            applied += 1
        else:
            assert outcome.reason
    assert applied > 40
