"""A corpus of changes: diffs that made a network of LEMUR better."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from command_line import Nngpt
from corpus_samples import Trial, classified, fill, normalised, sequential

from nngpt import config
from nngpt.data.loading import data_source
from nngpt.finetuning.corpus.build import BuiltCorpus, CorpusSelection, build_corpus
from nngpt.finetuning.corpus.lemur_networks import LemurNetwork, read_networks
from nngpt.finetuning.corpus.networks import read_corpus
from nngpt.finetuning.corpus.writers import make_writer
from nngpt.generation.contract import make_reader
from nngpt.novelty.shingles import jaccard, shingles
from nngpt.store import Store

WEAK = sequential(8, 16)
GELU = WEAK.replace("nn.ReLU(inplace=True)", "nn.GELU()").replace(
    "channels = 16", "layers.append(nn.BatchNorm2d(16))\n        channels = 16"
)
BEST = GELU.replace("MaxPool2d(kernel_size=2, stride=2)", "AvgPool2d(2, ceil_mode=True)")
NETWORKS = {
    "seq-weak": WEAK,
    "seq-gelu": GELU,
    "seq-best": BEST,
    "seq-late": BEST.replace("nn.GELU()", "nn.SiLU(inplace=False)"),
    "seq-copy": WEAK.replace("16", "17"),
    "far-weak": sequential(4),
    "far-best": normalised(1, 4, 8),
    "other-best": GELU.replace("nn.GELU()", "nn.Hardswish()"),
}
TRIALS: dict[str, Iterable[Trial]] = {
    "seq-weak": [classified(0.50), classified(0.30, "cifar-10")],
    "seq-gelu": [classified(0.60), classified(0.305, "cifar-10")],
    "seq-best": [classified(0.70, lr=0.3), classified(0.40, "cifar-10")],
    "seq-late": [classified(0.90, epoch=50)],
    "seq-copy": [classified(0.595)],
    "far-weak": [classified(0.20)],
    "far-best": [classified(0.90)],
    "other-best": [classified(0.95)],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("mirror"), NETWORKS, TRIALS)


@pytest.fixture(scope="module")
def mirror(folder: Path) -> list[LemurNetwork]:
    with Store.open(folder / "nngpt.db") as store:
        return read_networks(store)


def build(mirror: list[LemurNetwork], *datasets: str, max_chars: int = 4000) -> BuiltCorpus:
    writer = make_writer(config.load("delta-mnist"), "delta", datasets)
    return build_corpus(mirror, writer, CorpusSelection(max_chars))


def changes(built: BuiltCorpus) -> dict[tuple[str, str], tuple[str, str]]:
    """Better network and data set → code of the changed network, diff."""
    return {
        (one.network.name, answer.prompt.datasets[0]): (
            answer.prompt.prompt.parent,
            answer.completion,
        )
        for networks in built.parts.values()
        for one in networks
        for answer in one.answers
    }


def test_the_nearest_weaker_network_of_the_family_is_changed(mirror: list[LemurNetwork]) -> None:
    alike = jaccard(shingles(WEAK), shingles(GELU)), jaccard(shingles(GELU), shingles(BEST))
    assert all(0.5 < one < 0.9 for one in alike)
    found = changes(build(mirror, "mnist", "cifar10"))
    assert found.keys() == {("seq-gelu", "mnist"), ("seq-best", "mnist"), ("seq-best", "cifar10")}
    parent, diff = found["seq-gelu", "mnist"]
    assert WEAK.strip() in parent
    assert "-            nn.ReLU(inplace=True),\n+            nn.GELU()," in diff
    parent, diff = found["seq-best", "mnist"]
    assert GELU.strip() in parent, "nearer than the weakest"
    assert "AvgPool2d(2, ceil_mode=True)" in diff
    assert GELU.strip() in found["seq-best", "cifar10"][0]
    for _, diff in found.values():
        assert diff.count("\n```") == 1 and diff.endswith("\n```"), "where a run stops an answer"


def test_every_excluded_network_has_a_reason(mirror: list[LemurNetwork]) -> None:
    """Others measured elsewhere, copies, distant ones, and other families improve nothing."""
    built = build(mirror, "mnist")
    steps = {step.step: step.reasons for step in built.exclusions.steps()}
    assert steps["change"] == {"improves no similar network": 6}
    lengths = {len(diff): network for (network, _), (_, diff) in changes(built).items()}
    short = build(mirror, "mnist", max_chars=max(lengths) - 1)
    assert {network for network, _ in changes(short)} == {lengths[min(lengths)]}
    steps = {step.step: step.reasons for step in short.exclusions.steps()}
    assert steps["change"][f"a diff of more than {max(lengths) - 1:,} characters"] == 1


def test_a_run_reads_the_corpus_and_shows_no_examples(
    folder: Path, nngpt: Nngpt, tmp_path: Path
) -> None:
    asked = ("corpus", "build", "--prompt", "delta", "--config", "delta-mnist", "--task", "mnist")
    made = nngpt(*asked, "--folder", folder, "--out", "changes", "--splits", "1,0,0", "--json")
    assert made.returncode == 0, made.stderr
    manifest = json.loads(made.stdout)
    assert manifest["template"]["mode"] == "delta" and manifest["funnel"]["kept"] == 2
    corpus = tmp_path / "changes" / "train.jsonl"
    lines = [json.loads(line) for line in corpus.read_text().splitlines()]
    told = {
        (one["source"], one["changes"], one["accuracy_before"], one["accuracy"]) for one in lines
    }
    assert told == {
        ("lemur:seq-gelu", "lemur:seq-weak", 0.5, 0.6),
        ("lemur:seq-best", "lemur:seq-gelu", 0.6, 0.7),
    }
    settings = config.load("delta-mnist", [f"learning.corpus={corpus}"])
    reader = make_reader(settings, data_source(settings))
    pairs = read_corpus(settings, reader, print)
    assert [candidate.mode for _, candidate in pairs] == ["delta", "delta"]
    assert {candidate.code.strip() for _, candidate in pairs} == {GELU.strip(), BEST.strip()}
    assert all([m.role for m in pair.prompt.messages] == ["system", "user"] for pair, _ in pairs)
    shown = config.load("delta-mnist", ["prompt.shots=0", f"prompt.template={'delta'}"])
    assert {pair.prompt.template_hash for pair, _ in pairs} == {
        make_reader(shown, data_source(shown)).prompt.template_hash
    }
