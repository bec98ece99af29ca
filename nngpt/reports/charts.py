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
from functools import cache
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, MaxNLocator, NullFormatter

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

_FOLLOWING = {INK: "text", DIM: "dim", GRID: "line", MARK: "mark", "#ffffff": "card"}
"""Colours that follow the page's theme, light or dark, with their CSS variables (base.html)."""

_WIDEST = 0.6
"""Largest part of a chart's width that stands as a column of its own on a narrow page."""

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
    """Lay a chart out and return it as SVG for a page; call it inside `rc()`, as when drawing.

    Its colours follow the page's theme. A chart whose panels stand side by side is followed by its
    columns, which show parts of the same drawing: a narrow page stacks them instead.
    """
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    figure.set_layout_engine(None)  # laid out once; "none" would still try out each format
    columns = _columns(figure)
    text = _inline_svg(_saved(figure, "svg", _NO_FACTS_SVG).decode(), name)
    whole = "whole" if columns else "whole single"
    text = text.replace("<svg", f'<svg aria-hidden="true" focusable="false" class="{whole}"', 1)
    return Markup(text + "".join(_column(figure, name, *ends) for ends in columns))


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
    text = re.sub(r'\bfill="(#[0-9a-f]{6})"', r'style="fill: \1"', text)
    themed = _theme()
    return re.sub(r"(?<=: )#[0-9a-f]{6}\b", lambda found: themed.get(found[0], found[0]), text)


def _columns(figure: Figure) -> list[tuple[float, float]]:
    """Return the ends of a chart's columns in points; [] if there is one, or one is wide.

    Panels without labels belong to the panel on their left.
    """
    width = figure.bbox.width
    boxes = [axes.get_tightbbox() for axes in figure.axes if _is_labelled(axes)]
    starts, reached = [0.0], 0.0
    for box in sorted((b for b in boxes if b is not None), key=lambda b: float(b.x0)):
        if reached and box.x0 > reached:
            starts.append(box.x0)
        reached = max(reached, box.x1)
    pairs = list(zip(starts, [*starts[1:], width], strict=True))
    if len(pairs) < 2 or max(end - start for start, end in pairs) > _WIDEST * width:
        return []
    points = 72 / figure.dpi
    return [(start * points, end * points) for start, end in pairs]


def _is_labelled(axes: Axes) -> bool:
    ticks = [*axes.get_xticklabels(), *axes.get_yticklabels()]
    return axes.get_visible() and any(tick.get_visible() and tick.get_text() for tick in ticks)


def _column(figure: Figure, name: str, left: float, right: float) -> str:
    """Return one of a chart's columns as an SVG element that shows a part of the whole drawing."""
    width, height = right - left, figure.get_figheight() * 72
    # Not larger than drawn: a point is 4/3 of a CSS pixel.
    return (
        f'<svg aria-hidden="true" focusable="false" class="column" style="max-width:'
        f'{width * 4 / 3:.0f}px" viewBox="{left:.1f} 0 {width:.1f} {height:.1f}">'
        f'<use href="#{name}-figure_1"/></svg>'
    )


@cache
def _theme() -> dict[str, str]:
    """Return how a page's SVG writes each colour of the charts, so that it follows the theme."""
    variables = {colour.lower(): f"var(--{name})" for colour, name in _FOLLOWING.items()}
    series = {colour: f"var(--c{number})" for number, colour in enumerate(PALETTE)}
    tints = {
        to_hex(tint(colour, part / 100)): f"color-mix(in srgb, {own} {part}%, var(--card))"
        for colour, own in {**series, DIM: "var(--dim)"}.items()
        for part in range(5, 100, 5)
    }
    return {**tints, **{colour.lower(): own for colour, own in series.items()}, **variables}


def tint(colour: str, part: float) -> tuple[float, float, float]:
    """Return a lighter shade of a chart's colour: opaque, so that no grid shines through.

    `part` is a multiple of 0.05; pages follow only such shades in dark mode.
    """
    red, green, blue = to_rgb(colour)
    return 1 - part * (1 - red), 1 - part * (1 - green), 1 - part * (1 - blue)


def percent_axis(axes: Axes, which: str = "y") -> None:
    """Format the ticks of a chart's axis of fractions as percentages."""
    axis = axes.yaxis if which == "y" else axes.xaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * 100:.4g}%"))


def within_bounds(axes: Axes, which: str = "y") -> None:
    """End a drawn chart's axis of fractions at 0 and 1, if it goes beyond, with room for marks."""
    get, put = (axes.get_ylim, axes.set_ylim) if which == "y" else (axes.get_xlim, axes.set_xlim)
    low, high = get()
    room = 0.03 * (min(high, 1) - max(low, 0))
    put(max(low, -room), min(high, 1 + room))


def cycle_axis(axes: Axes, cycles: int, first: int = 1) -> None:
    """Show whole cycles on the x axis of a chart."""
    axes.set_xlim(first - 0.6, max(cycles, first) + 0.6)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=12, min_n_ticks=1))


def cost_axis(axes: Axes, large: bool) -> None:
    """Make the x axis of a chart logarithmic; `large` numbers get unit prefixes."""
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
    axes.xaxis.set_major_formatter(EngFormatter(sep="") if large else plain)
    axes.xaxis.set_minor_formatter(NullFormatter())


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


def top_legend(figure: Figure, handles: Sequence[Any], columns: int = 2) -> None:
    """Put one legend above all panels of a chart, at the left: a narrow page shows that part."""
    figure.legend(handles=handles, loc="outside upper left", ncols=columns)
