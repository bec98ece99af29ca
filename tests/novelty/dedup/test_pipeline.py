"""The kept networks, compared with a brute-force implementation."""

from __future__ import annotations

import random

import pytest

from nngpt import plugins
from nngpt.errors import PluginError
from nngpt.novelty.dedup.collection import FAMILY_CAP, DedupOutcome, DedupSettings, Network
from nngpt.novelty.dedup.pipeline import deduplicate, threshold
from nngpt.novelty.shingles import near_duplicate

WORDS = [f"word{i}" for i in range(400)]


def collection(seed: int, count: int = 120) -> list[Network]:
    """Return families of texts, each a copy of an earlier one with some words changed."""
    draw = random.Random(seed)
    texts: list[list[str]] = []
    networks = []
    for number in range(count):
        if texts and draw.random() < 0.8:
            text = list(draw.choice(texts))
            for _ in range(draw.choice([0, 0, 1, 1, 2, 5, 20])):
                text[draw.randrange(len(text))] = draw.choice(WORDS)
        else:
            text = draw.choices(WORDS, k=draw.randrange(1, 300))
        texts.append(text)
        accuracy = draw.choice([None, draw.random()])
        family = draw.choice(["a", "b", "c"])
        networks.append(Network(f"n{number:03}", "\n".join(text), family, accuracy))
    return networks


def by_brute_force(networks: list[Network], settings: DedupSettings) -> tuple[list[str], list[str]]:
    """Return the names kept and removed, comparing each network with all kept ones."""
    ordered = sorted(networks, key=_rank)
    sets = {level: shingle_sets(level, ordered, settings.shingle) for level in settings.levels}
    kept: list[int] = []
    for number, network in enumerate(ordered):
        alike = any(
            near_duplicate(
                len(mine & theirs) / len(mine | theirs),
                threshold(settings, level, network.family, ordered[other].family),
            )
            for other in kept
            for level in settings.levels
            if (mine := sets[level][number]) and (theirs := sets[level][other])
        )
        if not alike:
            kept.append(number)
    removed = [n.name for i, n in enumerate(ordered) if i not in kept]
    return [ordered[i].name for i in kept], removed


def shingle_sets(level: str, networks: list[Network], width: int) -> list[set[tuple[str, ...]]]:
    """Return runs of tokens instead of digests; an empty set for unreadable code."""
    reader = plugins.create("dedup level", level)
    found = []
    for network in networks:
        try:
            tokens = [t for piece in reader.pieces(network.code) for t in reader.tokens(piece)]
            count = max(1, len(tokens) - width + 1)
            found.append({tuple(tokens[i : i + width]) for i in range(count)})
        except SyntaxError:
            found.append(set())
    return found


def similarity(level: str, one: Network, other: Network) -> float:
    """Return the Jaccard similarity of two networks, by plain sets."""
    first, second = shingle_sets(level, [one, other], 10)
    return len(first & second) / len(first | second)


def names(outcome: DedupOutcome) -> tuple[list[str], list[str]]:
    return [n.name for n in outcome.kept], [r.network.name for r in outcome.removed]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "settings",
    [
        DedupSettings(),
        DedupSettings(levels=("raw",), threshold=0.5, shingle=3),
        DedupSettings(levels=("lexical",), threshold=1.0),
        DedupSettings(
            levels=("exact", "raw", "normalised"),
            thresholds={"normalised": 0.99},
            family_thresholds={"a": 0.97, "b": 0.6},
        ),
        DedupSettings(levels=("structural", "raw"), threshold=0.95, shingle=4),
    ],
    ids=["papers", "low", "equal", "families", "structural"],
)
def test_result_equals_brute_force(seed: int, settings: DedupSettings) -> None:
    networks = collection(seed, 60)
    assert names(deduplicate(networks, settings)) == by_brute_force(networks, settings)


