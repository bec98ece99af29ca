"""Contract suite of novelty measures, and further promises of `jaccard` and `minhash`."""

from __future__ import annotations

from pathlib import Path

import pytest

from nngpt import plugins
from nngpt.config import NoveltyConfig
from nngpt.errors import ConfigError
from nngpt.novelty.dedup.collection import DedupSettings, Network
from nngpt.novelty.dedup.explanation import explain
from nngpt.novelty.dedup.pipeline import deduplicate
from nngpt.novelty.measures import minhash
from nngpt.novelty.measures.jaccard import JaccardMeasure
from nngpt.protocols import NoveltyMeasure

SOURCES = {
    path.stem: path.read_text()
    for path in sorted((Path(__file__).parents[1] / "networks").glob("*.py"))
}
PLAIN = SOURCES["plain"]
RENAMED = PLAIN.replace("64", "96").replace("5", "7") + "# the same but for numbers\n"
NEAR = PLAIN.replace("MaxPool2d", "AvgPool2d")


def new(name: str) -> NoveltyMeasure:
    measure: NoveltyMeasure = plugins.create("novelty measure", name, NoveltyConfig())
    return measure


@pytest.fixture(params=plugins.names("novelty measure"))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def measure(name: str) -> NoveltyMeasure:
    return new(name)


@pytest.fixture(params=["jaccard", "minhash"])
def similar(request: pytest.FixtureRequest) -> NoveltyMeasure:
    measure = new(request.param)
    for key, source in SOURCES.items():
        measure.add(key, source)
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


def test_two_measures_with_equal_settings_agree(name: str, measure: NoveltyMeasure) -> None:
    other = new(name)
    for key, source in SOURCES.items():
        measure.add(key, source)
        other.add(key, source)
    assert measure.compare(RENAMED) == other.compare(RENAMED)


@pytest.mark.parametrize("text", ["", "x", "((((", "'''", "\tif\n  x", "\ud800", "\0", "é" * 99])
def test_any_text_can_be_compared_and_added(measure: NoveltyMeasure, text: str) -> None:
    measure.add("a", text)
    assert 0 <= measure.compare(text).jaccard <= 1


# ---------------------------------------------------------------- Jaccard, exact and estimated


def test_an_exact_copy_is_a_duplicate(similar: NoveltyMeasure) -> None:
    novelty = similar.compare(PLAIN)
    assert (novelty.jaccard, novelty.nearest, novelty.duplicate) == (1.0, "plain", True)


def test_other_numbers_and_comments_are_a_duplicate(similar: NoveltyMeasure) -> None:
    assert similar.compare(RENAMED).jaccard == 1.0


def test_different_networks_are_no_duplicates(similar: NoveltyMeasure) -> None:
    other = SOURCES["attention"].replace("self.", "this.").replace("nn.Linear", "Dense")
    assert not similar.compare(other).duplicate


@pytest.mark.parametrize("similar", ["jaccard", "minhash"])
def test_a_key_is_added_once(similar: str) -> None:
    measure = new(similar)
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
    measure = JaccardMeasure(NoveltyConfig(shingle=1, threshold=threshold))
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
    measure = JaccardMeasure(NoveltyConfig(shingle=1, threshold=0.5))
    measure.add("a", "a b c d")
    assert measure.compare("a b e").jaccard == 2 / 5
    assert (measure.compare("a b").jaccard, measure.compare("a b").duplicate) == (0.5, False)
    assert measure.compare("a b c").duplicate


def test_the_nearest_text_is_found() -> None:
    measure = JaccardMeasure(NoveltyConfig(shingle=1))
    for key, text in {"far": "a x y z", "near": "a b c z", "none": "q r s t"}.items():
        measure.add(key, text)
    assert measure.compare("a b c d").nearest == "near"
    assert measure.compare("u v w").nearest is None


def test_the_estimate_is_the_share_of_equal_numbers_among_what_lsh_proposes() -> None:
    letters = [" ".join(f"t{i}" for i in range(start, start + 100)) for start in (0, 5, 40)]
    options = minhash.Options(permutations=512, lsh_threshold=0.5)
    measure = minhash.create(NoveltyConfig(shingle=1), options=options)
    exact = JaccardMeasure(NoveltyConfig(shingle=1))
    for known in (measure, exact):
        known.add("near", letters[1])
    assert exact.compare(letters[0]).jaccard == 95 / 105
    estimate = measure.compare(letters[0]).jaccard
    assert estimate * 512 == int(estimate * 512) and abs(estimate - 95 / 105) < 4 * 0.5 / 512**0.5
    assert exact.compare(letters[2]).jaccard == 65 / 135, "similar, but not enough for LSH:"
    assert measure.compare(letters[2]).nearest is None


def test_estimates_are_the_same_on_every_machine() -> None:
    """Pinned: with another version of datasketch or numpy a run must resume as it began."""
    for seed, equal in ((1, 245), (2, 246)):
        measure = minhash.create(NoveltyConfig(), options=minhash.Options(seed=seed))
        measure.add("plain", PLAIN)
        assert measure.compare(NEAR).jaccard == equal / 256


def test_options_of_which_no_index_can_be_made_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"novelty\.options: no LSH index can be made"):
        minhash.create(NoveltyConfig(), options=minhash.Options(permutations=1))
