"""The charting stack of all static pages: colours, marks, axes, and reproducible image bytes.

Colours are Okabe and Ito's, which colour-blind readers can tell apart. Every series also has a
marker, a line style or a hatch of its own, so that a grey print stays readable.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from nngpt.records import Arm
from nngpt.reports.text import ARM_NAMES
from nngpt.statistics import Estimate

INK, DIM, GRID, MARK = "#1b2230", "#5d6878", "#e3e6eb", "#8a3b12"
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
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
    "text.parse_math": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "nngpt",
    "pdf.fonttype": 42,
}

DASHED: Any = (0, (4, 3))
"""Line style of thresholds."""


@dataclass(frozen=True)
class Look:
    """How one series of a chart is drawn."""

    label: str
    colour: str
    marker: str
    line: str
    hatch: str

    def handle(self, **style: Any) -> Line2D:
        """Return the legend entry of the series."""
        given = {"c": self.colour, "marker": self.marker, "ls": self.line, "label": self.label}
        return Line2D([], [], **{**given, **style})


LOOKS = {
    Arm.LOOP: Look(ARM_NAMES[Arm.LOOP], "#0072B2", "o", "-", ""),
    Arm.BASE: Look(f"control: {ARM_NAMES[Arm.BASE]}", "#D55E00", "s", "--", "////"),
    Arm.CORPUS: Look(f"control: {ARM_NAMES[Arm.CORPUS]}", "#009E73", "^", ":", "...."),
}

_MARKERS, _LINES = "osD^vP*X", ("-", "--", "-.", ":")


def numbered_look(label: str, number: int) -> Look:
    """Return the look of a chart's `number`-th series, from 0; not for a run's arms."""
    styles: tuple[Sequence[str], ...] = (PALETTE, _MARKERS, _LINES, HATCHES)
    return Look(label, *(style[number % len(style)] for style in styles))


@dataclass(frozen=True)
class Plot:
    """A chart of a page with its text.

    Attributes:
        name: stem of its file names, and prefix of its ids in the page.
        svg: the figure as an element of the page, None if it could not be drawn.
        missing: why it could not be drawn, "" if it was.
        files: the figure as PNG and PDF, by file name.
    """

    name: str
    title: str
    caption: str
    svg: Markup | None
    missing: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)


def page_svg(figure: Figure, name: str) -> Markup:
    """Lay a chart out and return it as an SVG element; call it inside `rc()`, as when drawing."""
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    figure.set_layout_engine(None)  # laid out once; "none" would still try out each format
    return Markup(_inline_svg(_saved(figure, "svg", _NO_FACTS_SVG).decode(), name))


def image_files(figure: Figure, name: str) -> dict[str, bytes]:
    """Return a chart that `page_svg` has laid out as PNG and PDF; call it inside `rc()`."""
    no_facts = {"CreationDate": None, "Creator": None, "Producer": None}
    png = _saved(figure, "png", {"Software": None})
    return {f"{name}.png": png, f"{name}.pdf": _saved(figure, "pdf", no_facts)}


@contextmanager
def rc() -> Iterator[None]:
    """Apply the style of all charts, whatever the user's own matplotlib settings are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(RC)
        yield


_NO_FACTS_SVG = {"Date": None, "Creator": None, "Format": None, "Type": None}


def _saved(figure: Figure, kind: str, metadata: dict[str, None]) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format=kind, dpi=200, metadata=metadata, facecolor="white")
    return file.getvalue()


def _inline_svg(text: str, name: str) -> str:
    """Make a chart's SVG ready to stand in a page; ids start with `name`."""
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
    """Return a lighter shade of a chart's colour: opaque, so that no grid shines through."""
    red, green, blue = to_rgb(colour)
    return 1 - part * (1 - red), 1 - part * (1 - green), 1 - part * (1 - blue)


def percent_axis(axes: Axes, which: str = "y") -> None:
    """Format the ticks of a chart's axis of fractions as percentages."""
    axis = axes.yaxis if which == "y" else axes.xaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * 100:.4g}%"))


def cycle_axis(axes: Axes, cycles: int, first: int = 1) -> None:
    """Show whole cycles on the x axis of a chart."""
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
) -> None:
    """Draw estimates with interval whiskers in a chart at `places`; None leaves a gap."""
    there = [(x, e) for x, e in zip(places, found, strict=True) if e is not None]
    if not there:
        return
    known = [(x, *e.interval) for x, e in there if e.interval is not None]
    xs, values = [x for x, _ in there], [e.value for _, e in there]
    style = look.line if line else "none"
    axes.plot(xs, values, ls=style, marker=look.marker, c=look.colour, zorder=3)
    if not known:
        return
    at, lows, highs = zip(*known, strict=True)
    axes.vlines(at, lows, highs, colors=look.colour, lw=1.1, zorder=2.5)
    if band and len(known) > 1:
        axes.fill_between(at, lows, highs, color=look.colour, alpha=0.11, lw=0, zorder=1.5)


def dodge(arms: Sequence[Arm], width: float = 0.16) -> dict[Arm, float]:
    """Return how far to move each arm sideways in a chart so that whiskers do not overlap."""
    middle = (len(arms) - 1) / 2
    return {arm: (number - middle) * width for number, arm in enumerate(arms)}


def top_legend(figure: Figure, handles: Sequence[Any], columns: int = 0) -> None:
    """Put one legend above all panels of a chart."""
    figure.legend(handles=handles, loc="outside upper center", ncols=columns or len(handles))
