"""Compare `nngpt search` with what people would use instead, in equal time on two cores.

nice -n 19 .venv/bin/python benchmarks/search.py run --out rows.jsonl --processes 2
.venv/bin/python benchmarks/search.py run --out rows.jsonl --contestants nngpt
.venv/bin/python benchmarks/search.py report rows.jsonl --figure figure.png

nngpt      `nngpt search DATA --minutes M`, by wall time, on a quiet machine (load below 0.7)
resnet20   ResNet-20, on all training images, one-cycle SGD
resnet18   torchvision's ResNet-18 with a CIFAR stem, likewise
mobilenet  torchvision's MobileNetV3-small from scratch, likewise
optuna     Optuna's TPE with asynchronous halving over a parametrised network; its best trains on
lemur      random networks of LEMUR under the search's scheduler; the best trains on

Each row is one (minutes, data set, seed, contestant). A baseline has 2 × minutes × 60 CPU seconds
of one thread, which grants it perfect scaling to both cores: importing, loading, augmentation and
validation count, the test does not. So baselines may run beside other work, two at once, paused and
resumed. `run` makes rows that the file lacks, quick ones of the first seed first; contestants other
than `nngpt` by default. The protocol and the results are in docs/results/search.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import torch
from contestants import (
    fixed,
    nngpt_search,
    optuna_cnn,
    random_lemur,
    report,
    row_files,
    training,
)
from contestants.provenance import commit, machine

MINUTES, SEEDS = (10.0, 20.0, 40.0), (1, 2, 3)
DATA = ("cifar10", "fashion-mnist", "mnist")
BASELINES = (*fixed.RECIPES, "optuna", "lemur")


@dataclass(frozen=True)
class Job:
    """One row to make.

    Attributes:
        data: name of a data set, or the path of a folder of images.
        lr, batch: of a fixed network, None for the usual ones; others only to choose these.
    """

    minutes: float
    seed: int
    data: str
    contestant: str
    lr: float | None = None
    batch: int | None = None


def main() -> None:
    """Run the command `run` or `report`."""
    given = parse()
    if given.command == "report":
        results = report.Results.of(row_files.read(*given.files))
        row_files.show(report, results, given.figure)
        return
    for row in made(wanted(given), given.processes):
        row_files.append(given.out, row)
        print(json.dumps(row), flush=True)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser, runs, _ = row_files.parsers(__doc__)
    runs.add_argument("--minutes", type=float, nargs="+", default=MINUTES)
    runs.add_argument("--data", nargs="+", default=DATA, help="data sets; NAME-folder: as PNGs")
    runs.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    runs.add_argument("--contestants", nargs="+", choices=("nngpt", *BASELINES), default=BASELINES)
    runs.add_argument("--processes", type=int, default=1, help="baselines at once")
    runs.add_argument("--lr", type=float, nargs="+", default=[None], help="to choose recipes")
    runs.add_argument("--batch", type=int, nargs="+", default=[None], help="to choose recipes")
    runs.add_argument("--again", action="store_true", help="make rows that the file has, too")
    given = parser.parse_args()
    if given.command == "run" and "nngpt" in given.contestants and given.processes > 1:
        parser.error("nngpt is measured alone: --processes 1")
    if given.command == "run" and (given.lr, given.batch) != ([None], [None]):
        chosen = set(given.contestants) <= set(fixed.RECIPES)
        if min(given.seeds) < report.CHOOSING or not chosen:
            parser.error(f"--lr and --batch: fixed networks, seeds from {report.CHOOSING} on")
    return given


def wanted(given: argparse.Namespace) -> list[Job]:
    """Return the jobs without a row, in the order of their worth."""
    jobs = [
        Job(minutes, seed, data, contestant, lr, batch)
        for seed in sorted(given.seeds)
        for minutes in sorted(given.minutes)
        for data in given.data
        for contestant in given.contestants
        for lr in given.lr
        for batch in given.batch
    ]
    names = list(asdict(jobs[0]))
    rows = row_files.read(given.out)
    done = [] if given.again else [Job(**{name: row[name] for name in names}) for row in rows]
    return [job for job in jobs if job not in done]


def made(jobs: Sequence[Job], processes: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of jobs as they end, each made by a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, mp_context=spawn, max_tasks_per_child=1)
    try:
        for done in as_completed([pool.submit(row, job) for job in jobs]):
            yield done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def row(job: Job, began: float = 0.0) -> dict[str, Any]:
    """Do a job, and return its row.

    Args:
        began: `time.process_time()` from which the budget counts; 0 for the process's start.
    """
    facts = {**asdict(job), "load_start": os.getloadavg()[0]}
    if job.contestant == "nngpt":
        facts |= nngpt_search.run(job.data, job.seed, job.minutes)
    else:
        facts |= baseline(job, training.Clock(2 * 60 * job.minutes, began))
    facts |= {"load_end": os.getloadavg()[0], "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M}"}
    return {**facts, "commit": commit(), "torch": torch.__version__, "machine": machine()}


def baseline(job: Job, clock: training.Clock) -> dict[str, Any]:
    """Return what a baseline reaches in its budget."""
    torch.set_num_threads(1)
    data = training.load(job.data, job.seed)
    if job.contestant in fixed.RECIPES:
        trained, note = fixed.train(job.contestant, data, job.seed, clock, job.lr, job.batch)
    else:
        contestant = {"optuna": optuna_cnn, "lemur": random_lemur}[job.contestant]
        trained, note = contestant.train(data, job.seed, clock)
    spent = clock.spent
    return {
        "correct": trained.correct(data.test),
        "total": len(data.test),
        "parameters": trained.parameters,
        "images": trained.passed,
        "cpu_s": round(spent, 1),
        "note": note,
    }


if __name__ == "__main__":
    main()
