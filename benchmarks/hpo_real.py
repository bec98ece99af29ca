"""Chosen in one shot against searches, on real trainings of small networks.

OMP_NUM_THREADS=1 .venv/bin/python benchmarks/hpo_real.py run --dataset mnist --out FILE
.venv/bin/python benchmarks/hpo_real.py report FILE...

12 networks (tests/networks, benchmarks/networks), several seeds. All get the same budget of
training images: one shot trains once, for one epoch on `--images`; a search trains 8 times, for
one epoch on an eighth of them each, and its best training counts. What it chose is then trained
once more on all images, which is twice the budget. Validation images select and judge, which
favours searches.

predicted  the surrogate's choice (nngpt hpo train), which has seen none of these networks
default    SGD's lr 0.01, momentum 0.9, batch 64
default-8  the same with a batch of 8: as many steps as what is predicted mostly has
random-8   Optuna's random sampler
tpe-8      Optuna's TPE, which knows nothing before

`run` appends a line of JSON for each network and seed and leaves out those that are there; with
`--engine NAME` only that one is tried. `report` takes lines of one network and seed together.
"""

from __future__ import annotations

import argparse
import ast
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nngpt import config
from nngpt.cycle.evaluator import open_evaluator
from nngpt.errors import UserError
from nngpt.generation.contract.answers import Answer, write
from nngpt.generation.contract.interface import read_supported
from nngpt.prediction.evaluation import share_of_groups
from nngpt.prediction.hpo import choosing, learned, searching
from nngpt.prediction.hpo.choice import Choice, Space
from nngpt.prediction.places import IMAGE_CLASSIFICATION, Place, lemur_name
from nngpt.records import Candidate, Evaluation, Refusal, derive_seed

ROOT = Path(__file__).parents[1]
FOLDERS = (ROOT / "tests/networks", ROOT / "benchmarks/networks")
TRIALS = 8
ONE_SHOT = ("predicted", "default", "default-8")
ENGINES = (*ONE_SHOT, "random-8", "tpe-8", "random-8, twice", "tpe-8, twice")
Trainer = Callable[[str, Choice, int], Evaluation | Refusal]


def main() -> None:
    """Train, or print what was trained."""
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run")
    runs.add_argument("--dataset", required=True)
    runs.add_argument("--out", type=Path, required=True)
    runs.add_argument("--images", type=int, default=4000)
    runs.add_argument("--seeds", type=int, default=3)
    runs.add_argument("--max-batch", type=int, default=256)
    runs.add_argument("--engine", choices=(*ONE_SHOT, "random-8", "tpe-8"))
    reports = commands.add_parser("report")
    reports.add_argument("files", type=Path, nargs="+")
    given = parser.parse_args()
    if given.command == "run":
        run(given)
    else:
        report(merged(json.loads(line) for file in given.files for line in file.open()))


def run(given: argparse.Namespace) -> None:
    """All networks and seeds on one data set."""
    done = set()
    if given.out.exists():
        done = {(o["network"], o["seed"]) for o in map(json.loads, given.out.open())}
    codes = {file.stem: file.read_text() for folder in FOLDERS for file in folder.glob("*.py")}
    file = learned.SurrogateFile(learned.default_path())
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
    file: learned.SurrogateFile,
    place: Place,
    given: argparse.Namespace,
    seed: int,
    whole: Trainer,
    part: Trainer,
) -> dict[str, Any]:
    """What each engine reaches with one network and seed."""
    supported = read_supported(ast.parse(code))
    assert not isinstance(supported, Refusal), supported
    space = Space.of(supported, given.max_batch, max_side=0)
    (predicted,) = choosing.by_surrogate(file, code, space, place, 1, 1, given.images)
    default = choosing.by_default(space, 1)
    choices = {"predicted": predicted, "default": default, "default-8": replace(default, batch=8)}
    choices = {e: c for e, c in choices.items() if given.engine in (None, e)}
    reached = {}
    for sampler in searching.SAMPLERS:
        if given.engine not in (None, f"{sampler}-{TRIALS}"):
            continue
        try:
            best = searching.search(
                lambda choice: part(code, choice, seed), space, 1, TRIALS, seed, sampler
            )[0]
        except UserError:
            continue
        reached[f"{sampler}-{TRIALS}"] = best.score
        choices[f"{sampler}-{TRIALS}, twice"] = best.choice
    for engine, choice in choices.items():
        outcome = whole(code, choice, seed)
        reached[engine] = 0.0 if isinstance(outcome, Refusal) else outcome.accuracy
    told = {
        engine: [dict(c.hyperparameters), c.batch, c.transform] for engine, c in choices.items()
    }
    return {"accuracy": reached, "choices": told, "images": given.images}


@contextmanager
def training(given: argparse.Namespace, images: int) -> Iterator[Trainer]:
    """Trains networks for one epoch on so many images."""
    settings = config.load(
        None,
        [
            f"task.dataset={given.dataset}",
            f"task.train_limit={images}",
            "task.validation_limit=2000",
            "task.max_parameters=null",
            "prompt.template=full",
            "evaluation.threads=1",
            "evaluation.wall_s=600",
        ],
    )
    with open_evaluator(settings, print) as (reader, executor):

        def train(code: str, choice: Choice, seed: int) -> Evaluation | Refusal:
            read = reader.read(write(Answer(code, dict(choice.hyperparameters))))
            assert isinstance(read, Candidate), read
            return executor.evaluate(choice.applied(read), derive_seed(seed, "hpo"))

        yield train


def merged(lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One cell for each data set, network and seed."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for line in lines:
        key = (line["dataset"], line["network"], line["seed"], line["images"])
        found.setdefault(key, {**line, "accuracy": {}})["accuracy"].update(line["accuracy"])
    return list(found.values())


def report(cells: Sequence[dict[str, Any]]) -> None:
    """Means, and the difference to what was predicted, with intervals from whole networks."""
    for dataset in [*sorted({c["dataset"] for c in cells}), None]:
        own = [c for c in cells if dataset in (None, c["dataset"])]
        groups = np.unique([c["network"] for c in own], return_inverse=True)[1]
        table = {e: np.array([c["accuracy"].get(e, math.nan) for c in own]) for e in ENGINES}
        print(f"\n{dataset or 'both'}: {len(own)} trainings of {groups.max() + 1} networks")
        for engine, found in table.items():
            known = np.isfinite(found)
            mean = share_of_groups(found[known], groups[known])
            less = share_of_groups((table["predicted"] - found)[known], groups[known])
            print(f"| {engine} | {between(mean)} | {between(less)} |")


def between(found: tuple[float, float, float]) -> str:
    """A mean with its interval."""
    return f"{found[0]:.3f} [{found[1]:.3f}, {found[2]:.3f}]"


if __name__ == "__main__":
    main()
