"""Measure what each lever of the loop does, on NAS-Bench-201, one change of a plain loop each.

.venv/bin/python benchmarks/levers.py run --out levers.jsonl
.venv/bin/python benchmarks/levers.py run --out levers.jsonl --levers plain memory --seeds 120 121
.venv/bin/python benchmarks/levers.py report levers.jsonl

The plain loop writes ten cells in each of ten cycles, changes those that are known, and learns the
best quarter so far. Rows are those of benchmarks/nasbench201.py (policy `loop`, table `cifar10`).
Seeds are 120 to 139, which chose nothing, the same for all levers. The protocol
and the results are in docs/results/levers.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from itertools import product

from contestants import levers, row_files
from nasbench201 import Job, made

SEEDS = range(120, 140)

PLAIN = (
    *("candidates.best_of=1", "candidates.mutations=0", "candidates.choose_by=likelihood"),
    "learning.learning_rate=0.001",
)
"""Settings of the plain loop, and of every other one unless its lever changes them."""

_QUANTILES = ("prompt.accuracy_quantiles=4", "learning.select=all")

LEVERS: Mapping[str, Sequence[str]] = {
    "plain": (),
    "no learning": ("learning.enabled=false",),
    "repeats crossed": ("candidates.repeats=crossover",),
    "learn all": ("learning.select=all",),
    "learn ≥ 90%": ("learning.select=all", "task.threshold=0.9"),
    "learn top 0.25 per cycle": ("learning.select=top 0.25 per cycle",),
    "learn front": ("learning.select=front",),
    "quantiles": _QUANTILES,
    "memory": ("prompt.memory=5",),
    "two parents": ("prompt.crossover=0.5", "prompt.parents={best: 1}"),
    "two parents, islands": (
        *("prompt.crossover=0.5", "prompt.parents={best: 1}"),
        *("prompt.islands=2", "llm.batch_size=5"),
    ),
    "dpo": ("learning.learner=dpo", "learning.options.learning_rate=0.0005"),
    "grpo": ("learning.learner=grpo", "learning.options.learning_rate=0.001"),
    "best of five by likelihood": (*_QUANTILES, "candidates.best_of=5"),
    "best of five by embedding": ("candidates.choose_by=embedding", "candidates.best_of=5"),
    "changes by embedding": ("candidates.choose_by=embedding", "candidates.mutations=10"),
}
"""Name of a lever → what it changes in the plain loop."""


def main() -> None:
    """Run the command `run` or `report`."""
    given = parse()
    if given.command == "report":
        print(levers.markdown(row_files.read(*given.files), names()))
        return
    rows = row_files.read(given.out)
    done = {(tuple(row["settings"]), row["seed"]) for row in rows}
    for seed, name in product(given.seeds, given.levers):
        job = Job("cifar10", seed, "loop", settings(name))
        if (job.settings, job.seed) not in done:
            row = made(job, given.out.parent)
            row_files.append(given.out, row)
            print(name, seed, f"{row['cpu_s']:.0f} s", flush=True)


def settings(lever: str) -> tuple[str, ...]:
    """Return all settings of a lever's rows."""
    return (*PLAIN, *LEVERS[lever])


def names() -> dict[tuple[str, ...], str]:
    """Return the levers' names by the settings of their rows; the plain loop's is the first."""
    return {settings(name): name for name in LEVERS}


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser, runs, _ = row_files.parsers(__doc__)
    runs.add_argument("--levers", nargs="+", choices=tuple(LEVERS), default=tuple(LEVERS))
    runs.add_argument("--seeds", type=int, nargs="+", choices=SEEDS, default=SEEDS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
