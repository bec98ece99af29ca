"""`nngpt generate` and `nngpt evaluate`: write networks, and train given ones, without a run."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from nngpt.cli.inputs import load_config, make_folder
from nngpt.cli.options import AsJson, ClassName, Init, Overrides, Sandbox, Seed
from nngpt.cli.output import logger, print_json

if TYPE_CHECKING:
    from nngpt.protocols import Log
    from nngpt.records import Evaluation, Refusal


def generate(
    config: Annotated[
        str, Argument(help="YAML file, or name of a shipped configuration.", metavar="CONFIG")
    ] = "smoke-mnist",
    count: Annotated[int, Option("--count", "-n", help="Number of networks to write.", min=1)] = 4,
    out: Annotated[Path | None, Option(help="Write the valid networks to this folder.")] = None,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Write networks with the LLM and check them against the contract, without training."""
    from nngpt.cycle.networks import generate_answers
    from nngpt.records import Candidate
    from nngpt.reports.text import block
    from nngpt.statistics import percent_of

    settings = load_config(config, overrides, seed=seed)
    log = logger()
    if out is not None:
        make_folder(out, "--out")
    mode, answers = generate_answers(settings, count, log)
    if as_json:
        print_json([{"completion": asdict(c), "outcome": asdict(o)} for c, o in answers])
    for number, (_, outcome) in enumerate(answers, 1):
        if not isinstance(outcome, Candidate):
            _print_refusal(f"network {number} ", outcome, log)
        elif out is not None:
            file = out / f"{outcome.content_hash}.py"
            file.write_text(outcome.code, encoding="utf-8")
            log(f"network {number}: {file}")
        elif not as_json:
            code = block(outcome.code) if sys.stdout.isatty() else outcome.code
            typer.echo(f"# network {number}\n{code}")
    valid = [outcome for _, outcome in answers if isinstance(outcome, Candidate)]
    constrained = ", settings constrained" if settings.sampling.constrain else ""
    share = percent_of(len(valid), count)
    log(f"fit the contract in {mode} mode{constrained}: {share} (not trained)")


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
            _print_refusal(f"{file}: ", outcome, log)
        else:
            log(f"{file}: {outcome_line(outcome)}")

    networks = [(str(file), read_network(file, class_name, init)) for file in files]
    outcomes = evaluate_networks(settings, networks, log, report)
    if as_json:
        print_json([{"file": file, **asdict(outcome)} for file, outcome in outcomes])
    if any(isinstance(outcome, Refusal) for _, outcome in outcomes):
        raise typer.Exit(1)


def _print_refusal(beginning: str, refusal: Refusal, log: Log) -> None:
    """Print a refused network's stage and reason, and below them the rest of its details."""
    from nngpt.reports.attempts import outcome_line
    from nngpt.reports.text import block

    log(f"{beginning}{outcome_line(refusal)}")
    for line in block(refusal.detail).splitlines():
        if line not in refusal.reason:
            log(f"    {line}")
