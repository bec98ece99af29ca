"""Print Tables 3 to 7 of the closed-loop paper with our results beside the paper's cells.

    python benchmarks/papers_tables.py                                        # all of them
    python benchmarks/papers_tables.py 3 --run cifar10-gpu --folder out/runs
    python benchmarks/papers_tables.py 7 --grid ablation-mnist --set cycles=3

Without `--run` and `--grid`, each table shows what there is of its own runs and grid (`TABLES`);
where there is nothing, the paper's cells stand alone above the commands that would make ours.
`--folder` and `--set` are those with which a grid was run.

Shares, as in the paper: valid counts copies of networks that train, `above` is of trained networks.
Best is of the training that counts, nngpt's own where a run trains admitted networks again.
Intervals of ours are over networks (Table 7's valid share: over cycles), not over seeds; those are
in `nngpt experiment compare`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from nngpt.cycle.experiment import cells, load_grid, started_runs
from nngpt.errors import UserError
from nngpt.files import DATABASE
from nngpt.novelty.shingles import near_duplicate
from nngpt.records import Arm, State
from nngpt.reports.analysis.study import Study, read_setting, read_study
from nngpt.reports.analysis.trajectory import CyclePoint, valid_over_cycles
from nngpt.reports.sheets import Sheet, markdown_table
from nngpt.reports.text import accuracy, counted, percent, plural
from nngpt.statistics import Estimate, mean, share
from nngpt.store import Store

PAPER = "paper"
Row = tuple[str, ...]
Ours = Mapping[str, Sequence[Study]]
"""Our runs by arm; each run given with `--run` is an arm."""

CYCLES = (">cycle", "whose", ">valid", ">best", ">mean", ">above", ">unique", ">pairs")
DATASETS = ("data set", "whose", ">threshold", ">cycle", ">valid", ">mean", ">above")
METHODS = ("method", "whose", ">valid", ">mean", ">above", ">novel")

CIFAR10 = {
    1: "44.0% 47.78% 28.06% 2.04% 1 1698",
    5: "32.0% 49.13% 29.88% 6.82% 9 1724",
    10: "53.8% 55.48% 37.70% 38.04% 18 1785",
    15: "66.8% 58.60% 47.40% 80.70% 34 1911",
    18: "59.1% 63.98% 50.99% 96.81% 38 2025",
    22: "41.8% 57.62% 49.48% 92.86% 30 2153",
}
"""Valid, best, mean, above the threshold, unique models, training pairs, by cycle."""

CIFAR100 = {
    1: "42.0% 20.0% 9.0% 1.5% 1 1698",
    5: "29.3% 21.5% 10.2% 3.0% 6 1708",
    10: "50.0% 25.8% 14.6% 16.0% 14 1748",
    15: "63.5% 29.5% 18.8% 52.0% 26 1832",
    18: "56.7% 32.5% 21.2% 67.0% 30 1906",
    22: "46.2% 31.0% 20.5% 63.0% 24 2038",
}
SVHN = {
    1: "46.0% 73.0% 51.0% 18.0% 2 1698",
    5: "34.7% 74.5% 53.0% 24.0% 8 1718",
    10: "57.7% 79.5% 62.0% 54.0% 18 1778",
    15: "69.2% 83.0% 69.0% 70.0% 33 1890",
    18: "61.5% 84.5% 71.5% 79.0% 32 1965",
    22: "48.1% 83.5% 70.5% 77.0% 28 2110",
}
CROSS_DATASETS = {
    "cifar10": ("40% 1 44.0% 28.06% 2.04%", "40% 22 41.8% 49.48% 92.86%"),
    "cifar100": ("20% 1 42.0% 9.0% 1.5%", "20% 22 46.2% 20.5% 63.0%"),
    "svhn": ("70% 1 46.0% 51.0% 18.0%", "70% 22 48.1% 70.5% 77.0%"),
}
ABLATIONS = {
    "full": "50.6% 42.3% 51.1% 455",
    "no-novelty": "52.0% 42.0% 50.0% 220",
    "no-threshold": "51.0% 38.5% 34.0% 470",
    "no-iteration": "44.0% 28.06% 4.55% 1",
}


@dataclass(frozen=True)
class Table:
    """One table of the paper.

    Attributes:
        rows: returns its rows, the paper's and ours.
        runs: names of the runs, and `grid` of the experiment, that would fill it.
    """

    title: str
    columns: Row
    rows: Callable[[Ours], Iterable[Row]]
    runs: tuple[str, ...] = ()
    grid: str = ""

    @property
    def commands(self) -> list[str]:
        """The commands that make our side."""
        found = [f"nngpt cycle run {run}" for run in self.runs]
        return [*found, f"nngpt experiment run {self.grid}"] if self.grid else found


def by_cycle(paper: Mapping[int, str]) -> Callable[[Ours], Iterable[Row]]:
    """Return a function that makes a table's rows by cycle: the paper's, and one for each run."""

    def rows(ours: Ours) -> Iterator[Row]:
        runs = [run for arm in ours.values() for run in arm if run.loop]
        for cycle in sorted({*paper, *(run.loop[-1].cycle for run in runs)}):
            if cycle in paper:
                yield (str(cycle), PAPER, *paper[cycle].split())
            for run in runs:
                for before, point in pairwise((None, *run.loop)):
                    if point is not None and point.cycle == cycle:
                        pairs = before.corpus if before else run.initial
                        valid, average, above = pooled([point])
                        best = (accuracy(point.best), average, above)
                        yield (
                            *(str(cycle), run.run.name, valid, *best),
                            *(str(point.admitted), str(pairs)),
                        )

    return rows


def by_dataset(ours: Ours) -> Iterator[Row]:
    """Return Table 5's rows: each data set, in the first cycle and the last that all runs have."""
    for dataset, cells_of_paper in CROSS_DATASETS.items():
        yield from ((dataset, PAPER, *cells.split()) for cells in cells_of_paper)
    for arm, runs in ours.items():
        setting = runs[0].setting
        for cycle in sorted({1, min(run.cycles for run in runs)}):
            points = [point for run in runs for point in run.loop if point.cycle == cycle]
            head = (setting.dataset, arm, f"{setting.threshold:.0%}", str(cycle))
            yield (*head, *pooled(points))


