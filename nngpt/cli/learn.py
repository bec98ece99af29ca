"""`nngpt learn`: tune the LLM outside a run. Each command has a module, `learn_….py`."""

from __future__ import annotations

import typer

from nngpt.cli import learn_compare, learn_prefer, learn_rl, learn_sft

app = typer.Typer(no_args_is_help=True, help="Tune the LLM, and compare tuned models.")


@app.callback()
def _group() -> None:
    """Make this a command group even if it has one command only."""


app.command("sft")(learn_sft.sft)
app.command("compare")(learn_compare.compare)
app.command("rl")(learn_rl.rl)
app.command("prefer")(learn_prefer.prefer)
