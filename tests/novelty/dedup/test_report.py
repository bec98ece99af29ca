"""The HTML report: complete, self-contained, escaped, and small."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from dedup_samples import code, other, outcome_of, small_outcome

from nngpt.novelty.dedup.collection import (
    FAMILY_CAP,
    Collection,
    DedupOutcome,
    DedupSettings,
    Network,
    Removed,
    SkippedItem,
)
from nngpt.novelty.dedup.summary import Cluster, clusters
from nngpt.reports.dedup.page import report
from nngpt.reports.dedup.plots import similarities, size_classes
from nngpt.reports.diff import marked_diff

VOID = {"meta", "br", "img", "link", "hr", "input"}
NASTY = (
    "</script><script>alert(1)</script><!-- --> <img src=x onerror=alert(1)> & &lt; \" ' {{ 7*7 }}"
)


class Page(HTMLParser):
    """The page as a browser sees it; complains about tags that do not pair up."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.comments: list[str] = []
        self.parts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    @property
    def text(self) -> str:
        return "".join(self.parts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.parts.append(data)


def harmless(page: Page) -> None:
    """Nothing runs, and nothing is fetched."""
    forbidden = {"script", "img", "iframe", "object", "embed", "form", "base", "foreignobject"}
    assert not page.tags & forbidden
    assert page.comments == []
    names = {name for name, _ in page.attributes}
    assert not {name for name in names if name.startswith("on")} and not names & {"src", "href"}
    links = [value or "" for name, value in page.attributes if name.endswith("href")]
    assert all(link.startswith("#") for link in links), "figures refer to their own parts only"


def test_the_page_shows_the_result() -> None:
    html = report(*small_outcome(), "here and there")
    page = Page(html)
    harmless(page)
    words = " ".join(page.text.split())
    for said in (
        "5 networks compared",
        "here and there",
        "after exact 4 −1",
        "after lexical 3 −1",
        f"after {FAMILY_CAP} 2 −1",
        "lexical > 0.9",
        "1 a family",
        "Kept: ga-1, accuracy 90.0%. Least similar: ga-3, lexical 0.9500",
        "+ self.x0 = nn.Tanh()",
        "2 removed",
    ):
        assert said in words, said


@pytest.mark.parametrize("text", [NASTY, "\0\ud800\x1b[31m\u202e\r\n\x0c\x85", "x" * 1_000_000])
def test_names_and_code_are_escaped(text: str) -> None:
    kept = Network(text, f"{code(8)}# {text}\n", text, 0.5, text)
    member = Network(f"2{text}", f"# {text} {text}\n{code(8)}", text)
    removed = Removed(member, "lexical", kept.name, 0.91)
    collection, settings, outcome = outcome_of([kept], [removed])
    collection = Collection(collection.networks, (SkippedItem(text, text),))
    settings = DedupSettings(family_thresholds={text: 0.95})
    outcome = DedupOutcome(outcome.kept, outcome.removed, {"lexical": (text,)}, {text: 1.0})
    html = report(collection, settings, outcome, text)
    assert len(html.encode()) < 100_000
    assert not re.search("[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", html)
    page = Page(html)
    harmless(page)
    if text == NASTY:
        assert page.text.count(NASTY) >= 8, "shown as it is"
    if "\0" in text:
        assert r"\x00\ud800\x1b[31m\u202e" in page.text


def test_a_collection_without_duplicates_and_one_of_nothing_else() -> None:
    alone = Network("a", code(8), "f")
    assert (
        "No network was removed as a near-duplicate." in Page(report(*outcome_of([alone], []))).text
    )
    same = Removed(Network("b", code(8), "f"), "exact", "a", 1.0)
    page = Page(report(*outcome_of([alone], [same])))
    assert "No line differs." in page.text


def test_all_of_lemur_fits_into_five_megabytes() -> None:
    """Uses as many networks, groups and long names as LEMUR has."""
    kept = [Network(f"ga-{n:032x}", code(n % 90 + 8), f"f{n % 150}", 0.5) for n in range(1400)]
    removed = []
    for n in range(10_482 - 1400):
        keeper = kept[int(n**0.5) * 7 % 1400]
        twin = Network(f"alt-{n:032x}", code(n % 97, *(["Tanh()"] * (n % 300))), "alt", 0.4)
        removed.append(Removed(twin, "lexical", keeper.name, 0.9 + n % 1000 / 10_001))
    html = report(*outcome_of(kept, removed))
    harmless(Page(html))
    assert 100_000 < len(html.encode()) < 5_000_000


def test_every_similarity_is_in_a_bar() -> None:
    likenesses = [0.9, 0.9000001, 0.95, 0.9599999, 0.97, 0.99, 0.9999999, 1.0, 1.0]
    levels = ["exact" if s == 1 else "lexical" for s in likenesses]
    removed = [
        Removed(Network(f"r{i}", "x", "f"), level, "k", s)
        for i, (level, s) in enumerate(zip(levels, likenesses, strict=True))
    ]
    removed.append(Removed(Network("capped", "x", "f"), FAMILY_CAP, None, None))
    settings = DedupSettings(family_thresholds={"f": 0.95})
    _, _, outcome = outcome_of([Network("k", "x", "f")], removed)
    found = similarities(settings, outcome)
    assert found is not None
    lexical = dict(zip(found.labels, found.counts["lexical"], strict=True))
    assert {label: n for label, n in lexical.items() if n} == {
        "0.90": 2, "0.95": 2, "0.97": 1, "0.99": 2,
    }  # fmt: skip
    assert found.counts["exact"] == (*[0] * 10, 2) and found.labels[-1] == "1"
    assert {label: round(place, 6) for label, place in found.thresholds.items()} == {
        "lexical > 0.9": 0.0,
        "f > 0.95": 5.0,
    }


@pytest.mark.parametrize("threshold", [0.0, 0.01, 0.5, 0.85, 0.995, 1.0])
def test_any_threshold_has_its_bars(threshold: float) -> None:
    removed = [Removed(Network("r", "x", "f"), "lexical", "k", s) for s in (threshold, 1.0)]
    _, settings, outcome = outcome_of([Network("k", "x", "f")], removed)
    found = similarities(settings, outcome)
    assert found is not None and 2 <= len(found.labels) <= 41
    assert sum(map(sum, found.counts.values())) == 2


def test_every_group_has_its_size() -> None:
    sizes = [2, 2, 3, 6, 10, 11, 1000, 5000]
    found = [Cluster(Network("k", "x", "f"), (None,) * (s - 1)) for s in sizes]  # type: ignore[arg-type]
    rows = size_classes(found, alone=7)
    assert {r.label: (r.groups, r.networks) for r in rows if r.groups} == {
        "1": (7, 7),
        "2": (2, 4),
        "3": (1, 3),
        "6–10": (2, 16),
        "11–20": (1, 11),
        "501–1,000": (1, 1000),
        "> 1,000": (1, 5000),
    }


def test_a_diff_marks_what_changed_in_a_line() -> None:
    lines = ["a = 1", "b = Conv2d(16, 3)", "c = 2", "long = " + "x" * 500]
    kept = Network("k", "\n".join(lines), "f")
    twin = Network("t", "\n".join([*lines, "d = 3"]).replace("16", "32").replace("xx", "xy"), "f")
    _, _, outcome = outcome_of([kept], [Removed(twin, "lexical", "k", 0.9)])
    (cluster,) = clusters(outcome)
    found = marked_diff(cluster.kept, cluster.removed[0].network)
    marked = [(d.kind, d.before, d.changed, d.after) for d in found if d.changed]
    assert marked == [("old", "-b = Conv2d(", "16", ", 3)"), ("new", "+b = Conv2d(", "32", ", 3)")]
    assert [d.before for d in found if d.before.startswith("+d")] == ["+d = 3"]
    assert max(len(d.before) for d in found) < 200


def test_a_network_can_be_another_s_beginning() -> None:
    kept, twin = Network("k", other("gate"), "f"), Network("t", other("gate") + "x = 1\n", "f")
    _, _, outcome = outcome_of([kept], [Removed(twin, "lexical", "k", 0.99)])
    (cluster,) = clusters(outcome)
    found = marked_diff(cluster.kept, cluster.removed[0].network)
    assert [d.before for d in found if d.kind == "new"] == ["+x = 1"]
