"""The networks of a search and how far each has trained, as its runs and its journal tell."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from nngpt.errors import UserError
from nngpt.files import DATABASE
from nngpt.search import entrants, ladder
from nngpt.search.first_rung import first_key
from nngpt.search.front import FINALISTS, fronts, ranked
from nngpt.search.journal import Journal, StageRecord
from nngpt.search.ladder import Entrant, Standing
from nngpt.search.request import Request
from nngpt.store import AttemptRecord, Store


def standings(folder: Path, journal: Journal) -> list[Standing]:
    """Return the networks that finished their first stage, of all runs of a search's folder."""
    found: dict[str, Standing] = {}
    if not (folder / DATABASE).exists():
        return []
    origins = entrants.origins(folder)
    with Store.open(folder / DATABASE, create=False) as store:
        prompt = functools.cache(store.prompt)  # the same for a whole batch
        for attempt, record in trained(store, journal):
            if attempt.candidate is not None and record.network not in found:
                asked = "".join(message.content for message in prompt(attempt.prompt_hash).messages)
                shown = [one for one, _ in found.values() if one.candidate.code.strip() in asked]
                title, author, licence = origins.get(record.network) or _written(attempt, shown)
                entrant = Entrant(title, attempt.candidate, author, licence, record.recipe)
                found[record.network] = entrant, record
    return list(found.values())


def trained(store: Store, journal: Journal) -> Iterator[tuple[AttemptRecord, StageRecord]]:
    """Yield the attempts whose networks finished their first stage, run by run, with its result."""
    for run in (one for one in store.runs() if one.status != "archived"):
        for attempt in store.attempts(run.id, with_code=True):
            record = journal.stages.get(first_key(attempt.content_hash or ""))
            if record and not record.refused:
                yield attempt, record


def _written(attempt: AttemptRecord, shown: Sequence[Entrant]) -> tuple[str, str, str]:
    """Return title, author and licence of what the LLM wrote: those of what it was shown."""
    author = f"the LLM {attempt.completion.model}"
    if shown:
        author += f", which was shown {', '.join(one.title for one in shown)}"
    licence = " AND ".join(sorted({one.licence for one in shown} - {""}))
    return f"design #{attempt.id}", author, licence


def in_final(request: Request, journal: Journal) -> list[Standing]:
    """Return the best stages of the networks in final training; [] before any of it began.

    With several objectives, networks of the last rung's front wait for their turn. Once a result
    was written, only its networks have weights, and are in final training.
    """
    best = _best_stages(request.folder, journal)
    if not all(one.refused or journal.has_state(one.key) for one in journal.stages.values()):
        return best
    begun = [one for one in best if ladder.finals(journal, one[0].network)]
    if not begun or len(request.objectives) == 1:
        return begun
    field = [(one.network, one) for one in ladder.last_rung(journal)]
    waiting = [network for network, _ in fronts(field, request.objectives)[0][:FINALISTS]]
    return [one for one in best if one in begun or one[0].network in waiting]


def best_so_far(request: Request, journal: Journal) -> list[Standing]:
    """Return the front of all finished stages. Raises: UserError if there is none."""
    best = _best_stages(request.folder, journal)
    if not best:
        raise nothing_trained(request)
    return fronts(best, request.objectives)[0][:FINALISTS]


def nothing_trained(request: Request) -> UserError:
    """Return the error of a search that has no network to write."""
    hint = "Let it go on: repeat its command without --finish"
    return UserError("no network has trained yet", where=str(request.folder), hint=hint)


def _best_stages(folder: Path, journal: Journal) -> list[Standing]:
    """Return of each network the most accurate stage whose weights are still there."""
    by_network = {entrant.network: entrant for entrant, _ in standings(folder, journal)}
    best: dict[str, Standing] = {}
    for network, stage in ranked([(one.network, one) for one in journal.stages.values()]):
        if network in by_network and journal.has_state(stage.key):
            entrant = replace(by_network[network], recipe=stage.recipe)
            best.setdefault(network, (entrant, stage))
    return list(best.values())
