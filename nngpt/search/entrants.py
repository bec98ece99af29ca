"""The networks that enter a search: of the portfolio and of the LLM; each is a run's attempt."""

from __future__ import annotations

import ast
import functools
import json
import re
from collections.abc import Iterator, Sequence
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
from nngpt.search.journal import Journal, StageRecord
from nngpt.search.ladder import Entrant, Standing
from nngpt.search.plan import Plan, Request
from nngpt.search.portfolio import PortfolioNetwork
from nngpt.search.recipe import Recipe
from nngpt.store import AttemptRecord, Store

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


def write_script(request: Request, networks: Sequence[PortfolioNetwork]) -> bool:
    """Write networks as answers for the backend `scripted`, unless the search has them already.

    Returns: whether they were written.
    """
    path = request.folder / SCRIPT
    if path.exists():  # it resumes, with more minutes perhaps
        return False
    write_file(path, [json.dumps({"text": answer_of(one)}).encode() + b"\n" for one in networks])
    return True


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
    progress: ConsoleProgress,
    seconds: float,
) -> None:
    """Start or resume a run of the search, unless it is finished, for so many seconds at most."""
    if not is_finished(config):
        then = "The search goes on with the networks that have trained"
        first.limit = TimeLimit(max(0.0, seconds), "The time of the first stages", then)
        run_loop(config, progress, limit=first.limit, executor=first)


def standings(
    request: Request,
    journal: Journal,
    recipe: Recipe,
    networks: Sequence[PortfolioNetwork],
) -> list[Standing]:
    """Return the networks that finished their first stage, of all runs."""
    known = {content_hash(one.code): one for one in networks}
    found: dict[str, Standing] = {}
    if not (request.folder / DATABASE).exists():
        return []
    with Store.open(request.folder / DATABASE, create=False) as store:
        prompt = functools.cache(store.prompt)  # the same for a whole batch
        for attempt, record in trained(store, journal):
            if attempt.candidate is not None and record.network not in found:
                asked = "".join(message.content for message in prompt(attempt.prompt_hash).messages)
                shown = [one for one, _ in found.values() if one.candidate.code.strip() in asked]
                origin = known.get(record.network)
                own = record.recipe
                entrant = _entrant(attempt, attempt.candidate, origin, shown, own)
                found[record.network] = entrant, record
    return list(found.values())


def trained(store: Store, journal: Journal) -> Iterator[tuple[AttemptRecord, StageRecord]]:
    """Yield the attempts whose networks finished their first stage, run by run, with its result."""
    for run in (one for one in store.runs() if one.status != "archived"):
        for attempt in store.attempts(run.id, with_code=True):
            record = journal.stages.get(first_key(attempt.content_hash or ""))
            if record and not record.refused:
                yield attempt, record


def _entrant(
    attempt: AttemptRecord,
    candidate: Candidate,
    origin: PortfolioNetwork | None,
    shown: Sequence[Entrant],
    recipe: Recipe,
) -> Entrant:
    """Return a network as an entrant; what the LLM wrote has the licences of what it was shown."""
    if origin is not None:
        author = f"the network {origin.name} of {origin.source}"
        return Entrant(origin.name, candidate, author, origin.licence, recipe)
    author = f"the LLM {attempt.completion.model}"
    if shown:
        author += f", which was shown {', '.join(one.title for one in shown)}"
    licence = " AND ".join(sorted({one.licence for one in shown} - {""}))
    return Entrant(f"design #{attempt.id}", candidate, author, licence, recipe)
