"""Commands that make the files that travel in the package: `scripts/lemur-data --help`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lemur_data.candidates import read_candidates
from lemur_data.curves import measure, read_curves
from lemur_data.portfolio import best, measured, write_portfolio
from nngpt.prediction import predictor_training, targets
from nngpt.prediction.hpo import surrogate
from nngpt.prediction.runs import read_history

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
Mirror = Annotated[Path, typer.Option("--folder", help="Folder of the LEMUR mirror.")]
PORTFOLIO = Path(surrogate.__file__).parents[2] / "search" / "portfolio.jsonl.gz"
SHIPPED = Path(surrogate.__file__).parent.parent / "shipped"


@app.command()
def predictor(folder: Mirror, out: Path = SHIPPED / "predictor.zip") -> None:
    """Train the predictor that travels in the package."""
    predictor_training.train(read_history(folder, targets.EPOCHS), out, print)


@app.command()
def hpo(folder: Mirror, out: Path = SHIPPED / "hpo.zip") -> None:
    """Train the surrogate that travels in the package."""
    surrogate.train(read_history(folder), out, print)


@app.command()
def portfolio(
    folder: Mirror,
    work: Annotated[
        Path, typer.Option(help="Folder of the measurements; the same command resumes.")
    ],
    train: Annotated[
        bool, typer.Option(help="Measure what is not measured yet, or only write.")
    ] = True,
    out: Path = PORTFOLIO,
) -> None:
    """Measure networks of LEMUR and our own, and write the portfolio of nngpt search."""
    known = read_candidates(folder, work / "classifiers.jsonl")
    print(f"{len(known)} networks")
    networks = measured(known, measure(known, work) if train else read_curves(work))
    chosen = best(networks)
    write_portfolio(chosen, out)
    print(f"{out}: {len(chosen)} of {len(networks)} networks, {out.stat().st_size:,} bytes")


if __name__ == "__main__":
    app()
