"""How the figures of a run look, and their bytes: the same every time they are drawn.

Colours are Okabe and Ito's, told apart by colour-blind eyes too; every series also has a marker,
a line style or a hatch of its own, so that a grey print can be read.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from nngpt.records import Arm
from nngpt.statistics import Estimate

INK, DIM, GRID, MARK = "#1b2230", "#5d6878", "#e3e6eb", "#8a3b12"
PALETTE = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#F0E442",
    "#999999",
)
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "++", "ooo", "---")

RC: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": DIM,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": DIM,
    "ytick.color": DIM,
    "legend.frameon": False,
    "hatch.linewidth": 0.7,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "svg.fonttype": "path",
    "svg.hashsalt": "nngpt",
    "pdf.fonttype": 42,
}


@dataclass(frozen=True)
class Look:
    """How one arm is drawn."""

    label: str
    colour: str
    marker: str
    line: str
    hatch: str


LOOKS = {
    Arm.LOOP: Look("loop", "#0072B2", "o", "-", ""),
    Arm.BASE: Look("control: frozen LLM", "#D55E00", "s", "--", "////"),
    Arm.CORPUS: Look("control: no LLM", "#009E73", "^", ":", "...."),
}


@dataclass(frozen=True)
class Images:
    """One figure in three formats."""

    svg: str
    png: bytes
    pdf: bytes


def images(figure: Figure, name: str) -> Images:
    """A figure for the page and as files; call it inside `rc()`, where it was drawn."""
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    figure.set_layout_engine(None)  # laid out once; "none" would still try out each format
    return Images(
        svg=inline_svg(_saved(figure, "svg", _NO_FACTS_SVG).decode(), name),
        png=_saved(figure, "png", {"Software": None}),
        pdf=_saved(figure, "pdf", {"CreationDate": None, "Creator": None, "Producer": None}),
    )


@contextmanager
def rc() -> Iterator[None]:
    """The style as a context, whatever the user's own settings of matplotlib are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(RC)
        yield


_NO_FACTS_SVG = {"Date": None, "Creator": None, "Format": None, "Type": None}


def _saved(figure: Figure, kind: str, metadata: dict[str, None]) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format=kind, dpi=200, metadata=metadata, facecolor="white")
    return file.getvalue()


def inline_svg(text: str, name: str) -> str:
    """An SVG file as an element of a page: no head, no address, ids that no other figure has."""
    text = text[text.index("<svg") :]
    unwanted = r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->"
    text = re.sub(unwanted, "", text, flags=re.DOTALL)
    text = re.sub(r'\s(xmlns(:\w+)?="[^"]*"|version="[^"]*")', "", text)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    return text.replace("<svg", '<svg aria-hidden="true" focusable="false"', 1)


def tint(colour: str, part: float) -> tuple[float, float, float]:
    """A colour on white paper, opaque, so that no grid shines through."""
    red, green, blue = to_rgb(colour)
    return 1 - part * (1 - red), 1 - part * (1 - green), 1 - part * (1 - blue)


def percent_axis(axes: Axes, which: str = "y") -> None:
    """Ticks in percent for fractions of 1."""
    axis = axes.yaxis if which == "y" else axes.xaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * 100:.4g}%"))


def cycle_axis(axes: Axes, cycles: int, first: int = 1) -> None:
    """Whole cycles on the x axis."""
    axes.set_xlim(first - 0.6, max(cycles, first) + 0.6)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=12, min_n_ticks=1))


def whiskers(
    axes: Axes,
    places: Sequence[float],
    found: Sequence[Estimate | None],
    look: Look,
    *,
    band: bool = True,
    line: bool = True,
    filled: bool = True,
) -> None:
    """Points with their intervals at `places`; what is None leaves a gap in the line."""
    there = [(x, e) for x, e in zip(places, found, strict=True) if e is not None]
    if not there:
        return
    known = [(x, e.low, e.high) for x, e in there if e.low is not None and e.high is not None]
    xs, values = [x for x, _ in there], [e.value for _, e in there]
    face = look.colour if filled else "white"
    style = look.line if line else "none"
    axes.plot(xs, values, ls=style, marker=look.marker, c=look.colour, mfc=face, zorder=3)
    if not known:
        return
    at, lows, highs = zip(*known, strict=True)
    axes.vlines(at, lows, highs, colors=look.colour, lw=1.1, zorder=2.5)
    if band and len(known) > 1:
        axes.fill_between(at, lows, highs, color=look.colour, alpha=0.11, lw=0, zorder=1.5)


def dodge(arms: Sequence[Arm], width: float = 0.16) -> dict[Arm, float]:
    """How far each arm is moved sideways so that whiskers do not lie on each other."""
    middle = (len(arms) - 1) / 2
    return {arm: (number - middle) * width for number, arm in enumerate(arms)}
