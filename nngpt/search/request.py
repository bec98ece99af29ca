"""What a search was asked for: its data, time, limits and objectives."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nngpt.config import Config, identity_of
from nngpt.search import llm_settings
from nngpt.search.front import ACCURACY, checked

OUT = Path("best")
"""Folder of the result, unless another is given."""

VALIDATION = 4000
"""Validation images to choose by: more take time from the training."""


@dataclass(frozen=True)
class Request:
    """A search as the user asked for it.

    Attributes:
        base: configuration of data, limits and machine; its folder keeps the runs and weights.
        data: argument that names the data.
        minutes: time of the whole search.
        out: folder of the result.
        candidates: networks of the portfolio that begin; None for what the time allows.
        designs: networks that the LLM writes, 0 for none; None for what the time allows.
        objectives: what the networks are chosen by (`nngpt.search.front`), accuracy first.
        asked: `base` before the size of images was chosen; None for `base` itself.
    """

    base: Config
    data: str
    minutes: float
    out: Path
    candidates: int | None = None
    designs: int | None = None
    objectives: tuple[str, ...] = (ACCURACY,)
    asked: Config | None = None

    @property
    def folder(self) -> Path:
        """Folder of the search's runs, journal and weights."""
        return self.base.folder

    @property
    def seed(self) -> int:
        """Seed of the search."""
        return self.base.seed

    def identity(self) -> dict[str, object]:
        """Return what must stay the same for a search to resume; its time may change."""
        base = identity_of(self.asked or self.base)
        own = llm_settings.own_keys(self.base)
        several = {"objectives": list(self.objectives)} if len(self.objectives) > 1 else {}
        return {
            "data": base["task"],
            "seed": self.seed,
            "evaluation": base["evaluation"],
            "candidates": self.candidates,
            "designs": self.designs,
            **several,
            **({"llm": own} if own else {}),
        }


def make_request(
    base: Config,
    minutes: float,
    out: Path,
    folder: Path | None = None,
    candidates: int | None = None,
    designs: int | None = None,
    objectives: Sequence[str] = (),
) -> Request:
    """Return a request; without a folder, the search keeps its work in runs/search-DATA.

    Args:
        objectives: those beside accuracy, such as "parameters"; latency is measured if it is one.

    Raises: UserError if an objective is unknown.
    """
    chosen = checked(objectives)
    task = base.task
    name = re.sub(r"[^a-z0-9]+", "-", (task.root.name if task.root else task.dataset).lower())
    folder = folder or Path("runs") / f"search-{name.strip('-')[:40] or 'data'}"
    base = base.model_copy(update={"folder": folder})
    if "latency" in chosen:
        evaluation = base.evaluation.model_copy(update={"latency": True})
        base = base.model_copy(update={"evaluation": evaluation})
    return Request(base, task.named, minutes, out, candidates, designs, chosen)


def with_data(request: Request, side: int | None) -> Request:
    """Return the request with square images of a side, None for their own size, and with as many
    validation images as the search needs."""
    base = request.base
    chosen: dict[str, object] = {"image_size": side} if side else {}
    if base.task.validation_limit is None:
        chosen["validation_limit"] = VALIDATION
    task = base.task.model_copy(update=chosen)
    return replace(request, base=base.model_copy(update={"task": task}), asked=base)