@pytest.mark.parametrize("seed", range(2))
def test_every_removal_lists_its_nearest_kept_neighbour(seed: int) -> None:
    settings = DedupSettings(levels=("exact", "raw"), threshold=0.7)
    outcome = deduplicate(collection(seed, 60), settings)
    kept = {network.name: network for network in outcome.kept}
    assert len(outcome.removed) > 10
    for removed in outcome.removed:
        assert removed.neighbour is not None and removed.similarity is not None
        exact = similarity(removed.level, removed.network, kept[removed.neighbour])
        assert exact == removed.similarity > 0.7


def test_the_neighbour_is_the_nearest_network_kept_before() -> None:
    outcome = deduplicate(collection(5, 30), DedupSettings(levels=("raw",), threshold=0.5))
    for removed in outcome.removed:
        before = [n for n in outcome.kept if _rank(n) < _rank(removed.network)]
        assert removed.similarity == max(similarity("raw", removed.network, n) for n in before)


def _rank(network: Network) -> tuple[float, str]:
    return (-(network.accuracy if network.accuracy is not None else -1.0), network.name)


def test_the_order_of_the_collection_does_not_matter() -> None:
    networks = collection(1)
    settings = DedupSettings(per_family=20)
    expected = names(deduplicate(networks, settings))
    random.Random(2).shuffle(networks)
    assert names(deduplicate(networks, settings)) == expected


def test_the_most_accurate_of_a_family_are_kept() -> None:
    networks = [
        Network(
            f"{family}{i}",
            " ".join(random.Random(f"{family}{i}").choices(WORDS, k=50)),
            family,
            i / 10,
        )
        for family in "ab"
        for i in range(10)
    ]
    outcome = deduplicate(networks, DedupSettings(per_family=3))
    assert [n.name for n in outcome.kept] == ["a9", "b9", "a8", "b8", "a7", "b7"]
    assert {(r.level, r.neighbour, r.similarity) for r in outcome.removed} == {
        (FAMILY_CAP, None, None)
    }


def test_similarity_is_not_transitive() -> None:
    words = random.Random(3).choices(WORDS, k=200)
    chain = [" ".join([*words[20 * i :], *WORDS[: 20 * i]]) for i in range(6)]
    networks = [Network(f"n{i}", text, "") for i, text in enumerate(chain)]
    settings = DedupSettings(levels=("raw",), threshold=0.7)
    outcome = deduplicate(networks, settings)
    assert names(outcome) == by_brute_force(networks, settings)
    assert 1 < len(outcome.kept) < 6


def test_a_network_that_a_level_cannot_read_is_compared_at_the_others() -> None:
    broken = "def f(:\n    pass\n"
    networks = [
        Network("a", broken, ""),
        Network("b", broken + "\n\n", ""),
        Network("c", "x = 1", ""),
    ]
    outcome = deduplicate(networks, DedupSettings(levels=("structural", "exact")))
    assert names(outcome) == (["a", "c"], ["b"])
    assert outcome.unreadable == {"structural": ("a", "b")}


@pytest.mark.parametrize("code", ["", "x", "\n\n", "#"])
def test_tiny_networks_are_compared(code: str) -> None:
    networks = [Network("a", code, ""), Network("b", code + " ", ""), Network("c", "x = 1\n", "")]
    outcome = deduplicate(networks, DedupSettings(levels=("exact", "lexical", "structural")))
    assert names(outcome) == (["a", "c"], ["b"])
    assert names(deduplicate([], DedupSettings())) == ([], [])


def test_progress_reaches_the_end() -> None:
    seen: list[tuple[int, int]] = []
    deduplicate(collection(1, 90), DedupSettings(), lambda done, total: seen.append((done, total)))
    assert seen[-1] == (270, 270)


def test_an_unknown_level_is_reported() -> None:
    with pytest.raises(PluginError, match=r"unknown dedup level 'lexicall'.*'lexical'"):
        deduplicate([], DedupSettings(levels=("lexicall",)))