def by_method(ours: Ours) -> Iterator[Row]:
    """Return Table 7's rows: each ablation over all cycles and runs; novel networks of each run."""
    for arm in dict.fromkeys((*ABLATIONS, *ours)):
        if arm in ABLATIONS:
            yield (arm, PAPER, *ABLATIONS[arm].split())
        if runs := ours.get(arm, ()):
            points = [point for run in runs for point in run.loop]
            _, average, above = pooled(points)
            found = ", ".join(str(novel(run)) for run in runs)
            valid = percent(valid_over_cycles(points)[1], 1)
            yield (arm, f"ours, {plural(len(runs), 'run')}", valid, average, above, found)


def pooled(points: Sequence[CyclePoint]) -> tuple[str, str, str]:
    """Return the valid share, the mean accuracy and the share above the threshold, as text."""
    return (
        counted(total(point.valid_or_copy for point in points)),
        accuracy(mean([value for point in points for value in point.accuracies])),
        counted(total(point.above_trained for point in points)),
    )


def total(shares: Iterable[Estimate | None]) -> Estimate | None:
    """Return the share of all hits of some shares in all of their counts."""
    found = [one for one in shares if one is not None]
    return share(sum(one.hits or 0 for one in found), sum(one.count for one in found))


def novel(run: Study) -> int:
    """Return the number of networks that a run admitted and that are no near-duplicates."""
    return sum(
        a.state is State.ADMITTED
        and a.novelty is not None
        and not near_duplicate(a.novelty.jaccard, run.setting.likeness)
        for a in run.of(Arm.LOOP)
    )


