"""The template engine of static HTML pages: render a page with its styles and filters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

from nngpt import __version__
from nngpt.errors import readable
from nngpt.reports.sheets import Sheet
from nngpt.reports.text import NONE, similarity

_TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, **values: Any) -> str:
    """Return an HTML page from a template, which also gets `version`: the same for same values."""
    return _environment().get_template(template).render(version=__version__, **values)


def render_table(sheet: Sheet) -> str:
    """Return a `Sheet` as part of an HTML page, with its title and note."""
    return str(_environment().get_template("parts.html").make_module().table(sheet))  # type: ignore[attr-defined]


def _environment() -> jinja2.Environment:
    """Return a template engine that escapes all text and shows deceptive characters as escapes."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Characters that HTML forbids (NUL, lone surrogates) or that deceive (bidirectional
        # overrides) become escapes; autoescape does the rest.
        finalize=_shown,
    )
    environment.filters |= {"percent": percent, "similarity": similarity, "cut": cut}
    environment.filters["n"] = lambda value: f"{value:,}"
    return environment


def _shown(value: object) -> object:
    if type(value) is not str:
        return value
    return readable(value.expandtabs(4) if "\t" in value else value)


def percent(value: float | None) -> str:
    """Format a fraction on a page as `91.3%`, `–` for None."""
    return NONE if value is None else f"{value:.1%}"


def cut(text: str) -> str:
    """Cut the middle out of a text on a page if it has more than 120 characters."""
    return text if len(text) <= 120 else f"{text[:80]} … {text[-30:]}"
