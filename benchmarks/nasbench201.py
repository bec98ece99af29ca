"""Compare policies on NAS-Bench-201 under equal numbers of look-ups, one noisy training each.

.venv/bin/python benchmarks/nasbench201.py run --out rows.jsonl
.venv/bin/python benchmarks/nasbench201.py run --out rows.jsonl --policies loop --seeds 1 2 3
.venv/bin/python benchmarks/nasbench201.py report rows.jsonl --figure regret.png

loop             `nngpt cycle run nasbench201`
no-tuning        the same, but the LLM is never tuned (`learning.enabled: false`)
no-choice        the same as loop, but no process chooses: the first new answers are tried
frozen           neither
mutate           ten random cells, then only the change that replaces repeats in the loop
random           random cells
evolution        regularised evolution, population 20, sample 5
evolution-10-3   the same, population 10, sample 3
local            local search with restarts
tpe              Optuna's multivariate TPE
counts           operations as often as the best quarter has them, in rounds of ten
counts-10        ten times as many are drawn, and chosen by the ratio to the other cells
process          a Gaussian process over operations chooses, as `choose_by: embedding`
reading          the same over what the embedded LLM makes of a cell's text; it writes none
novel-…          random, evolution or tpe; repeats are replaced as in the loop

Each row is one (data set, seed, policy, settings) with the trace of its look-ups. Runs of the loop
are in folders beside the rows until their row is written, so that the same command resumes. `--set`
changes the settings of the first four, to choose recipes on CIFAR-10 with seeds from 100 on; no
table shows their rows unless asked. The protocol and the results are in docs/results/nasbench201.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import shutil
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from contestants import cells, regret, row_files
from contestants.provenance import commit, machine
from contestants.regret import LOOPS
from rich.console import Console

from nngpt import config
from nngpt.cycle.runner import run_loop
from nngpt.data.loading import data_source
from nngpt.data.nasbench201 import TABLES, Cell, index, key, open_table
from nngpt.records import RANDOM_CHANGE, Arm, canonical_json, derive_seed
from nngpt.reports.progress import ConsoleProgress
from nngpt.store import Store

LOOK_UPS = 100


def seeds_of(policy: str) -> range:
    """Return a policy's seeds, unless others are given: more where they are cheap."""
    return range(1, (20 if policy in (*LOOPS, "reading") else 100) + 1)


@dataclass(frozen=True)
class Job:
    """One row to make.

    Attributes:
        settings: overrides of the configuration, only to choose recipes.
    """

    table: str
    seed: int
    policy: str
    settings: tuple[str, ...] = ()


def main() -> None:
    """Run the command `run` or `report`."""
    given = parse()
    if given.command == "report":
        try:
            results = regret.Results.of(row_files.read(*given.files), given.choosing)
        except ValueError as error:
            raise SystemExit(f"{error}") from None
        row_files.show(regret, results, given.figure)
        return
    for job in wanted(given):
        row = made(job, given.out.parent)
        row_files.append(given.out, row)
        print(job, f"{row['cpu_s']:.0f} s", flush=True)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser, runs, reports = row_files.parsers(__doc__)
    runs.add_argument("--tables", nargs="+", choices=tuple(TABLES), default=tuple(TABLES))
    runs.add_argument("--seeds", type=int, nargs="+", help="default: each policy's own")
    known = (*LOOPS, *cells.POLICIES)
    runs.add_argument("--policies", nargs="+", choices=known, default=known)
    runs.add_argument("--set", nargs="+", default=[], help="overrides, to choose recipes")
    reports.add_argument("--choosing", action="store_true", help="seeds that chose recipes instead")
    given = parser.parse_args()
    if given.command == "run" and given.set:
        loops = set(given.policies) <= set(LOOPS)
        held_out = set(given.tables) != {"cifar10"}
        if min(given.seeds or [0]) < regret.CHOOSING or not loops or held_out:
            seeds = f"seeds from {regret.CHOOSING} on"
            parser.error(f"--set: {', '.join(LOOPS)}, {seeds}, only the table cifar10")
    return given


def wanted(given: argparse.Namespace) -> list[Job]:
    """Return the jobs without a row, by seed, so that seeds become complete one after another."""
    jobs = [
        Job(table, seed, policy, tuple(given.set))
        for policy in given.policies
        for seed in given.seeds or seeds_of(policy)
        for table in given.tables
    ]
    jobs.sort(key=lambda job: (job.policy in LOOPS, job.seed))
    rows = row_files.read(given.out)
    done = {Job(r["table"], r["seed"], r["policy"], tuple(r["settings"])) for r in rows}
    return [job for job in jobs if job not in done]


def made(job: Job, folder: Path) -> dict[str, Any]:
    """Make a row: look-ups as (cell's row in the table, observed percentage), in order.

    `random_changes` has the numbers, from 0, of the look-ups that are random changes of known
    cells.
    """
    source = data_source(config.load("nasbench201", [f"task.options.table={job.table}"]))
    source.prepare()
    began = time.process_time()
    search = looped(job, folder) if job.policy in LOOPS else searched(job)
    return {
        **asdict(job),
        "trace": [[index(cell), round(observed, 4)] for cell, observed in search.trace],
        "random_changes": search.random_changes,
        "configuration": configuration(job),
        "cpu_s": round(time.process_time() - began, 1),
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
        "commit": commit(),
        "machine": machine(),
    }


def configuration(job: Job) -> str:
    """Return a hash of all settings but seed and data set, "" for a search without an LLM."""
    if job.policy not in LOOPS:
        return ""
    settings = config.load("nasbench201", [*LOOPS[job.policy], *job.settings])
    return hashlib.sha256(canonical_json(config.identity_of(settings)).encode()).hexdigest()[:16]


def searched(job: Job) -> cells.Search:
    """Run a search without a language model."""
    chance = random.Random(f"{job.policy}/{job.table}/{job.seed}")
    search = cells.Search(open_table(key(job.table)), LOOK_UPS, chance)
    cells.POLICIES[job.policy](search)
    return search


def looped(job: Job, folder: Path) -> cells.Search:
    """Run or resume a run of nngpt until it has looked up enough cells."""
    own = folder / f".{job.policy}-{job.table}-{job.seed}-{derive_seed(*job.settings)}"
    overrides = [f"folder={own}", f"seed={job.seed}", f"task.options.table={job.table}"]
    overrides += [*LOOPS[job.policy], *job.settings]
    settings = config.load("nasbench201", overrides)
    least = -(-LOOK_UPS // settings.candidates.per_cycle)
    search = cells.Search(open_table(key(job.table)), LOOK_UPS, random.Random())
    for cycles in range(least, 3 * least):
        with ConsoleProgress(Console(quiet=True)) as progress:
            run_loop(settings.model_copy(update={"cycles": cycles}), progress)
        with Store.open(own / "nngpt.db") as store:
            found = store.attempts(1, with_code=True, arm=Arm.LOOP)
        looked_up = [a for a in found if a.candidate and a.evaluation][:LOOK_UPS]
        search.trace = [
            (Cell.model_validate_json(a.candidate.written).numbers, 100 * a.evaluation.accuracy)
            for a in looked_up
            if a.candidate and a.evaluation
        ]
        search.random_changes = [
            number for number, a in enumerate(looked_up) if a.completion.model == RANDOM_CHANGE
        ]
        if search.over:
            break
    shutil.rmtree(own)
    return search


if __name__ == "__main__":
    main()
