"""The networks that enter a search: of the portfolio and of the LLM; each is a run's attempt."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nngpt.config import Config, changed
from nngpt.cycle.meter import TimeLimit
from nngpt.cycle.runner import is_finished, run_loop
from nngpt.files import whole_lines, write_file
from nngpt.generation.contract.answers import Answer, write
from nngpt.generation.contract.interface import read_supported
from nngpt.records import Candidate, Refusal
from nngpt.search.first_rung import FirstRung
from nngpt.search.plan import Plan
from nngpt.search.portfolio import PortfolioNetwork, read_portfolio
from nngpt.search.progress import SearchProgress
from nngpt.search.request import Request

PORTFOLIO, LLM = "portfolio", "llm"
RUNS = re.compile(rf"{PORTFOLIO}|{LLM}(-\d+)?")
"""Names of the runs; later rounds of the LLM have a number."""

SCRIPT = f"{PORTFOLIO}.jsonl"
"""File of the portfolio's networks that begin, in the search's folder."""


def common(request: Request, plan: Plan) -> dict[str, Any]:
    """Return the settings of all runs of a search: its task and how networks train."""
    base = request.base.model_dump(mode="json")
    training = {"retrain": False, "transform": plan.recipe.transform, "batch": plan.recipe.batch}
    return {
        "seed": request.seed,
        "cycles": 1,
        "folder": str(request.folder),
        "task": {**base["task"], "threshold": 0.0},
        "evaluation": {**base["evaluation"], **training, "seeds": 1, "folds": None},
        "novelty": {"measure": "none"},
        "learning": {"enabled": False},
    }


def portfolio_config(request: Request, plan: Plan) -> Config:
    """Return the configuration of the portfolio's run."""
    script = {"script": str(request.folder / SCRIPT)}
    made = {
        **common(request, plan),
        "name": PORTFOLIO,
        "llm": {"backend": "scripted", "options": script, "batch_size": plan.candidates},
        "prompt": {"template": "full"},
        "candidates": {"per_cycle": plan.candidates},
    }
    return changed(made, [], "search")


def write_script(request: Request, networks: Sequence[PortfolioNetwork]) -> None:
    """Write networks as answers for the backend `scripted`, unless the search has them already.

    Their origins stay with them: another version of nngpt may have other networks.
    """
    path = request.folder / SCRIPT
    if not path.exists():  # else it resumes, with more minutes perhaps
        lines = ({"text": answer_of(one), "origin": _origin(one)} for one in networks)
        write_file(path, [json.dumps(line).encode() + b"\n" for line in lines])


def origins(folder: Path) -> dict[str, tuple[str, str, str]]:
    """Return title, author and licence of the portfolio's networks, by content hash."""
    found = dict(map(_origin, read_portfolio()))
    for line in map(json.loads, whole_lines(folder / SCRIPT)):
        if "origin" in line:
            network, (title, author, licence) = line["origin"]
            found[network] = title, author, licence
    return found


def _origin(network: PortfolioNetwork) -> tuple[str, tuple[str, str, str]]:
    author = f"the network {network.name} of {network.source}"
    return network.network, (network.name, author, network.licence)


def candidate_of(network: PortfolioNetwork) -> Candidate:
    """Return a network as a candidate for training with the search's recipes."""
    code, named = network.code, _named(network)
    return Candidate(code, code, "full", named, "norm", 64)


def answer_of(network: PortfolioNetwork) -> str:
    """Return a network as an answer, with values of the hyperparameters that it names."""
    return write(Answer(network.code, _named(network)))


def _named(network: PortfolioNetwork) -> dict[str, float]:
    """Return the values of the hyperparameters that the network names."""
    named = read_supported(ast.parse(network.code))
    assert not isinstance(named, Refusal), "the portfolio fulfils the contract"
    return {name: value for name, value in network.hyperparameters.items() if name in named}


def enter(
    config: Config,
    first: FirstRung,
    progress: SearchProgress,
    seconds: float,
) -> None:
    """Start or resume a run of the search, unless it is finished, for so many seconds at most."""
    if is_finished(config):
        return
    first.limit = TimeLimit(max(0.0, seconds))
    titles = dict[str, str]()
    if config.name == PORTFOLIO:
        titles = {network: one[0] for network, one in origins(config.folder).items()}
    whose = "portfolio" if titles else "LLM"
    progress.note(f"Networks of the {whose}: right of the images to choose by [95% interval]")
    with progress.of_run(titles):
        run_loop(config, progress, limit=first.limit, executor=first)
    if not is_finished(config):
        progress.note(
            "The time of the first stages is over: on with the networks that have trained"
        )
