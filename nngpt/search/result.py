"""The result of a search: its networks, measured on the test images, in a folder."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nngpt.errors import UserError
from nngpt.protocols import Log
from nngpt.records import Refusal, derive_seed
from nngpt.reports.network_folder.contents import Contents, Front, Origin
from nngpt.reports.network_folder.folder import write_network_folder
from nngpt.reports.sheets import Sheet
from nngpt.sandbox import tensors
from nngpt.sandbox.executors.local import LocalExecutor
from nngpt.search.command import command_of
from nngpt.search.front import ranked
from nngpt.search.journal import Journal
from nngpt.search.ladder import Standing, Trainer
from nngpt.search.request import Request
from nngpt.statistics import percent_of

if TYPE_CHECKING:
    from nngpt.data.splits import Splits


@dataclass(frozen=True)
class Found:
    """Result of a search.

    Attributes:
        title: the network.
        validation, test: (correct, total) predictions.
        facts: everything about the result's folder, for JSON.
    """

    title: str
    validation: tuple[int, int]
    test: tuple[int, int]
    facts: Mapping[str, Any]

    @property
    def front(self) -> Sequence[Mapping[str, Any]]:
        """The networks of the front with their folders below the result's, accuracies and costs.

        The most accurate, which is the result, is the first; with one objective there are none.
        """
        return tuple(self.facts.get("front", ()))


def write_result(
    request: Request,
    trainer: Trainer,
    executor: LocalExecutor,
    splits: Splits,
    front: Sequence[Standing],
    log: Log,
) -> Found:
    """Measure the networks of the front on the test images, and write the result's folder.

    Raises: UserError if none can be measured.
    """
    log(f"Testing on {splits.test.count:,} images, once, and writing {request.out}")
    measured: dict[str, Contents] = {}
    for entrant, record in ranked(front):
        found = _measured(request, trainer, executor, splits, (entrant, record))
        if isinstance(found, Refusal):
            log(f"{entrant.title} cannot be measured: {found.reason}")
        else:
            measured[record.key] = found
    if not measured:
        raise UserError("no network can be measured", where=str(request.folder))
    best, *others = measured.values()
    if len(request.objectives) > 1:
        folders = {f"front/{_slug(one.origin.title)}": one for one in others}
        best = replace(best, front=Front(request.objectives, folders))
    facts = write_network_folder(request.out, best)
    for key in trainer.journal.stages.keys() - measured.keys():
        trainer.journal.forget(key)
    return Found(best.origin.title, best.package.validation, best.answers.judged, facts)


def _measured(
    request: Request,
    trainer: Trainer,
    executor: LocalExecutor,
    splits: Splits,
    standing: Standing,
) -> Contents | Refusal:
    """Measure a network by its files; it answers the test images."""
    entrant, record = standing
    candidate = replace(
        entrant.candidate, transform=entrant.recipe.transform, batch=entrant.recipe.batch
    )
    weights = tensors.part_of(trainer.journal.state(record.key), tensors.WEIGHTS)
    seed = derive_seed(request.seed, "search", entrant.network)
    package = executor.package(candidate, seed, weights, True)
    if isinstance(package, Refusal):
        return package
    epochs = record.images / splits.train.count
    origin = Origin(
        title=entrant.title,
        author=(entrant.author,),
        licence=entrant.licence or "yours",
        training=(
            f"{epochs:.1f} epochs in a search of {request.minutes:g} minutes",
            entrant.recipe.note,
        ),
        accuracies=(f"Validation: {percent_of(record.correct, record.total)}",),
        again=command_of(request),
        epochs=1,
    )
    return Contents(candidate, weights, package, splits, origin, _leaderboard(trainer.journal))


def _slug(title: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", title).strip("-.")


def _leaderboard(journal: Journal) -> Sheet:
    """Return all stages of a search, the most accurate first."""
    stages = sorted(journal.stages.values(), key=lambda one: -one.accuracy)
    return Sheet(
        "Stages of the search",
        ("stage", ">validation accuracy", ">parameters", "recipe"),
        tuple(
            (
                one.key.partition("-")[0] + " " + one.network[:8],
                percent_of(one.correct, one.total),
                f"{one.parameters:,}",
                one.recipe.note,
            )
            for one in stages
            if not one.refused
        ),
    )
