"""`nngpt hpo`: choose hyperparameters for a network; one module per command, `hpo_….py`."""

from __future__ import annotations

import typer

from nngpt.cli import hpo_bench, hpo_predict, hpo_train, hpo_tune

app = typer.Typer(no_args_is_help=True, help="Choose hyperparameters for a network.")

app.command("train")(hpo_train.train)
app.command("predict")(hpo_predict.predict)
app.command("tune")(hpo_tune.tune)
app.command("bench")(hpo_bench.bench)
