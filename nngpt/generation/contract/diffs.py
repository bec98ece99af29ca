"""Apply a unified diff strictly: every kept and removed line must be in the file unchanged.

Harmless mistakes of language models are tolerated: wrong line numbers and counts (a hunk is placed
by its lines), missing hunk headers, trailing blanks, empty lines in place of blank kept lines, and
kept lines without their leading blank. Content is never guessed. If a hunk fits in several places,
its line number must be right.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, takewhile

from nngpt.records import Refusal, Stage

_NUMBER = re.compile(r"@@\s*-(\d+)")
_ABOUT_FILES = re.compile(r"$|diff |index |--- |\+\+\+ ")
_CONTEXT = 3

_Step = tuple[str, str]
"""A sign (" ", "-" or "+") and a line."""


@dataclass(frozen=True)
class Patched:
    """A file changed by a diff.

    Attributes:
        text: the whole file after the change.
        diff: the canonical diff that gives `text`: right line numbers, three lines of context.
    """

    text: str
    diff: str


def apply(diff: str, source: str) -> Patched | Refusal:
    """Apply `diff` to `source`, or return a refusal that names the hunk that does not apply."""
    hunks = _read(diff)
    if isinstance(hunks, Refusal):
        return hunks
    lines, edits = source.split("\n"), _Edits()
    for number, hunk in enumerate(hunks, 1):
        place = _place(hunk, lines)
        fault = place if isinstance(place, str) else edits.add(hunk, place)
        if fault:
            return Refusal(Stage.PARSE, f"hunk {number}: {fault}")
    steps = list(edits.steps(lines))
    text = "\n".join(line for sign, line in steps if sign != "-")
    return Patched(text, "\n".join(_canonical(steps)))


@dataclass
class _Hunk:
    """One hunk; `stated` is the line number in its header, counted from 1."""

    stated: int | None = None
    body: list[str] = field(default_factory=list)

    @property
    def steps(self) -> list[_Step]:
        """Steps of the hunk; the text of a kept line may lack its first character."""
        return [(line[0] if line[:1] in ("+", "-") else " ", line[1:]) for line in self.body]

    @property
    def old(self) -> list[tuple[str, ...]]:
        """Spellings of each line that must be in the file; a kept one may lack its blank."""
        return [
            (line[1:].rstrip(), line.rstrip()) if sign == " " else (line[1:].rstrip(),)
            for line, (sign, _) in zip(self.body, self.steps, strict=True)
            if sign != "+"
        ]


def _read(diff: str) -> list[_Hunk] | Refusal:
    """Split a diff into hunks, or return a refusal of an empty one."""
    hunks, lines = list[_Hunk](), diff.split("\n")
    between_files = True
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("@@"):
            stated = _NUMBER.match(line)
            hunks.append(_Hunk(int(stated[1]) if stated else None))
            between_files = False
        elif line.startswith("--- ") and after.startswith("+++ "):
            between_files = True
        elif line.startswith("\\ ") or (between_files and _ABOUT_FILES.match(line)):
            continue
        else:
            if between_files:  # a hunk without its @@
                hunks.append(_Hunk())
                between_files = False
            hunks[-1].body.append(line)
    for hunk in hunks:  # empty lines at the end separate hunks; elsewhere they are kept lines
        while hunk.body and not hunk.body[-1]:
            hunk.body.pop()
    return [hunk for hunk in hunks if hunk.body] or Refusal(Stage.PARSE, "the diff is empty")


def _place(hunk: _Hunk, lines: Sequence[str]) -> int | str:
    """Return the index of the line at which the hunk begins, or why there is none."""
    old, have = hunk.old, [line.rstrip() for line in lines]
    if not old:
        return "it keeps no line, so its place is unknown"
    agreeing = [_agreeing(old, have[start:]) for start in range(len(have))]
    found = [start for start, count in enumerate(agreeing) if count == len(old)]
    if not found:
        return _missing(old, have, max(agreeing))
    if len(found) > 1 and hunk.stated is not None and hunk.stated - 1 in found:
        return hunk.stated - 1
    if len(found) > 1:
        return f"it fits in {len(found)} places; more kept lines around it would tell which"
    return found[0]


def _missing(old: Sequence[tuple[str, ...]], have: Sequence[str], agreeing: int) -> str:
    """Describe the line of a hunk that does not fit, at the place where most of its lines do."""
    known, stripped = set(have), {line.strip() for line in have}
    for line in old:
        if known.isdisjoint(line):
            how = "is indented otherwise" if line[0].strip() in stripped else "is not"
            return f"the line {line[-1].strip()[:80]!r} {how} in the network"
    said = old[agreeing][-1].strip()[:80]
    return f"its lines do not follow each other in the network; {said!r} comes elsewhere"


def _agreeing(old: Sequence[tuple[str, ...]], have: Sequence[str]) -> int:
    """Count the leading lines of `have` that match `old`."""
    pairs = zip(have, old, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] in pair[1], pairs))


class _Edits:
    """Line indexes that all hunks together remove, and lines to insert by the index after them."""

    def __init__(self) -> None:
        self._removed: set[int] = set()
        self._kept: set[int] = set()
        self._inserted: dict[int, list[str]] = defaultdict(list)

    def add(self, hunk: _Hunk, place: int) -> str:
        """Add a hunk; return why it conflicts with earlier ones, "" if it does not."""
        removed, kept = set[int](), set[int]()
        inserted: dict[int, list[str]] = defaultdict(list)
        for sign, text in hunk.steps:
            if sign == "+":
                inserted[place].append(text)
            else:
                (removed if sign == "-" else kept).add(place)
                place += 1
        clash = removed & (self._removed | self._kept) or kept & self._removed
        if clash or inserted.keys() & self._inserted.keys():
            return "it changes what another hunk changes or keeps"
        self._removed |= removed
        self._kept |= kept
        self._inserted.update(inserted)
        return ""

    def steps(self, lines: Sequence[str]) -> Iterator[_Step]:
        """Yield the steps that turn the whole file into the changed one."""
        for index, line in enumerate(lines):
            yield from (("+", text) for text in self._inserted.get(index, ()))
            yield ("-" if index in self._removed else " "), line
        yield from (("+", text) for text in self._inserted.get(len(lines), ()))


def _canonical(steps: Sequence[_Step]) -> Iterator[str]:
    """Yield the lines of the canonical diff that makes these steps."""
    changes = [index for index, (sign, _) in enumerate(steps) if sign != " "]
    near = {i for c in changes for i in range(c - _CONTEXT, c + _CONTEXT + 1)}
    old, new = 1, 1
    for shown, group in groupby(enumerate(steps), key=lambda step: step[0] in near):
        hunk = [step for _, step in group]
        olds, news = (sum(sign != other for sign, _ in hunk) for other in "+-")
        if shown:
            yield f"@@ -{old},{olds} +{new},{news} @@"
            yield from (
                sign + line if sign == "+" else (sign + line).rstrip() for sign, line in hunk
            )
        old, new = old + olds, new + news
