"""`nngpt evaluate`: train given networks without a run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from nngpt.cli.inputs import load_config
from nngpt.cli.options import AsJson, ClassName, Init, Overrides, Sandbox, Seed
from nngpt.cli.output import logger, print_json

if TYPE_CHECKING:
    from nngpt.protocols import Log
    from nngpt.records import Evaluation, Refusal


def evaluate(
    files: Annotated[list[Path], Argument(help="Python files with one network each.")],
    config: Annotated[
        str, Option(help="Configuration that supplies data set, hyperparameters and limits.")
    ] = "smoke-mnist",
    class_name: ClassName = None,
    init: Init = None,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    seed: Seed = None,
    sandbox: Sandbox = None,
    as_json: AsJson = False,
) -> None:
    """Train networks from files as a cycle does; exit with 1 if one of them is refused.

    A file holds a network in LEMUR's contract (docs/contract.md), or an ordinary nn.Module, which
    nngpt's own loop trains.
    """
    from nngpt.cycle.networks import evaluate_networks
    from nngpt.generation.contract.network_file import read_network
    from nngpt.records import Refusal
    from nngpt.reports.attempts import outcome_line

    settings = load_config(config, ["prompt.template=full", *overrides], seed=seed, sandbox=sandbox)
    log = logger(as_json)

    def report(file: str, outcome: Evaluation | Refusal) -> None:
        if isinstance(outcome, Refusal):
            print_refusal(f"{file}: ", outcome, log)
        else:
            log(f"{file}: {outcome_line(outcome)}")

    networks = [(str(file), read_network(file, class_name, init)) for file in files]
    outcomes = evaluate_networks(settings, networks, log, report)
    if as_json:
        print_json([{"file": file, **asdict(outcome)} for file, outcome in outcomes])
    if any(isinstance(outcome, Refusal) for _, outcome in outcomes):
        raise typer.Exit(1)


def print_refusal(beginning: str, refusal: Refusal, log: Log) -> None:
    """Print a refused network's stage and reason, and below them the rest of its details."""
    from nngpt.reports.attempts import outcome_line
    from nngpt.reports.text import block

    log(f"{beginning}{outcome_line(refusal)}")
    for line in block(refusal.detail).splitlines():
        if line not in refusal.reason:
            log(f"    {line}")
