"""The LLM's part of a search: rounds of writing, each a run in the store.

What a round starts from are files that are written when it begins, so that a round that was killed
goes on as it was:

    <folder>/llm.best.jsonl   the best networks so far, if prompts show or change whole networks
    <folder>/llm-2.own.jsonl  the better half of what the LLM wrote before, with its prompts
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nngpt import files
from nngpt.config import Config, changed
from nngpt.cycle.runner import is_finished
from nngpt.errors import ConfigError, ModelError
from nngpt.files import DATABASE
from nngpt.generation import modes
from nngpt.generation.contract.candidate import Defaults, full_answer
from nngpt.generation.pairs import admitted_pairs, prompt_keys
from nngpt.generation.prompts import template
from nngpt.generation.prompts.template import Template
from nngpt.protocols import PromptMode
from nngpt.search import entrants
from nngpt.search.first_rung import FirstRung
from nngpt.search.front import ranked
from nngpt.search.journal import Journal
from nngpt.search.ladder import KEEP, Standing
from nngpt.search.llm_settings import FEWEST, settings
from nngpt.search.plan import Plan
from nngpt.search.progress import SearchProgress
from nngpt.search.request import Request
from nngpt.search.standings import standings, trained
from nngpt.store import Store

_SHOTS, _BEGIN = 2, 0.5
"""Networks that a prompt for whole networks shows; share of a layer list that the LLM goes on from.

The model that comes with nngpt, shown three layer lists, writes lists of one or two convolutions.
"""


def write_networks(
    request: Request,
    plan: Plan,
    first: FirstRung,
    journal: Journal,
    progress: SearchProgress,
    seconds: float,
) -> None:
    """Let the LLM write its networks, round by round, and train the first stage of each.

    A model that cannot be opened, or fails, ends its part; the search goes on with what there is.

    Args:
        seconds: wall seconds of all rounds together.
    """
    end = journal.spent + seconds
    for number in range(1, plan.rounds + 1):
        field = standings(request.folder, journal)
        prepare_round(request, journal, number, field)
        count = plan.designs // plan.rounds + (number <= plan.designs % plan.rounds)
        config = round_config(request, plan, number, count)
        try:
            entrants.enter(config, first, progress, end - journal.spent)
        except (ConfigError, ModelError) as error:
            progress.note(f"The LLM writes no more: {error.line()}")
            return
        if not is_finished(config):
            return


def round_name(number: int) -> str:
    """Return the name of a round's run; the first is 1."""
    return entrants.LLM if number == 1 else f"{entrants.LLM}-{number}"


def clear(folder: Path) -> None:
    """Delete the files of all rounds."""
    for path in (*folder.glob("llm*.best.jsonl"), *folder.glob("llm*.own.jsonl")):
        path.unlink()


def round_config(request: Request, plan: Plan, number: int, count: int) -> Config:
    """Return the configuration of a round that writes `count` networks."""
    base, name = request.base, round_name(number)
    found, (best, own) = settings(base), _files(base.folder, name)
    prompt: dict[str, Any] = {}
    if _has_lines(best) and _mode(base).changes_parent:
        prompt = {"corpus": str(best)}
    elif _has_lines(best):
        prompt = {"corpus": str(best), "shots": _SHOTS, "shots_from": "corpus"}
    elif _has_lines(own):
        prompt = {"corpus": str(own), "shots": len(_template(base).examples)}
        prompt |= {"shots_from": "corpus"} | ({} if prompt["shots"] else {"begin": _BEGIN})
    tuned = plan.tuned and _has_lines(own)
    learning = {"corpus": str(own), "warm_up": True, **found["learning"]}
    made = {
        **entrants.common(request, plan),
        **found,
        "name": name,
        "prompt": {**prompt, **found["prompt"]},
        "candidates": {**found["candidates"], "per_cycle": count},
        "learning": learning if tuned else {"enabled": False},
        "without": ["iteration"] if tuned else [],
    }
    return changed(made, [], "search")


def prepare_round(
    request: Request, journal: Journal, number: int, field: Sequence[Standing]
) -> None:
    """Write the files of a round, unless it has begun.

    Args:
        field: the networks that trained so far.
    """
    base = request.base
    best, own = _files(base.folder, round_name(number))
    if not best.exists() and _shows(base):
        first = ranked(field, request.objectives)[: -(-len(field) // KEEP)]
        files.write_file(best, _best_lines(base, first))
    if not own.exists() and number > 1:
        with Store.open(base.folder / DATABASE, create=False) as store:
            files.write_file(own, _own_lines(store, journal, request.objectives))


def _files(folder: Path, name: str) -> tuple[Path, Path]:
    """Return the paths of a round's files: the best networks, and the LLM's own."""
    return folder / f"{name}.best.jsonl", folder / f"{name}.own.jsonl"


def _has_lines(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _template(base: Config) -> Template:
    return template.load(settings(base)["prompt"]["template"])


def _mode(base: Config) -> PromptMode:
    return modes.load(_template(base).mode)


def _shows(base: Config) -> bool:
    """Return whether the prompts show whole networks: to be changed, or as examples."""
    return _mode(base).changes_parent or not _mode(base).network_file


def _best_lines(base: Config, best: Sequence[Standing]) -> Iterator[bytes]:
    """Yield networks as lines of a corpus of whole networks, each with the licence of its code."""
    begins = "" if _mode(base).changes_parent else _template(base).prefill
    for entrant, record in best:
        answer = full_answer(entrant.candidate, Defaults.of(base.evaluation))
        if answer.startswith(begins):
            line = {
                "completion": answer.removeprefix(begins),
                "mode": "full",
                "source": entrant.title,
                "licence": entrant.licence,
                "accuracy": record.accuracy,
                "accuracy_on": "this search",
            }
            yield json.dumps(line).encode() + b"\n"


def _own_lines(store: Store, journal: Journal, objectives: Sequence[str]) -> Iterator[bytes]:
    """Yield the better half of what the LLM wrote as lines of a corpus, if that is enough."""
    names = {run.id: run.name for run in store.runs()}
    found = trained(store, journal)
    own = [one for one in found if names[one[0].run_id] != entrants.PORTFOLIO]
    better = ranked(own, objectives)[: -(-len(own) // 2)]
    if len(better) >= FEWEST:
        pairs = admitted_pairs(store, [attempt for attempt, _ in better])
        for pair, (_, record) in zip(pairs, better, strict=True):
            line = {
                **prompt_keys(pair.prompt),
                "completion": pair.completion,
                "source": pair.source,
                "accuracy": record.accuracy,
                "accuracy_on": "this search",
            }
            yield json.dumps(line).encode() + b"\n"
