"""The best networks of a run: facts, diagram, code, and differences from the nearest network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from nngpt.errors import readable
from nngpt.generation import contract
from nngpt.novelty.dedup.collection import Network
from nngpt.records import Arm, Candidate, State
from nngpt.reports.analysis.layers import CodeLayer, chain
from nngpt.reports.analysis.novelty import Near, NetworkPlace
from nngpt.reports.analysis.study import Study
from nngpt.reports.diff import DiffLine, marked_diff
from nngpt.reports.text import accuracy
from nngpt.statistics import accuracy as accuracy_estimate
from nngpt.store import AttemptRecord

_WIDTH, _HEIGHT, _GAP, _ROW_GAP = 142, 36, 20, 16
_A_ROW = 3
_MOST = 60
_LETTERS = 22
"""Measures of the diagram in pixels, boxes, and letters."""


@dataclass(frozen=True)
class Box:
    """A layer placed at left `x`, top `y`, with its `whole` call and the arrow `line` to it."""

    x: int
    y: int
    kind: str
    name: str
    detail: str
    whole: str
    line: tuple[int, int, int, int] | None


@dataclass(frozen=True)
class Diagram:
    """A network's layers as boxes on an area of `width` × `height`; `hidden` more are left out."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    hidden: int
    box: tuple[int, int] = (_WIDTH, _HEIGHT)


@dataclass(frozen=True)
class Exhibit:
    """A network of the gallery.

    Attributes:
        diagram: its layers, None if they could not be read.
        against: name of the network it is compared with, "" if none is known.
        diff: unified diff of the answers, from `against` to this network.
    """

    attempt: int
    headline: str
    facts: tuple[tuple[str, str], ...]
    diagram: Diagram | None
    code: Markup
    against: str
    diff: Sequence[DiffLine]


def gallery(study: Study, count: int) -> list[Exhibit]:
    """Return a gallery of the loop's `count` most accurate admitted networks; ties by size."""
    admitted = [a for a in study.of(Arm.LOOP) if a.state == State.ADMITTED]
    trained = [a for a in admitted if a.evaluation is not None and a.candidate is not None]
    trained.sort(key=_rank)
    places = {p.attempt: p for p in study.places}
    return [_exhibit(study, a, places[a.id]) for a in trained[:count]]


def _rank(attempt: AttemptRecord) -> tuple[float, int, int]:
    assert attempt.evaluation is not None and attempt.result is not None
    return -attempt.result[0], attempt.evaluation.claimed_parameters, attempt.id


def _exhibit(study: Study, attempt: AttemptRecord, place: NetworkPlace) -> Exhibit:
    candidate, result = attempt.candidate, attempt.result
    assert candidate is not None and result is not None
    near = place.corpus or place.sibling
    other = _find(study, near)
    diff: Sequence[DiffLine] = ()
    if near is not None and other is not None:
        diff = marked_diff(_network(near.name, other), _network(f"#{attempt.id}", candidate))
    return Exhibit(
        attempt=attempt.id,
        headline=accuracy(accuracy_estimate(*result)),
        facts=tuple(_facts(attempt, place)),
        diagram=diagram(chain(candidate)),
        code=_code_html(candidate.code),
        against=near.name if near is not None and other is not None else "",
        diff=diff,
    )


def _facts(attempt: AttemptRecord, place: NetworkPlace) -> list[tuple[str, str]]:
    evaluation, candidate = attempt.evaluation, attempt.candidate
    assert evaluation is not None and candidate is not None
    writer = attempt.completion.adapter or "base model"
    values = [f"{name} {value:g}" for name, value in candidate.hyperparameters.items()]
    values.append(f"batch {candidate.batch}")
    found = [
        ("written", f"cycle {attempt.cycle}, by {writer}"),
        ("parameters", f"{evaluation.claimed_parameters:,}"),
        ("settings", ", ".join([*values, f"transform {candidate.transform}"])),
    ]
    if attempt.retraining is not None and attempt.retraining.accuracy is not None:
        own = accuracy_estimate(*evaluation.result)
        found.append(("trained by its own loop", accuracy(own)))
    if evaluation.claimed_latency_ms is not None:
        found.append(("latency", f"{evaluation.claimed_latency_ms:.2f} ms"))
    if (flops := evaluation.claimed_flops) is not None:
        found.append(("operations", f"{flops / 1e6:,.1f} million per forward pass"))
    nearest = {"nearest in the corpus": place.corpus, "nearest trained before": place.sibling}
    for label, near in nearest.items():
        if near is not None:
            found.append((label, f"{near.name}, Jaccard {near.jaccard:.2f}"))
    return found


def _find(study: Study, near: Near | None) -> Candidate | None:
    if near is None:
        return None
    known = study.setting.corpus.get(near.name)
    siblings = (a.candidate for a in study.attempts if f"attempt {a.id}" == near.name)
    return known or next(siblings, None)


def _network(name: str, candidate: Candidate) -> Network:
    return Network(name, contract.novelty_text(candidate), "")


def _code_html(code: str) -> Markup:
    """Return a gallery network's code as HTML with `span`s for a style sheet; all of it is text."""
    lines = code.replace("\r\n", "\n").expandtabs(4).split("\n")
    shown = "\n".join(map(readable, lines)).rstrip()
    formatter = HtmlFormatter(nowrap=True, classprefix="p-")
    # The formatter escapes its input.
    return Markup(highlight(shown, PythonLexer(stripnl=False), formatter).rstrip("\n"))


def diagram(layers: Sequence[CodeLayer]) -> Diagram | None:
    """Return a network's diagram, boxes of the first layers; None if there are no layers."""
    shown = layers[:_MOST]
    if not shown:
        return None
    boxes = tuple(_box(number, layer) for number, layer in enumerate(shown))
    width = min(_A_ROW, len(shown)) * (_WIDTH + _GAP) - _GAP + 2
    height = -(-len(shown) // _A_ROW) * (_HEIGHT + _ROW_GAP) - _ROW_GAP + 2
    return Diagram(width, height, boxes, len(layers) - len(shown))


def _box(number: int, layer: CodeLayer) -> Box:
    x, y = _place(number)
    cut = layer.arguments
    cut = cut if len(cut) <= _LETTERS else cut[: _LETTERS - 1] + "…"
    whole = f"{layer.name}({layer.arguments})"
    return Box(x, y, layer.kind, layer.name[:20], cut, whole, _arrow(number))


def _place(number: int) -> tuple[int, int]:
    row, column = divmod(number, _A_ROW)
    if row % 2:
        column = _A_ROW - 1 - column
    return 1 + column * (_WIDTH + _GAP), 1 + row * (_HEIGHT + _ROW_GAP)


def _arrow(number: int) -> tuple[int, int, int, int] | None:
    """Return the arrow from the previous box: sideways within a row, down to the next row."""
    if number == 0:
        return None
    (x, y), (before_x, before_y) = _place(number), _place(number - 1)
    if before_y != y:
        return x + _WIDTH // 2, before_y + _HEIGHT, x + _WIDTH // 2, y - 2
    if x > before_x:
        return before_x + _WIDTH, y + _HEIGHT // 2, x - 2, y + _HEIGHT // 2
    return before_x, y + _HEIGHT // 2, x + _WIDTH + 2, y + _HEIGHT // 2
