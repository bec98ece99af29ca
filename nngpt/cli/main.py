"""The command `nngpt`. No import here loads torch: each command imports its parts when it runs."""

from __future__ import annotations

import errno
import sys
import warnings
from typing import Annotated

import typer
from typer import Option

from nngpt import __version__
from nngpt.cli import (
    corpus,
    cycle,
    data,
    dedup,
    doctor,
    experiment,
    hpo,
    learn,
    lemur,
    models,
    networks,
    predictor,
    rag,
)
from nngpt.errors import NngptError

app = typer.Typer(
    name="nngpt",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="A code LLM designs PyTorch networks; nngpt checks, trains and judges them, and the "
    "LLM learns from what worked.",
)
app.add_typer(cycle.app, name="cycle")
app.add_typer(experiment.app, name="experiment")
app.command("generate")(networks.generate)
app.command("evaluate")(networks.evaluate)
app.add_typer(models.app, name="models")
app.add_typer(data.app, name="data")
app.add_typer(lemur.app, name="lemur")
app.command("dedup")(dedup.dedup)
app.add_typer(corpus.app, name="corpus")
app.add_typer(learn.app, name="learn")
app.add_typer(hpo.app, name="hpo")
app.add_typer(rag.app, name="rag")
app.add_typer(predictor.app, name="predictor")
app.command("predict")(predictor.predict)
app.command("doctor")(doctor.doctor)


_VERSION = "Show the version and exit."


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"nngpt {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, Option("--version", callback=_show_version, is_eager=True, help=_VERSION)
    ] = False,
) -> None:
    """Accept the options that stand before the command."""


def main() -> None:
    """Run the command line; print an error of nngpt as one line on stderr, without traceback."""
    # Deprecations inside libraries concern developers (tests turn them into errors), not users.
    warnings.simplefilter("ignore", FutureWarning)
    try:
        app()
    except NngptError as error:
        print(f"nngpt: {error.line()}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(f"nngpt: the disk is full ({error.filename}). Make room and repeat.", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
