"""Rank networks by zero-cost proxies, and compare with the accuracies that they reached.

.venv/bin/python benchmarks/proxies.py --database runs/nngpt.db --networks 160 --out run.jsonl
.venv/bin/python benchmarks/proxies.py --networks 100 --out cells.jsonl

With a database, the networks are a stratified sample of those that its run trained, with their
accuracies after the first epoch. Without one, they are random cells of NAS-Bench-201 on CIFAR-10,
with their mean validation accuracies after 200 epochs, of which papers report rank correlations.
The sandbox computes the proxies before a training on a single batch, which is of no interest.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from contestants import row_files

from nngpt import config
from nngpt.config import Config, changed, completed
from nngpt.cycle.parts import open_evaluator
from nngpt.data.loading import data_source
from nngpt.data.nasbench201 import Cell, index, open_table
from nngpt.generation.contract import make_reader
from nngpt.records import Candidate, Refusal, derive_seed
from nngpt.reports.analysis.full_training import first_epoch, rank_agreement, stratified_sample
from nngpt.reports.analysis.proxies import ProxyRanks, scores_of
from nngpt.reports.sheets import markdown_table
from nngpt.reports.tables.confirm import proxies_sheet
from nngpt.store import Store

SETTINGS = (
    *("evaluation.proxies=true", "evaluation.limit_s=600", "evaluation.workers=1"),
    *("task.train_limit=64", "task.validation_limit=64", "task.max_parameters=null"),
)

Networks = Iterator[tuple[str, Candidate, float]]
"""Name, network, and accuracy that it reached."""


def main() -> None:
    """Measure the networks, write a row for each, and print the table."""
    given = parse()
    if given.database:
        settings, networks = from_run(given.database, given.networks, given.seed)
    else:
        settings = config.load("controls-cifar10", SETTINGS)
        networks = random_cells(given.networks, given.seed)
    rows = []
    with open_evaluator(settings, lambda _: None) as (_, executor):
        for name, candidate, accuracy in networks:
            outcome = executor.evaluate(candidate, derive_seed(given.seed, "proxies", name))
            row: dict[str, Any] = {"network": name, "accuracy": accuracy}
            if isinstance(outcome, Refusal):
                row["refused"] = f"{outcome.stage}: {outcome.reason}"
            else:
                row |= {**scores_of(outcome), "cpu_s": outcome.cpu_s}
            print(json.dumps(row), flush=True)
            rows.append(row)
            if given.out:
                row_files.append(given.out, row)
    print(markdown_table(proxies_sheet(ranks(rows, full=given.database is None))))


def from_run(database: Path, count: int, seed: int) -> tuple[Config, Networks]:
    """Return the settings for a run's networks, and a sample of those that it trained."""
    with Store.open(database, create=False) as store:
        run = store.runs()[0]
        attempts = store.attempts(run.id, with_code=True)
    sample = stratified_sample(attempts, 0, count, seed)
    networks = ((str(a.id), a.candidate, first_epoch(a)) for a in sample if a.candidate)
    return changed(completed(run.config), SETTINGS, "--set"), networks


def random_cells(count: int, seed: int) -> Networks:
    """Yield different random cells, with the mean accuracy of their recorded trainings."""
    settings = config.load("nasbench201")
    reader = make_reader(settings, data_source(settings))
    means = np.nanmean(open_table("nasbench201-cifar10").figures[:, :, 0], axis=1) / 100
    for numbers in random.Random(seed).sample(list(product(range(5), repeat=6)), count):
        cell = Cell.of(numbers)
        candidate = reader.read(f'"{cell.root}"')
        assert isinstance(candidate, Candidate), candidate
        yield cell.root, candidate, float(means[index(numbers)])


def ranks(rows: Sequence[dict[str, Any]], full: bool) -> list[ProxyRanks]:
    """Return the rank agreement of each score with the accuracies reached."""
    found = []
    for name in ("parameters", "FLOPs", "synflow", "jacob_cov", "grad_norm"):
        known = [row for row in rows if row.get(name) is not None]
        scores, reached = ([row[key] for row in known] for key in (name, "accuracy"))
        agreement = rank_agreement(scores, reached)
        found.append(ProxyRanks(name, None if full else agreement, agreement if full else None))
    return found


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--database", type=Path)
    parser.add_argument("--networks", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
