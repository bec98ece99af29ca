"""Explanations show the same figures as deduplication."""

from __future__ import annotations

import json

import pytest
from dedup_samples import code, other
from rich.console import Console

from nngpt.novelty.dedup.collection import DedupSettings, Network
from nngpt.novelty.dedup.explanation import Explanation, explain, explanation_facts
from nngpt.novelty.dedup.pipeline import deduplicate
from nngpt.novelty.shingles import jaccard, shingles, tokens
from nngpt.reports.dedup.tables import explanation_parts

ONE = Network("ga-1", code(16), "ga", 0.5)
NEAR = Network("ga-2", code(16, "Tanh()"), "ga", 0.6)
FAR = Network("rag-1", other("gate"), "rag")
ALL = DedupSettings(levels=("exact", "lexical", "normalised", "structural"))


def shown(explanation: Explanation) -> str:
    console = Console(width=120, file=None, record=True, quiet=False, force_terminal=False)
    with console.capture() as capture:
        for part in explanation_parts(explanation):
            console.print(part)
    return capture.get()


def test_similarities_and_counts_are_exact() -> None:
    found = explain(ONE, NEAR, ALL)
    assert [view.level for view in found.levels] == list(ALL.levels)
    lexical = found.levels[1]
    sets = shingles(ONE.code), shingles(NEAR.code)
    assert lexical.tokens == (len(tokens(ONE.code)), len(tokens(NEAR.code)))
    assert lexical.shingles == (len(sets[0]), len(sets[1]))
    assert lexical.shared == len(sets[0] & sets[1])
    assert lexical.similarity == pytest.approx(jaccard(*sets), abs=1e-12)
    assert 0.9 < jaccard(*sets) < 1


@pytest.mark.parametrize("pair", [(ONE, NEAR), (NEAR, ONE), (ONE, FAR), (ONE, ONE)])
@pytest.mark.parametrize("thresholds", [{}, {"ga": 0.999}])
def test_the_verdict_agrees_with_deduplication(
    pair: tuple[Network, Network], thresholds: dict[str, float]
) -> None:
    settings = DedupSettings(family_thresholds=thresholds, per_family=1)
    found = explain(*pair, settings)
    outcome = deduplicate(pair, DedupSettings(family_thresholds=thresholds))
    assert found.verdict == (outcome.removed[0].level if outcome.removed else None)
    assert found.kept == (outcome.kept[0].name if outcome.removed else None)
    alike = [v.level for v in found.levels if v.similarity is not None]
    assert alike == ["exact", "lexical"]
    if pair[0].family == pair[1].family:
        assert found.levels[1].threshold == thresholds.get("ga", 0.9)


def test_shared_runs_and_differences() -> None:
    found = explain(ONE, NEAR, ALL)
    lines = ONE.code.splitlines()
    longest = found.runs[0]
    until_the_layer_that_only_one_has = tuple(line for line in lines[:-3] if line)
    assert (longest.first_line, longest.second_line) == (1, 1)
    assert longest.text == until_the_layer_that_only_one_has
    assert longest.lines == len(longest.text)
    assert [run.lines for run in found.runs] == sorted((r.lines for r in found.runs), reverse=True)
    changed = [line for line in found.diff[2:] if line[0] in "+-"]
    assert changed == ["+        self.x0 = nn.Tanh()"]
    text = shown(found)
    assert "Near-duplicates at level lexical: of the two, B is kept." in text
    assert changed[0] in text and "ga-2 (family ga, accuracy 60.0%)" in text


def test_a_level_that_cannot_read_the_code() -> None:
    broken = Network("broken", "class Net(:\n" + "x" * 1_000_000 + "\x1b[2J\0", "x")
    found = explain(ONE, broken, ALL)
    structural = found.levels[3]
    assert (structural.similarity, structural.shared, structural.tokens[1]) == (None, None, None)
    assert structural.tokens[0] is not None and found.verdict is None
    assert "\x1b" not in shown(found) and "\0" not in shown(found)


def test_nothing_in_common_and_nothing_different() -> None:
    assert explain(ONE, FAR, ALL).runs == ()
    same = explain(ONE, Network("copy", ONE.code, "ga"), ALL)
    assert same.diff == () and same.verdict == "exact"
    assert "No line differs." in shown(same)


def test_json_omits_the_code() -> None:
    values = json.loads(json.dumps(explanation_facts(explain(ONE, NEAR, ALL))))
    assert values["one"] == {"name": "ga-1", "family": "ga", "accuracy": 0.5, "source": ""}
    assert values["verdict"] == "lexical" and values["levels"][0]["similarity"] == 0.0


def test_long_files_that_repeat_one_line() -> None:
    """A brute-force diff would take minutes."""
    many = Network("many", "x = f(x)\n" * 6_000, "x")
    found = explain(many, Network("more", "x = f(x)\ny = 1\n" * 3_000, "x"), DedupSettings())
    assert found.diff
