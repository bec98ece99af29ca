"""Compare a CIFAR-10 run with Table 3 of the closed-loop study, cycle by cycle.

    python benchmarks/table3.py RUN --folder runs

The paper's run: DeepSeek-Coder-7B, 22 cycles; `above` is the share of trained networks above the
threshold (40%), `unique` the models admitted per cycle. Only our figures have intervals. Cells of
cycles that our run does not have are empty.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from nngpt.generation.pairs import corpus_size
from nngpt.reports.sheets import Sheet, markdown_table
from nngpt.reports.text import accuracy_of, mean_of
from nngpt.statistics import percent_of
from nngpt.store import CycleSummary, Store

PAPER = {
    1: (44.0, 47.78, 28.06, 2.04, 1, 1698),
    5: (32.0, 49.13, 29.88, 6.82, 9, 1724),
    10: (53.8, 55.48, 37.70, 38.04, 18, 1785),
    15: (66.8, 58.60, 47.40, 80.70, 34, 1911),
    18: (59.1, 63.98, 50.99, 96.81, 38, 2025),
    22: (41.8, 57.62, 49.48, 92.86, 30, 2153),
}
"""Valid %, best %, mean %, above 40% %, unique models, training pairs (Table 3)."""

COLUMNS = (
    ">cycle",
    ">valid, paper",
    "valid",
    ">best, paper",
    "best",
    ">mean, paper",
    "mean",
    ">above, paper",
    "above the threshold",
    ">unique, paper",
    ">admitted",
    ">pairs, paper",
    ">pairs",
)


def row(cycle: int, found: CycleSummary | None, pairs: int, images: int) -> tuple[str, ...]:
    """Return a row of the paper's cells, if it has this cycle, beside ours."""
    valid, best, mean, above, unique, corpus = PAPER.get(cycle, (None,) * 6)
    ours = ("–",) * 6
    if found is not None:
        ours = (
            percent_of(found.valid, found.generated),
            accuracy_of(max(found.accuracies), images) if found.accuracies else "–",
            mean_of(found.accuracies),
            percent_of(found.above, found.valid),
            str(found.admitted),
            str(pairs),
        )
    paper = [
        "–" if value is None else f"{value:g}{unit}"
        for value, unit in ((valid, "%"), (best, "%"), (mean, "%"), (above, "%"))
    ]
    whole = ["–" if value is None else str(value) for value in (unique, corpus)]
    both = zip([*paper, *whole], ours, strict=True)
    return (str(cycle), *(cell for pair in both for cell in pair))


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", help="number or name of the run")
    parser.add_argument(
        "--folder", type=Path, default=Path("runs"), help="folder of the runs' database"
    )
    given = parser.parse_args()
    with Store.open(given.folder / "nngpt.db", create=False) as store:
        run = store.run(given.run)
        summaries = {s.cycle: s for s in store.summary(run.id)}
        learning = run.config.get("learning", {})
        corpus = learning.get("corpus")
        given_pairs = corpus_size(corpus and Path(corpus), learning.get("corpus_limit"))
        judged = [a.evaluation for a in store.attempts(run.id) if a.evaluation]
    images = max((e.epochs[-1].total for e in judged), default=0)
    cycles = sorted({*PAPER, *(c for c in summaries if c in (1, max(summaries)))})
    rows = []
    for cycle in cycles:
        before = sum(s.admitted for c, s in summaries.items() if c < cycle)
        rows.append(row(cycle, summaries.get(cycle), given_pairs + before, images))
    note = f"Ours: run {run.id}, {run.name}, {len(summaries)} cycles; 95% intervals."
    print(markdown_table(Sheet("Beside the paper's Table 3", COLUMNS, tuple(rows), note)))


if __name__ == "__main__":
    main()
