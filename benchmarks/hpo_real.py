"""Compare one-shot proposals with searches, on real trainings of small networks.

OMP_NUM_THREADS=1 .venv/bin/python benchmarks/hpo_real.py run --dataset mnist --out FILE
.venv/bin/python benchmarks/hpo_real.py report FILE...

12 networks (tests/networks, benchmarks/networks), several seeds. All engines have the same budget
of training images: one shot trains once, for one epoch on `--images`; a search trains 8 times, for
one epoch on an eighth of them each, and its best training counts. The settings it chose are then
trained once more on all images, which doubles the budget. Validation images both select and judge,
which favours searches.

predicted  the surrogate's proposal (nngpt hpo train); it was trained on none of these networks
default    SGD's lr 0.01, momentum 0.9, batch 64
default-8  the same with a batch of 8, which gives about as many steps as `predicted` has
random-8   Optuna's random sampler
tpe-8      Optuna's TPE, without first proposals

`run` appends a line of JSON for each network and seed, and skips those in the file; with
`--engine NAME` it runs that engine only. `report` merges lines of one network and seed.
"""

from __future__ import annotations

import argparse
import ast
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nngpt import config
from nngpt.cycle.parts import open_evaluator
from nngpt.errors import UserError
from nngpt.generation.contract.answers import Answer, write
from nngpt.generation.contract.interface import read_supported
from nngpt.prediction.arrays import Numbers, Vector
from nngpt.prediction.hpo.engines.default import DefaultEngine
from nngpt.prediction.hpo.engines.optuna import SAMPLERS, search
from nngpt.prediction.hpo.grid import best_of_grid
from nngpt.prediction.hpo.proposal import HPOTask, Proposal, SearchSpace
from nngpt.prediction.hpo.surrogate import SurrogateFile, default_path
from nngpt.prediction.places import IMAGE_CLASSIFICATION, Place, lemur_name
from nngpt.records import Candidate, Evaluation, Refusal, derive_seed
from nngpt.reports.text import decimal
from nngpt.statistics import mean

ROOT = Path(__file__).parents[1]
FOLDERS = (ROOT / "tests/networks", ROOT / "benchmarks/networks")
TRIALS = 8
ONE_SHOT = ("predicted", "default", "default-8")
ENGINES = (*ONE_SHOT, "random-8", "tpe-8", "random-8, twice", "tpe-8, twice")
Trainer = Callable[[str, Proposal, int], Evaluation | Refusal]


