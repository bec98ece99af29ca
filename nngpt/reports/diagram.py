"""The diagram of a network's layers: boxes with arrows, for the templates of pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nngpt.reports.analysis.layers import CodeLayer

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
