"""`nngpt evaluate`: train networks from files under the protocol of a configuration."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from nngpt.cli.inputs import load_config
from nngpt.cli.options import AsJson, Overrides, Sandbox, Seed
from nngpt.cli.output import logger, print_json


def evaluate(
    files: Annotated[list[Path], typer.Argument(help="Python files with one network each.")],
    config: Annotated[
        str, typer.Option(help="Configuration that supplies the task and protocol.")
    ] = "smoke-mnist",
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    seed: Seed = None,
    sandbox: Sandbox = None,
    as_json: AsJson = False,
) -> None:
    """Train networks from files as a cycle does; exit with 1 if one of them is refused."""
    from nngpt.cycle.evaluator import evaluate_files
    from nngpt.records import Refusal
    from nngpt.reports.attempts import outcome_line

    settings = load_config(config, ["prompt.template=full", *overrides], seed=seed, sandbox=sandbox)
    log = logger(as_json)
    outcomes = evaluate_files(
        settings, files, log, lambda file, outcome: log(f"{file}: {outcome_line(outcome)}")
    )
    if as_json:
        print_json([{"file": str(file), **asdict(outcome)} for file, outcome in outcomes])
    if any(isinstance(outcome, Refusal) for _, outcome in outcomes):
        raise typer.Exit(1)
