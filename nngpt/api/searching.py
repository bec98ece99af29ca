"""A search from Python: a network for one's own images in a given time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from nngpt import config
from nngpt.search.progress import SearchProgress
from nngpt.search.request import make_request
from nngpt.search.result import Found
from nngpt.search.search import search as run_search


def search(
    data: str | Path,
    minutes: float = 60.0,
    out: str | Path = "best",
    *,
    folder: str | Path | None = None,
    candidates: int | None = None,
    designs: int | None = None,
    objectives: Sequence[str] = (),
    finish: bool = False,
    fresh: bool = False,
    settings: Mapping[str, Any] | None = None,
) -> Found:
    """Find and train a network for images, like `nngpt search`; the same call resumes.

    Args:
        data: folder of images with a folder for each class, or name of a data set.
        out: folder of the result, which works without nngpt.
        folder: where the search keeps its work; by default runs/search-DATA.
        candidates, designs: networks of the portfolio, and of the LLM; None: by the time.
        objectives: "parameters", "latency" or "macs": a Pareto front of these and accuracy.
        finish: write the best network so far, and train no more.
        fresh: start a new search, and delete the weights of the old one.
        settings: keys of the configuration, such as {"task.max_parameters": 1_000_000}.

    Raises: UserError if the request cannot be carried out, or no network trained.
    """
    chosen = {"task.dataset": str(data), **(settings or {})}
    base = config.load(None, config.as_overrides(chosen))
    work = None if folder is None else Path(folder)
    request = make_request(base, minutes, Path(out), work, candidates, designs, objectives)
    with SearchProgress(Console(stderr=True)) as progress:
        return run_search(request, progress, finish, fresh)