def main() -> None:
    """Run the command `run` or `report`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run")
    runs.add_argument("--dataset", required=True, help="name of the data set")
    runs.add_argument(
        "--out", type=Path, required=True, help="JSONL file of results; existing lines are kept"
    )
    runs.add_argument(
        "--images", type=int, default=4000, help="training images of a one-shot engine"
    )
    runs.add_argument("--seeds", type=int, default=3, help="number of seeds")
    runs.add_argument("--max-batch", type=int, default=256, help="largest batch size to propose")
    runs.add_argument("--engine", choices=(*ONE_SHOT, "random-8", "tpe-8"))
    reports = commands.add_parser("report")
    reports.add_argument("files", type=Path, nargs="+", help="JSONL files of `run`")
    given = parser.parse_args()
    if given.command == "run":
        run(given)
    else:
        report(merged(json.loads(line) for file in given.files for line in file.open()))


def run(given: argparse.Namespace) -> None:
    """Train all networks with all seeds on one data set."""
    done = set()
    if given.out.exists():
        done = {(o["network"], o["seed"]) for o in map(json.loads, given.out.open())}
    codes = {file.stem: file.read_text() for folder in FOLDERS for file in folder.glob("*.py")}
    file = SurrogateFile(default_path())
    place = Place(IMAGE_CLASSIFICATION, lemur_name(given.dataset), "acc")
    with training(given, given.images) as whole, training(given, given.images // TRIALS) as part:
        for seed in range(given.seeds):
            for name, code in sorted(codes.items()):
                if (name, seed) in done:
                    continue
                found = cell(code, file, place, given, seed, whole, part)
                line = {"dataset": given.dataset, "network": name, "seed": seed, **found}
                with given.out.open("a") as out:
                    out.write(json.dumps(line) + "\n")
                print(line, flush=True)


def cell(
    code: str,
    file: SurrogateFile,
    place: Place,
    given: argparse.Namespace,
    seed: int,
    whole: Trainer,
    part: Trainer,
) -> dict[str, Any]:
    """Return the accuracy of each engine with one network and seed."""
    supported = read_supported(ast.parse(code))
    assert not isinstance(supported, Refusal), supported
    space = SearchSpace.of(supported, given.max_batch, max_side=0)
    task = HPOTask(code, space, place, 1, images=given.images)
    (predicted,) = best_of_grid(file, task, 1)
    (default,) = DefaultEngine().propose(task, 1)
    proposals = {"predicted": predicted, "default": default, "default-8": replace(default, batch=8)}
    proposals = {e: p for e, p in proposals.items() if given.engine in (None, e)}
    reached = {}
    for sampler in SAMPLERS:
        if given.engine not in (None, f"{sampler}-{TRIALS}"):
            continue
        try:
            best = search(partial(part, code, seed=seed), space, 1, TRIALS, seed, sampler)[0]
        except UserError:
            continue
        reached[f"{sampler}-{TRIALS}"] = best.score
        proposals[f"{sampler}-{TRIALS}, twice"] = best
    for engine, proposal in proposals.items():
        outcome = whole(code, proposal, seed)
        reached[engine] = 0.0 if isinstance(outcome, Refusal) else outcome.accuracy
    choices = {e: [dict(p.hyperparameters), p.batch, p.transform] for e, p in proposals.items()}
    return {"accuracy": reached, "choices": choices, "images": given.images}


@contextmanager
def training(given: argparse.Namespace, images: int) -> Iterator[Trainer]:
    """Open a function that trains networks for one epoch on `images` images."""
    settings = config.load(
        None,
        [
            f"task.dataset={given.dataset}",
            f"task.train_limit={images}",
            "task.validation_limit=2000",
            "task.max_parameters=null",
            "prompt.template=full",
            "evaluation.threads=1",
            "evaluation.limit_s=600",
        ],
    )
    with open_evaluator(settings, print) as (reader, executor):

        def train(code: str, proposal: Proposal, seed: int) -> Evaluation | Refusal:
            read = reader.read(write(Answer(code, dict(proposal.hyperparameters))))
            assert isinstance(read, Candidate), read
            return executor.evaluate(proposal.applied(read), derive_seed(seed, "hpo"))

        yield train


def merged(lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Merge lines into one cell for each data set, network and seed."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for line in lines:
        key = (line["dataset"], line["network"], line["seed"], line["images"])
        found.setdefault(key, {**line, "accuracy": {}})["accuracy"].update(line["accuracy"])
    return list(found.values())


def report(cells: Sequence[dict[str, Any]]) -> None:
    """Print means and their differences to `predicted`, with intervals over networks."""
    for dataset in [*sorted({c["dataset"] for c in cells}), None]:
        own = [c for c in cells if dataset in (None, c["dataset"])]
        groups = np.unique([c["network"] for c in own], return_inverse=True)[1]
        table = {e: np.array([c["accuracy"].get(e, math.nan) for c in own]) for e in ENGINES}
        print(f"\n{dataset or 'both'}: {len(own)} trainings of {groups.max() + 1} networks")
        for engine, found in table.items():
            known = np.isfinite(found)
            ours = table["predicted"] - found
            both = (over_networks(values[known], groups[known]) for values in (found, ours))
            print(f"| {engine} | {' | '.join(both)} |")


def over_networks(values: Vector, networks: Numbers) -> str:
    """Return the mean over networks of their means, with its t interval (95%)."""
    counts = np.bincount(networks)
    means = (np.bincount(networks, values) / np.maximum(counts, 1))[counts > 0]
    return decimal(mean(means.tolist()), 3)


if __name__ == "__main__":
    main()
