"""What each deduplication level compares and ignores."""

from __future__ import annotations

from pathlib import Path

import pytest

from nngpt import plugins
from nngpt.novelty.dedup.collection import DedupSettings, Network
from nngpt.novelty.dedup.explanation import explain
from nngpt.novelty.dedup.shingle_sets import independent_lines
from nngpt.novelty.shingles import shingles, tokens

NETWORKS = sorted((Path(__file__).parents[2] / "networks").glob("*.py"))
LEVELS = ("exact", "raw", "lexical", "normalised", "structural")
CODE = """
class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first = nn.Conv2d(3, width, 3)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x):
        return torch.cat([F.relu(self.norm(self.first(x))).mean(2), x.sum(1)], 1)
"""


def similarities(one: str, other: str, settings: DedupSettings) -> dict[str, float | None]:
    """Return the similarity of two texts at each level."""
    found = explain(Network("a", one, ""), Network("b", other, ""), settings)
    return {view.level: view.similarity for view in found.levels}


def alike_at(other: str) -> set[str]:
    """Return the levels at which `other` equals CODE."""
    settings = DedupSettings(levels=LEVELS, shingle=3)
    found = similarities(CODE, other, settings)
    return {level for level, similarity in found.items() if similarity == 1.0}


def test_every_level_is_a_plug_in() -> None:
    assert plugins.names("dedup level") == sorted(LEVELS)


@pytest.mark.parametrize(
    ("before", "after", "blind"),
    [
        ("(self, x)", "( self,x )", set(LEVELS)),
        ("width, 3)", "width, 3)  # by 3", set(LEVELS) - {"exact"}),
        ("3, width", "5, width", {"lexical", "normalised", "structural"}),
        ("self.first", "self.stem", {"normalised", "structural"}),
        ("width", "w", {"normalised", "structural"}),
        ("def forward(self, x)", "def forward(self, x: Tensor)", {"structural"}),
        ("nn.Conv2d", "nn.LazyConv2d", set()),
        ("F.relu", "F.gelu", set()),
        (".mean(2)", ".max(2)", {"normalised"}),
        ("Net(", "Model(", {"structural"}),
    ],
)
def test_what_each_level_ignores(before: str, after: str, blind: set[str]) -> None:
    assert before in CODE
    assert alike_at(CODE.replace(before, after)) == blind


def test_a_docstring_does_not_change_the_shape() -> None:
    documented = CODE.replace("def forward(self, x):", 'def forward(self, x):\n        """Doc."""')
    assert alike_at(documented) == {"structural"}


@pytest.mark.parametrize("path", NETWORKS, ids=lambda path: path.stem)
def test_tokens_of_the_lines_equal_tokens_of_the_text(path: Path) -> None:
    source = path.read_text()
    assert [t for line in independent_lines(source) for t in tokens(line)] == tokens(source)


@pytest.mark.parametrize(
    "source",
    [
        'a = """one\n  # two\n""" + b\nc = 1\n',
        "a = '''x''' \"\"\"y\n'''\n\"\"\" + z # '''\nb = '''\n'''\n",
        "a = 1 + \\\n    2\nb = 'it\\\ns' # \\\nc\n",
        "# a comment with ''' in it\nx = 1\n# and another '''\ny = 2\n",
        'x = \'"""\'\ny = 1\nz = \'"""\'\n',
        "a = '''never closed\nb = 2\n",
        "r'\\'''' '\n'''",
        "",
    ],
)
def test_tokens_that_span_lines_stay_whole(source: str) -> None:
    lines = independent_lines(source)
    assert [t for line in lines for t in tokens(line, literals=True)] == tokens(source, True)


def test_the_lexical_level_agrees_with_the_novelty_measure() -> None:
    a, b = (path.read_text() for path in NETWORKS[:2])
    one, other = shingles(a, 10), shingles(b, 10)
    found = similarities(a, b, DedupSettings(levels=("lexical",)))
    assert found["lexical"] == len(one & other) / len(one | other)


def test_unreadable_code_has_no_similarity() -> None:
    settings = DedupSettings(levels=("lexical", "structural"))
    for broken in ("def f(:", "x = '\0'", "(" * 5000, "if a:\n        b\n    c\n"):
        found = similarities(broken, CODE, settings)
        assert found["structural"] is None and found["lexical"] is not None
