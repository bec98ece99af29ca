"""`nngpt evaluate`: train networks from files under the protocol of a configuration."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nngpt.cli.options import AsJson, Overrides, Sandbox, Seed, console, load_config, print_json
from nngpt.errors import UserError
from nngpt.records import Candidate, Evaluation, Refusal, content_hash, derive_seed

if TYPE_CHECKING:
    from nngpt.config import Config


def evaluate(
    files: Annotated[list[Path], typer.Argument(help="Python files with a network each.")],
    config: Annotated[str, typer.Option(help="Whose task and protocol.")] = "smoke-mnist",
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    seed: Seed = None,
    sandbox: Sandbox = None,
    as_json: AsJson = False,
) -> None:
    """Train given networks as a cycle would; exits with 1 if one of them is refused."""
    settings = load_config(config, ["prompt.template=full", *overrides], seed=seed, sandbox=sandbox)
    sources = [(file, _read(file)) for file in files]
    outcomes = _outcomes(settings, sources, as_json)
    if as_json:
        print_json([{"file": str(file), **asdict(outcome)} for file, outcome in outcomes])
    if any(isinstance(outcome, Refusal) for _, outcome in outcomes):
        raise typer.Exit(1)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot be read ({error})", where=str(file)) from None


def _outcomes(
    settings: Config, sources: list[tuple[Path, str]], quiet: bool
) -> list[tuple[Path, Evaluation | Refusal]]:
    from nngpt.cycle.parts import evaluator
    from nngpt.generation.contract.answers import Answer, write

    log = partial(console(stderr=quiet).print, markup=False, soft_wrap=True)
    results = []
    with evaluator(settings, log) as (reader, runner):
        for file, code in sources:
            read = reader.read(write(Answer(code, {})))
            seed = derive_seed(settings.seed, "train", content_hash(code))
            outcome = runner.evaluate(read, seed) if isinstance(read, Candidate) else read
            log(f"{file}: {outcome_line(outcome)}")
            results.append((file, outcome))
    return results


def outcome_line(outcome: Evaluation | Refusal) -> str:
    """What became of a network, in a line."""
    from nngpt.statistics import accuracy_of

    if isinstance(outcome, Refusal):
        return f"refused at {outcome.stage}: {outcome.reason}"
    curve = ", ".join(accuracy_of(e.accuracy, e.total) for e in outcome.epochs)
    return (
        f"accuracy {curve} after {len(outcome.epochs)} epoch(s) on {outcome.device}, "
        f"{outcome.claimed_parameters:,} parameters, {outcome.seconds:.1f} s"
    )
