"""Contract suite of novelty measures, and further promises of `minhash`."""

from __future__ import annotations

from pathlib import Path

import pytest

from nngpt import plugins
from nngpt.config import NoveltyConfig
from nngpt.novelty.dedup.collection import DedupSettings, Network
from nngpt.novelty.dedup.explanation import explain
from nngpt.novelty.dedup.pipeline import deduplicate
from nngpt.novelty.measures.minhash import MinHashMeasure
from nngpt.protocols import NoveltyMeasure

SOURCES = {
    path.stem: path.read_text()
    for path in sorted((Path(__file__).parents[1] / "networks").glob("*.py"))
}
PLAIN = SOURCES["plain"]
RENAMED = PLAIN.replace("64", "96").replace("5", "7") + "# the same but for numbers\n"
NEAR = PLAIN.replace("MaxPool2d", "AvgPool2d")


@pytest.fixture(params=plugins.names("novelty measure"))
def measure(request: pytest.FixtureRequest) -> NoveltyMeasure:
    created: NoveltyMeasure = plugins.create("novelty measure", request.param, NoveltyConfig())
    return created


@pytest.fixture(params=[5_000, 0], ids=["exact", "lsh"])
def minhash(request: pytest.FixtureRequest) -> MinHashMeasure:
    measure = MinHashMeasure(NoveltyConfig(), exact_up_to=request.param)
    for name, source in SOURCES.items():
        measure.add(name, source)
    return measure


# ---------------------------------------------------------------- every measure


def test_a_measure_implements_the_protocol(measure: NoveltyMeasure) -> None:
    assert isinstance(measure, NoveltyMeasure)


def test_an_empty_measure_finds_nothing_near(measure: NoveltyMeasure) -> None:
    novelty = measure.compare(PLAIN)
    assert (novelty.jaccard, novelty.nearest, novelty.duplicate) == (0.0, None, False)


def test_comparing_changes_nothing(measure: NoveltyMeasure) -> None:
    measure.add("plain", PLAIN)
    first = measure.compare(NEAR)
    assert measure.compare(NEAR) == first


def test_two_measures_with_equal_settings_agree(measure: NoveltyMeasure) -> None:
    other = type(measure)(*([NoveltyConfig()] if isinstance(measure, MinHashMeasure) else []))
    for name, source in SOURCES.items():
        measure.add(name, source)
        other.add(name, source)
    assert measure.compare(RENAMED) == other.compare(RENAMED)


@pytest.mark.parametrize("text", ["", "x", "((((", "'''", "\tif\n  x", "\ud800", "\0", "é" * 99])
def test_any_text_can_be_compared_and_added(measure: NoveltyMeasure, text: str) -> None:
    measure.add("a", text)
    assert 0 <= measure.compare(text).jaccard <= 1


# ---------------------------------------------------------------- MinHash


def test_an_exact_copy_is_a_duplicate(minhash: MinHashMeasure) -> None:
    novelty = minhash.compare(PLAIN)
    assert (novelty.jaccard, novelty.nearest, novelty.duplicate) == (1.0, "plain", True)


def test_other_numbers_and_comments_are_a_duplicate(minhash: MinHashMeasure) -> None:
    assert minhash.compare(RENAMED).jaccard == 1.0


def test_different_networks_are_no_duplicates(minhash: MinHashMeasure) -> None:
    other = SOURCES["attention"].replace("self.", "this.").replace("nn.Linear", "Dense")
    assert not minhash.compare(other).duplicate


def test_a_key_is_added_once() -> None:
    measure = MinHashMeasure(NoveltyConfig())
    measure.add("a", PLAIN)
    measure.add("a", SOURCES["branches"])
    assert measure.compare(SOURCES["branches"]).jaccard < 0.9
    measure.add("b", PLAIN)
    assert measure.compare(PLAIN).nearest == "a"


@pytest.mark.parametrize(
    ("threshold", "text", "duplicate"),
    [(0.9, "abcdefghi", False), (0.89, "abcdefghi", True), (1, "abcdefghi", False)]
    + [(t, "abcdefghij", True) for t in (0.9, 1)],
)
def test_the_cycle_and_dedup_have_one_rule(threshold: float, text: str, duplicate: bool) -> None:
    known, other = (" ".join(letters) for letters in ("abcdefghij", text))
    measure = MinHashMeasure(NoveltyConfig(shingle=1, threshold=threshold))
    measure.add("known", known)
    found = measure.compare(other)
    assert found.jaccard == len(text) / 10
    networks = [Network("known", known, "", 1.0), Network("other", other, "", 0.5)]
    settings = DedupSettings(levels=("lexical",), threshold=threshold, shingle=1)
    view = explain(*networks, settings)
    assert view.levels[0].similarity == found.jaccard
    assert found.duplicate == bool(deduplicate(networks, settings).removed) == duplicate
    assert (view.verdict is not None) == duplicate


def test_the_similarity_is_exact_and_the_threshold_strict() -> None:
    measure = MinHashMeasure(NoveltyConfig(shingle=1, threshold=0.5))
    measure.add("a", "a b c d")
    assert measure.compare("a b e").jaccard == 2 / 5
    assert (measure.compare("a b").jaccard, measure.compare("a b").duplicate) == (0.5, False)
    assert measure.compare("a b c").duplicate


def test_the_nearest_text_is_found() -> None:
    measure = MinHashMeasure(NoveltyConfig(shingle=1))
    for key, text in {"far": "a x y z", "near": "a b c z", "none": "q r s t"}.items():
        measure.add(key, text)
    assert measure.compare("a b c d").nearest == "near"
    assert measure.compare("u v w").nearest is None


def test_growing_beyond_the_limit_changes_no_decision() -> None:
    small, large = (MinHashMeasure(NoveltyConfig(), exact_up_to=size) for size in (3, 100))
    for name, source in SOURCES.items():
        small.add(name, source)
        large.add(name, source)
    for source in [*SOURCES.values(), RENAMED]:
        assert small.compare(source) == large.compare(source)
