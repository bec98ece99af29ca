"""`nngpt learn`: the LLM learns, outside a run. One module per command, `learn_….py`."""

from __future__ import annotations

import typer

from nngpt.cli import learn_compare, learn_prefer, learn_rl, learn_sft

app = typer.Typer(no_args_is_help=True, help="Tune the LLM, and measure what it learned.")


@app.callback()
def _group() -> None:
    """Keep the group a group, however many commands it has."""


app.command("sft")(learn_sft.sft)
app.command("compare")(learn_compare.compare)
app.command("rl")(learn_rl.rl)
app.command("prefer")(learn_prefer.prefer)