TABLES = {
    3: Table("CIFAR-10", CYCLES, by_cycle(CIFAR10), ("paper-cifar10",), "controls-cifar10"),
    4: Table("CIFAR-100", CYCLES, by_cycle(CIFAR100), ("paper-cifar100",)),
    5: Table(
        "three data sets",
        DATASETS,
        by_dataset,
        ("paper-cifar10", "paper-cifar100", "paper-svhn"),
        "cross-datasets",
    ),
    6: Table("SVHN", CYCLES, by_cycle(SVHN), ("paper-svhn",)),
    7: Table("ablations", METHODS, by_method, grid="ablation-cifar10"),
}


def of_runs(names: Iterable[str], folder: Path, wanted: bool) -> Iterator[tuple[str, Study]]:
    """Read the runs of a folder; those that are not there are an error only if they are `wanted`.

    Raises: UserError if a wanted run is not there.
    """
    if not wanted and not (folder / DATABASE).exists():
        return
    with Store.open(folder / DATABASE, create=False) as store:
        for name in names:
            run = store.run(name) if wanted else store.current_run(name)
            if run is not None:
                yield run.name, read_study(store, run, read_setting(run))


def of_grid(name: str, overrides: Sequence[str]) -> Iterator[tuple[str, Study]]:
    """Read the runs of an experiment that have begun, with their arms. Raises: UserError."""
    grid, _ = load_grid(name)
    for started in started_runs(cells(grid, tuple(overrides))):
        found = read_study(started.store, started.run, read_setting(started.run))
        yield started.arm, found


def sheet(number: int, given: argparse.Namespace) -> Sheet:
    """Return one of the paper's tables with what there is of ours. Raises: UserError."""
    table, ours = TABLES[number], dict[str, list[Study]]()
    wanted = bool(given.run or given.grid)
    found = list(
        of_runs(given.run or ([] if wanted else table.runs), given.folder, bool(given.run))
    )
    grid = given.grid if wanted else table.grid
    if grid:
        found += of_grid(grid, [f"folder={given.folder}", *given.set])
    for arm, run in found:
        if run.loop:
            ours.setdefault(arm, []).append(run)
    return Sheet(
        f"Table {number}: {table.title}",
        table.columns,
        tuple(table.rows(ours)),
        "  \n".join(map(note, [run for arm in ours.values() for run in arm]))
        or f"Ours: nothing in {given.folder}. Start: {', or '.join(table.commands)}",
    )


def note(run: Study) -> str:
    """Return a line on what a run's figures are of."""
    valid = percent(valid_over_cycles(run.loop)[1], 1)
    threshold = f"threshold {run.setting.threshold:.0%}"
    cycles = plural(len(run.loop), "cycle")
    return f"{run.run.name}: {run.setting.dataset}, {threshold}, {cycles}; valid over them {valid}."


def main() -> None:
    """Print the tables as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tables", type=int, nargs="*", help="3 to 7; default: all")
    parser.add_argument(
        "--run", action="append", default=[], help="name or number of a run, repeatable"
    )
    parser.add_argument("--grid", help="name or file of an experiment")
    parser.add_argument(
        "--folder", type=Path, default=Path("runs"), help="folder of the runs' database"
    )
    parser.add_argument(
        "--set", action="append", default=[], help="a setting with which the grid was run"
    )
    given = parser.parse_args()
    if unknown := sorted({*given.tables} - {*TABLES}):
        parser.error(f"there is no table {unknown[0]}; known: 3 to 7")
    try:
        for number in sorted(given.tables or TABLES):
            print(markdown_table(sheet(number, given)))
    except UserError as error:
        raise SystemExit(f"papers_tables.py: {error.line()}") from None


if __name__ == "__main__":
    main()
