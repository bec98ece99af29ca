"""Training pairs for the HPO engine `llm`: questions and answers from LEMUR's trials."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from nngpt.data.transform_names import dashed
from nngpt.errors import UserError
from nngpt.prediction import groups
from nngpt.prediction.hpo.folds import read_folds
from nngpt.prediction.hpo.pools import Pool, pools
from nngpt.prediction.hpo.prompt import answer, question
from nngpt.prediction.hpo.proposal import HPOTask, space_of
from nngpt.prediction.runs import History
from nngpt.records import TrainingPair

LEARNED = 3
"""Minimum number of trials in a pool to learn from."""


def history_pairs(
    history: History,
    epochs: Sequence[int],
    limit: int,
    seed: int,
    folds: Path | None = None,
    without: int | None = None,
) -> list[TrainingPair]:
    """Return up to `limit` training pairs from a history, to tune the HPO engine `llm`.

    Args:
        epochs: numbers of epochs after which trials were judged.
        folds: file of frozen folds; None to use all networks.
        without: the fold to leave out, so that it can judge the tuned LLM.

    Raises: UserError if no network has several trials, or the file of the folds is not valid.
    """
    found = [pool for horizon in epochs for pool in pools(history, horizon, LEARNED)]
    if folds is not None:
        frozen = read_folds(folds)
        components = frozen.components
        found = [pool for pool in found if frozen.of(pool.network) != without]
    else:
        components = groups.components({p.network: history.codes[p.network] for p in found})
    if made := pairs(found, history.codes, components, limit, seed):
        return made
    hint = "Import LEMUR: nngpt lemur pull"
    raise UserError("there is no network with several trials", hint=hint)


def pairs(
    found: Sequence[Pool],
    codes: Mapping[str, str],
    components: Mapping[str, str],
    limit: int,
    seed: int,
) -> list[TrainingPair]:
    """Return up to `limit` training pairs for the HPO engine `llm`, two from each pool.

    One asks for "the highest possible" accuracy and answers with the best trial; the other asks for
    the accuracy of a random trial and answers with it. Near-duplicate components take turns, so
    that large families do not dominate.
    """
    generator = random.Random(seed)
    waiting: dict[str, list[Pool]] = {}
    for pool in generator.sample(list(found), len(found)):
        waiting.setdefault(components[pool.network], []).append(pool)
    made: list[TrainingPair] = []
    while waiting and len(made) < limit:
        for component in list(waiting):
            made += _pairs_of(waiting[component].pop(), codes, generator)
            if not waiting[component]:
                del waiting[component]
    return made[:limit]


def _pairs_of(pool: Pool, codes: Mapping[str, str], generator: random.Random) -> list[TrainingPair]:
    """Return the pairs of a pool, without trials whose batch or transform is not in the space."""
    best = int(pool.accuracies.argmax())
    other = generator.randrange(len(pool.runs))
    made = []
    for number, target in ((best, None), (other, float(pool.accuracies[other]))):
        run = pool.runs[number]
        space, transform = space_of(run), dashed(run.transform or "")
        batch = run.hyperparameters.get("batch")
        if batch in space.batches and transform in space.transforms:
            chosen = {name: run.hyperparameters[name] for name in space.tunable}
            settings = {**chosen, "batch": int(batch), "transform": transform}
            task = HPOTask(codes[run.network], space, pool.place, pool.epochs, target)
            made.append(TrainingPair(question(task), answer(settings), pool.name))
    return made
