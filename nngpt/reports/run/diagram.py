"""A chain of layers as boxes and arrows, row by row like an ox ploughs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nngpt.reports.analysis.layers import Layer

_WIDE, _HIGH, _GAP, _ROW_GAP = 142, 36, 20, 16
_A_ROW = 3
_MOST = 60
_LETTERS = 22


@dataclass(frozen=True)
class Box:
    """A layer at its place; `line` is the end points of the arrow that leads to it, if any."""

    x: int
    y: int
    kind: str
    name: str
    detail: str
    whole: str
    line: tuple[int, int, int, int] | None


@dataclass(frozen=True)
class Diagram:
    """Boxes on a surface of width × height; `hidden` layers more are not shown."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    hidden: int
    box: tuple[int, int] = (_WIDE, _HIGH)


def diagram(layers: Sequence[Layer]) -> Diagram | None:
    """Boxes for the first layers; None if there are none."""
    shown = layers[:_MOST]
    if not shown:
        return None
    boxes = tuple(_box(number, layer) for number, layer in enumerate(shown))
    width = min(_A_ROW, len(shown)) * (_WIDE + _GAP) - _GAP + 2
    rows = -(-len(shown) // _A_ROW)
    return Diagram(width, rows * (_HIGH + _ROW_GAP) - _ROW_GAP + 2, boxes, len(layers) - len(shown))


def _box(number: int, layer: Layer) -> Box:
    x, y = _place(number)
    cut = layer.arguments
    cut = cut if len(cut) <= _LETTERS else cut[: _LETTERS - 1] + "…"
    whole = f"{layer.name}({layer.arguments})"
    return Box(x, y, layer.kind, layer.name[:20], cut, whole, _arrow(number))


def _place(number: int) -> tuple[int, int]:
    row, column = divmod(number, _A_ROW)
    if row % 2:
        column = _A_ROW - 1 - column
    return 1 + column * (_WIDE + _GAP), 1 + row * (_HIGH + _ROW_GAP)


def _arrow(number: int) -> tuple[int, int, int, int] | None:
    """From the box before to this one: sideways in a row, downwards to the next."""
    if number == 0:
        return None
    (x, y), (before_x, before_y) = _place(number), _place(number - 1)
    if before_y != y:
        return x + _WIDE // 2, before_y + _HIGH, x + _WIDE // 2, y - 2
    if x > before_x:
        return before_x + _WIDE, y + _HIGH // 2, x - 2, y + _HIGH // 2
    return before_x, y + _HIGH // 2, x + _WIDE + 2, y + _HIGH // 2
