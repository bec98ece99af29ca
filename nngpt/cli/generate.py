"""`nngpt generate`: write networks with the LLM, without training."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from nngpt.cli.inputs import load_config, make_folder
from nngpt.cli.networks import print_refusal
from nngpt.cli.options import AsJson, Overrides, Seed
from nngpt.cli.output import logger, print_json
from nngpt.cli.stopping import stoppable

if TYPE_CHECKING:
    from nngpt.cycle.answers import WrittenNetwork

ANSWERS = "answers.jsonl"
"""File in --out with all answers, from which the same command resumes."""


def generate(
    config: Annotated[
        str, Argument(help="YAML file, or name of a shipped configuration.", metavar="CONFIG")
    ] = "smoke-mnist",
    count: Annotated[int, Option("--count", "-n", help="Number of networks to write.", min=1)] = 4,
    out: Annotated[
        Path | None,
        Option(help="Folder for the valid networks and all answers; the same command resumes."),
    ] = None,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Write networks with the LLM and check them against the contract, without training."""
    from nngpt.cycle.answers import AnswerFile, generate_answers
    from nngpt.records import Candidate
    from nngpt.reports.text import block
    from nngpt.statistics import percent_of

    settings = load_config(config, overrides, seed=seed)
    log = logger()
    if out is not None:
        make_folder(out, "--out")

    def report(number: int, written: WrittenNetwork) -> None:
        outcome = written[1]
        if not isinstance(outcome, Candidate):
            print_refusal(f"network {number} ", outcome, log)
        elif out is not None:
            file = out / f"{outcome.content_hash}.py"
            file.write_text(outcome.code, encoding="utf-8")
            log(f"network {number}: {file}")
        elif not as_json:
            code = block(outcome.code) if sys.stdout.isatty() else outcome.code
            print(f"# network {number}\n{code}", flush=True)

    with stoppable("Stopped. The same command resumes." if out else "Stopped."):
        kept = None if out is None else AnswerFile(out / ANSWERS, settings)
        mode, answers = generate_answers(settings, count, log, report, kept)
    if as_json:
        print_json([{"completion": asdict(c), "outcome": asdict(o)} for c, o in answers])
    valid = [outcome for _, outcome in answers if isinstance(outcome, Candidate)]
    constrained = ", settings constrained" if settings.sampling.constrain else ""
    share = percent_of(len(valid), count)
    log(f"fit the contract in {mode} mode{constrained}: {share} (not trained)")
