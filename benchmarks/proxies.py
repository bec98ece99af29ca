"""Rank a finished run's networks by zero-cost proxies, and compare with their first epochs.

.venv/bin/python benchmarks/proxies.py runs/nngpt.db --networks 40 --out rows.jsonl

The networks are a stratified sample of those that the run trained; their accuracies are the stored
ones. The sandbox computes the proxies before a training on a single batch, which is of no interest.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from contestants import row_files

from nngpt.config import changed, completed
from nngpt.cycle.parts import open_evaluator
from nngpt.records import Evaluation, Refusal, derive_seed
from nngpt.reports.analysis.full_training import first_epoch, stratified_sample
from nngpt.reports.analysis.proxies import proxy_ranks
from nngpt.reports.sheets import markdown_table
from nngpt.reports.tables.confirm import proxies_sheet
from nngpt.store import AttemptRecord, Store

SETTINGS = (
    *("evaluation.proxies=true", "evaluation.limit_s=600", "evaluation.workers=1"),
    *("task.train_limit=64", "task.validation_limit=64", "task.max_parameters=null"),
)


def main() -> None:
    """Measure the networks, write a row for each, and print the table."""
    given = parse()
    with Store.open(given.database, create=False) as store:
        run = store.runs()[0]
        attempts = store.attempts(run.id, with_code=True)
    settings = changed(completed(run.config), [*SETTINGS, *given.set], "--set")
    measured: list[AttemptRecord] = []
    with open_evaluator(settings, lambda _: None) as (_, executor):
        for attempt in stratified_sample(attempts, 0, given.networks, given.seed):
            assert attempt.candidate is not None and attempt.evaluation is not None
            seed = derive_seed(given.seed, "proxies", attempt.candidate.content_hash)
            outcome = executor.evaluate(attempt.candidate, seed)
            row: dict[str, Any] = {"attempt": attempt.id, "first_epoch": first_epoch(attempt)}
            if isinstance(outcome, Refusal):
                row["refused"] = f"{outcome.stage}: {outcome.reason}"
            else:
                known = with_proxies(attempt.evaluation, outcome)
                measured.append(replace(attempt, evaluation=known))
                row |= {"parameters": outcome.claimed_parameters, "flops": outcome.claimed_flops}
                row |= {**(outcome.claimed_proxies or {}), "cpu_s": outcome.cpu_s}
            print(json.dumps(row), flush=True)
            if given.out:
                row_files.append(given.out, row)
    print(markdown_table(proxies_sheet(proxy_ranks(measured, {}))))


def with_proxies(stored: Evaluation, again: Evaluation) -> Evaluation:
    """Return a stored evaluation with the proxies and sizes of another one."""
    names = ("claimed_parameters", "claimed_flops", "claimed_proxies")
    return replace(stored, **{name: getattr(again, name) for name in names})


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("database", type=Path)
    parser.add_argument("--networks", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", nargs="*", default=[])
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
