"""The networks that enter a search: of the portfolio, and of the LLM; each a run in the store."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Sequence
from typing import Any

from nngpt.config import Config, changed
from nngpt.cycle.meter import TimeLimit
from nngpt.cycle.runner import is_finished, run_loop
from nngpt.files import DATABASE, write_file
from nngpt.generation.contract.answers import Answer, write
from nngpt.generation.contract.interface import read_supported
from nngpt.records import Candidate, Refusal, content_hash
from nngpt.reports.progress import ConsoleProgress
from nngpt.search.first_rung import FirstRung, first_key
from nngpt.search.journal import Journal
from nngpt.search.ladder import Entrant, Recipe, Standing
from nngpt.search.plan import Plan, Request
from nngpt.search.portfolio import PortfolioNetwork
from nngpt.store import Store

RUNS = PORTFOLIO, LLM = "portfolio", "llm"
"""Names of the runs."""

_PRICE = 0.03
"""Accuracy that a network must gain per square root of its relative time to be worth it."""


def choose(portfolio: Sequence[PortfolioNetwork], count: int) -> list[PortfolioNetwork]:
    """Return the most promising networks: accurate for their cost."""
    return sorted(portfolio, key=lambda one: (-worth(one), one.name))[:count]


def worth(network: PortfolioNetwork) -> float:
    """Return a network's accuracy in the portfolio's own trial, less a price for its time."""
    return network.accuracy - _PRICE * math.sqrt(network.seconds)


def configs(request: Request, plan: Plan) -> dict[str, Config]:
    """Return the configurations of the search's runs by name."""
    base = request.base.model_dump(mode="json")
    training = {"retrain": False, "transform": plan.recipe.transform, "batch": plan.recipe.batch}
    common: dict[str, Any] = {
        "seed": request.seed,
        "cycles": 1,
        "folder": str(request.folder),
        "task": {**base["task"], "threshold": 0.0},
        "evaluation": {**base["evaluation"], **training, "seeds": 1, "folds": None},
        "novelty": {"measure": "none"},
        "learning": {"enabled": False},
    }
    portfolio = {
        **common,
        "name": PORTFOLIO,
        "llm": {
            "backend": "scripted",
            "options": {"script": str(request.folder / f"{PORTFOLIO}.jsonl")},
            "batch_size": plan.candidates,
        },
        "prompt": {"template": "full"},
        "candidates": {"per_cycle": plan.candidates},
    }
    found = {PORTFOLIO: changed(portfolio, [], "search")}
    if plan.designs:
        llm = {
            **common,
            "name": LLM,
            "llm": {"adapter": "smollm2-135m-lemur", "batch_size": plan.designs},
            "prompt": {"template": "tuned-features"},
            "sampling": {"temperature": 1.0, "top_k": 50, "top_p": 0.95, "max_new_tokens": 320},
            "candidates": {"per_cycle": plan.designs},
        }
        found[LLM] = changed(llm, [], "search")
    return found


def write_script(request: Request, networks: Sequence[PortfolioNetwork]) -> None:
    """Write the portfolio's networks as answers for the backend `scripted`."""
    lines = [json.dumps({"text": answer_of(one)}).encode() + b"\n" for one in networks]
    write_file(request.folder / f"{PORTFOLIO}.jsonl", lines)


def answer_of(network: PortfolioNetwork) -> str:
    """Return a network as an answer, with values of the hyperparameters that it names."""
    named = read_supported(ast.parse(network.code))
    assert not isinstance(named, Refusal), "the portfolio fulfils the contract"
    known = network.hyperparameters.items()
    return write(Answer(network.code, {name: value for name, value in known if name in named}))


def enter(
    config: Config,
    first: FirstRung,
    progress: ConsoleProgress,
    seconds: float,
) -> None:
    """Start or resume a run of the search, unless it is finished, for so many seconds at most."""
    if not is_finished(config):
        first.limit = TimeLimit(max(0.0, seconds), "The time of the first stages")
        run_loop(config, progress, limit=first.limit, executor=first)


def standings(
    request: Request,
    journal: Journal,
    recipe: Recipe,
    networks: Sequence[PortfolioNetwork],
) -> list[Standing]:
    """Return the networks that finished their first stage, of both runs."""
    known = {content_hash(one.code): one for one in networks}
    found: list[Standing] = []
    if not (request.folder / DATABASE).exists():
        return found
    with Store.open(request.folder / DATABASE, create=False) as store:
        for run in (one for one in store.runs() if one.status != "archived"):
            for attempt in store.attempts(run.id, with_code=True):
                candidate = attempt.candidate
                record = candidate and journal.stages.get(first_key(candidate.content_hash))
                if candidate and record and not record.refused:
                    origin = known.get(candidate.content_hash)
                    found.append((_entrant(attempt.id, candidate, origin, recipe), record))
    return found


def _entrant(
    number: int, candidate: Candidate, origin: PortfolioNetwork | None, recipe: Recipe
) -> Entrant:
    if origin is not None:
        author = f"LEMUR's network {origin.name}, from {origin.source}"
        return Entrant(origin.name, candidate, author, origin.licence, recipe)
    return Entrant(f"design #{number}", candidate, "the LLM smollm2-135m", "", recipe)
