"""Random networks of LEMUR under the scheduler of `nngpt search`: what its portfolio is worth.

Networks are drawn from those of LEMUR in the shipped corpora `body` and `features`, which build on
the shape of their task: first the family, then the network, as most belong to one. They train with
the search's usual recipe, on images of full size: first stages in 0.32 of the budget, then 0.32 of
the rest for halving, down to one network, and all that is left for it. Recipes are not tuned.
"""

from __future__ import annotations

import gzip
import json
import random
from collections import defaultdict
from typing import Any

import torch

from contestants.training import Clock, Data, Recipe, Training
from nngpt import config
from nngpt.config import SHIPPED
from nngpt.data.loading import data_source
from nngpt.generation.contract import make_reader
from nngpt.records import Candidate

RECIPE = Recipe("adamw", lr=0.003, batch=64, weight_decay=0.05)

FIRST, RUNGS = 0.32, 0.32
"""Share of the budget for first stages; of the rest, for halving."""

KEEP = 3
"""One network of so many goes on to the next rung."""

Pair = dict[str, Any]
"""A line of a corpus."""

_FIRST_S, _FEWEST, _MOST = 20.0, 4, 24
"""Seconds of a first stage; networks at least and at most."""

_EACH = 1000
"""Held-out images that judge a first stage; all judge later ones."""


def train(data: Data, seed: int, clock: Clock) -> tuple[Training, str]:
    """Search a network, train it for the rest of the budget, and return it with a note."""
    torch.manual_seed(seed)
    data, held_out = data.held_out()
    count = max(_FEWEST, min(_MOST, int(FIRST * clock.seconds / _FIRST_S)))
    sizes = rung_sizes(count)
    field: list[tuple[float, str, Training]] = []
    for number, (name, candidate) in enumerate(draws(data, seed, count)):
        training = Training(build(candidate, data), RECIPE, data, seed)
        training.advance(clock, (FIRST * clock.seconds - clock.spent) / (count - number))
        field.append((training.accuracy(held_out.cut(0, _EACH)), name, training))
        field = best(field, sizes[0])
    rungs_s = RUNGS * clock.left
    for size in sizes:
        field = best(field, size)
        for _, _, training in field:
            training.advance(clock, rungs_s / len(sizes) / size)
        field = best([(one.accuracy(held_out), name, one) for _, name, one in field], size)
    _, name, training = field[0]
    training.advance(clock, clock.left)
    return training, f"{name}, of {count}; {RECIPE}"


def rung_sizes(count: int) -> list[int]:
    """Return how many networks each rung has, down to one."""
    sizes = []
    while count > 1:
        count = -(-count // KEEP)
        sizes.append(count)
    return sizes


def best(field: list[tuple[float, str, Training]], size: int) -> list[tuple[float, str, Training]]:
    """Return so many of the most accurate networks; those left out are freed."""
    return sorted(field, key=lambda one: (-one[0], one[1]))[:size]


def draws(data: Data, seed: int, count: int) -> list[tuple[str, Candidate]]:
    """Return random networks of LEMUR that build on the data set's kind of images."""
    task = "mnist" if data.shape[0] == 1 else "cifar10"
    given = [f"task.dataset={task}"]
    source = data_source(config.load(None, given))
    readers = {
        mode: make_reader(config.load(None, [*given, f"prompt.template=tuned-{mode}"]), source)
        for mode in ("body", "features")
    }
    families: dict[str, dict[str, Pair]] = defaultdict(dict)
    for mode in readers:
        (file,) = SHIPPED.glob(f"*/{mode}.jsonl.gz")
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for pair in map(json.loads, lines):
                if task in pair["task"].split(",") and pair["source"].startswith("lemur:"):
                    families[pair["family"]][pair["source"]] = pair
    found, chance = [], random.Random(seed)
    orders = {family: chance.sample(sorted(own), len(own)) for family, own in families.items()}
    while len(found) < count:
        family = chance.choice(sorted(orders))
        pair = families[family][orders[family].pop()]
        candidate = readers[pair["mode"]].read(pair["completion"])
        assert isinstance(candidate, Candidate), candidate
        found.append((pair["source"].removeprefix("lemur:"), candidate))
    return found


def build(candidate: Candidate, data: Data) -> Any:
    """Return a candidate's network; its code comes with nngpt and runs without a sandbox."""
    space: dict[str, Any] = {"__name__": "network"}
    exec(compile(candidate.code, "network.py", "exec"), space)
    shape = (RECIPE.batch, *data.shape)
    given = {**candidate.hyperparameters, "batch": RECIPE.batch, "epoch": 1, "transform": "norm"}
    return space["Net"](shape, (data.classes,), given, torch.device("cpu"))
