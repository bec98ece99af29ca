"""The differences between two networks as marked lines for a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nngpt.novelty.dedup.collection import Network
from nngpt.novelty.dedup.explanation import unified_diff

_DIFF_WIDTH = 160


@dataclass(frozen=True)
class DiffLine:
    """A line of a diff, kind "old", "new", "same" or "hunk", split around what changed."""

    kind: str
    before: str
    changed: str = ""
    after: str = ""


def marked_diff(one: Network, other: Network) -> list[DiffLine]:
    """Return the unified diff of two networks' code, with changes inside lines marked."""
    raw = unified_diff(one, other, context=2)[2:]
    lines: list[DiffLine] = []
    start = 0
    while start < len(raw):
        if raw[start][0] not in "+-":
            kind = "hunk" if raw[start][0] == "@" else "same"
            lines.append(DiffLine(kind, _cut(raw[start])))
            start += 1
            continue
        end = next((i for i in range(start, len(raw)) if raw[i][0] not in "+-"), len(raw))
        lines += _change(raw[start:end])
        start = end
    return lines


def _change(block: Sequence[str]) -> list[DiffLine]:
    """Return removed and then added lines, marking what differs where they pair up."""
    old = [line for line in block if line[0] == "-"]
    new = [line for line in block if line[0] == "+"]
    if len(old) != len(new):
        return [DiffLine("old" if line[0] == "-" else "new", _cut(line)) for line in block]
    pairs = [_marked(a, b) for a, b in zip(old, new, strict=True)]
    return [a for a, _ in pairs] + [b for _, b in pairs]


def _marked(old: str, new: str) -> tuple[DiffLine, DiffLine]:
    if max(len(old), len(new)) > _DIFF_WIDTH:
        return DiffLine("old", _cut(old)), DiffLine("new", _cut(new))
    shorter = min(len(old), len(new))
    head = next((i for i in range(1, shorter) if old[i] != new[i]), shorter)
    most = shorter - head
    tail = next((i for i in range(most) if old[-1 - i] != new[-1 - i]), most)
    return _split("old", old, head, tail), _split("new", new, head, tail)


def _split(kind: str, line: str, head: int, tail: int) -> DiffLine:
    end = len(line) - tail
    return DiffLine(kind, line[:head], line[head:end], line[end:])


def _cut(line: str) -> str:
    return line if len(line) <= _DIFF_WIDTH else f"{line[:_DIFF_WIDTH]} … (+{len(line):,})"
