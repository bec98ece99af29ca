"""The LLM's part of a search: rounds of writing, each a run in the store.

What a round shows the LLM, and what the LLM learns before it, are files that are written when the
round begins, so that a round that was killed goes on as it was:

    <folder>/llm.shown.jsonl      the best networks so far, where prompts show or change networks
    <folder>/llm-2.learned.jsonl  the better half of what the LLM wrote, with its prompts
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nngpt import files
from nngpt.config import Config, changed
from nngpt.cycle.runner import is_finished
from nngpt.errors import ModelError
from nngpt.files import DATABASE
from nngpt.generation import modes
from nngpt.generation.contract.candidate import Defaults, full_answer
from nngpt.generation.pairs import admitted_pairs, prompt_keys
from nngpt.generation.prompts import template
from nngpt.generation.prompts.template import Template
from nngpt.protocols import PromptMode
from nngpt.reports.progress import ConsoleProgress
from nngpt.search import entrants
from nngpt.search.first_rung import FirstRung
from nngpt.search.front import ranked
from nngpt.search.journal import Journal
from nngpt.search.ladder import KEEP, Standing
from nngpt.search.llm_settings import FEWEST_LEARNED, learns, settings
from nngpt.search.plan import Plan, Request
from nngpt.search.portfolio import read_portfolio
from nngpt.store import Store

_SHOTS = 2
"""Networks that a prompt for whole networks shows."""


def write_networks(
    request: Request,
    plan: Plan,
    first: FirstRung,
    journal: Journal,
    progress: ConsoleProgress,
    seconds: float,
) -> None:
    """Let the LLM write its networks, round by round, and train the first stage of each.

    A model that fails ends its part; the search goes on with what there is.

    Args:
        seconds: wall seconds of all rounds together.
    """
    end = journal.spent + seconds
    for number in range(1, plan.rounds + 1):
        field = entrants.standings(request, journal, plan.recipe, read_portfolio())
        prepare_round(request, journal, number, field)
        count = plan.designs // plan.rounds + (number <= plan.designs % plan.rounds)
        config = round_config(request.base, entrants.common(request, plan), number, count)
        try:
            entrants.enter(config, first, progress, end - journal.spent)
        except ModelError as error:
            progress.note(f"The LLM writes no more: {error.line()}")
            return
        if not is_finished(config):
            return


def round_name(number: int) -> str:
    """Return the name of a round's run; the first is 1."""
    return entrants.LLM if number == 1 else f"{entrants.LLM}-{number}"


def clear(folder: Path) -> None:
    """Delete the files of all rounds."""
    for path in (*folder.glob("llm*.shown.jsonl"), *folder.glob("llm*.learned.jsonl")):
        path.unlink()


def round_config(base: Config, common: Mapping[str, Any], number: int, count: int) -> Config:
    """Return the configuration of a round, whose files lie in the folder.

    Args:
        common: settings of all runs of the search.
        count: networks to write.
    """
    name, found = round_name(number), settings(base)
    shown, learned = _files(base.folder, name)
    prompt: dict[str, Any] = {}
    learning: dict[str, Any] = {"enabled": False}
    if _has_lines(shown):
        examples = {"shots": _SHOTS, "shots_from": "corpus"}
        prompt = {"corpus": str(shown)} | ({} if _mode(base).changes_parent else examples)
    if _has_lines(learned):
        learning = {"corpus": str(learned), "warm_up": True, **found["learning"]}
    made = {
        **common,
        **found,
        "name": name,
        "prompt": {**prompt, **found["prompt"]},
        "candidates": {**found["candidates"], "per_cycle": count},
        "learning": learning,
        "without": ["iteration"] if learning.get("warm_up") else [],
    }
    return changed(made, [], "search")


def prepare_round(
    request: Request, journal: Journal, number: int, field: Sequence[Standing]
) -> None:
    """Write the files of a round, unless it has begun.

    Args:
        field: the networks that trained so far.
    """
    base, best = request.base, ranked(field, request.objectives)
    shown, learned = _files(base.folder, round_name(number))
    if not shown.exists() and _shows(base):
        files.write_file(shown, _shown_lines(base, best[: -(-len(best) // KEEP)]))
    if not learned.exists() and number > 1 and learns(base):
        with Store.open(base.folder / DATABASE, create=False) as store:
            files.write_file(learned, _learned_lines(store, journal, request.objectives))


def _files(folder: Path, name: str) -> tuple[Path, Path]:
    """Return the paths of what a round shows and of what is learned before it."""
    return folder / f"{name}.shown.jsonl", folder / f"{name}.learned.jsonl"


def _has_lines(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _template(base: Config) -> Template:
    return template.load(settings(base)["prompt"]["template"])


def _mode(base: Config) -> PromptMode:
    return modes.load(_template(base).mode)


def _shows(base: Config) -> bool:
    """Return whether the prompts show whole networks: to be changed, or as examples."""
    return _mode(base).changes_parent or not _mode(base).network_file


def _shown_lines(base: Config, best: Sequence[Standing]) -> Iterator[bytes]:
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


def _learned_lines(store: Store, journal: Journal, objectives: Sequence[str]) -> Iterator[bytes]:
    """Yield the better half of what the LLM wrote as lines of a corpus, if that is enough."""
    names = {run.id: run.name for run in store.runs()}
    found = entrants.trained(store, journal)
    own = [one for one in found if names[one[0].run_id] != entrants.PORTFOLIO]
    better = ranked(own, objectives)[: -(-len(own) // 2)]
    if len(better) >= FEWEST_LEARNED:
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
