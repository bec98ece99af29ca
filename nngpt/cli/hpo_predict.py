"""`nngpt hpo predict`: hyperparameters for one network, proposed by an HPO engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nngpt import plugins
from nngpt.cli.inputs import load_config
from nngpt.cli.options import AsJson, DataSet, NetworkFile, Overrides, Sandbox, Seed
from nngpt.cli.output import logger, print_json
from nngpt.cli.stopping import stoppable
from nngpt.errors import UserError

if TYPE_CHECKING:
    from nngpt.config import Config
    from nngpt.prediction.hpo.proposal import HPOTask, Proposal, Train
    from nngpt.records import Evaluation, Refusal

KIND = "HPO engine"


def predict(
    file: NetworkFile,
    dataset: DataSet,
    epochs: Annotated[int, typer.Option(min=1, help="Length of the training in epochs.")] = 1,
    top: Annotated[int, typer.Option(min=1, max=20, help="Number of different proposals.")] = 1,
    engine: Annotated[
        str,
        typer.Option(
            help=f"HPO engine: {', '.join(plugins.names(KIND))}, or the dotted path of a module."
        ),
    ] = "surrogate",
    target_accuracy: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Accuracy wanted, 0…1: llm aims for it, surrogate tells if it is out of reach.",
        ),
    ] = None,
    max_batch: Annotated[
        int, typer.Option(min=1, max=4096, help="Largest batch size to propose.")
    ] = 256,
    max_side: Annotated[
        int | None, typer.Option(min=8, help="Largest image side to propose, in pixels.")
    ] = None,
    surrogate: Annotated[
        Path | None, typer.Option(help="File of the surrogate (default: the one in the cache).")
    ] = None,
    adapter: Annotated[
        Path | None,
        typer.Option(help="For --engine llm: folder of an adapter from nngpt hpo tune."),
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(min=1, help="For --engine optuna: number of trainings (default: 8)."),
    ] = None,
    run: Annotated[
        bool, typer.Option("--run", help="Train the network with the first proposal.")
    ] = False,
    config: Annotated[
        str | None,
        typer.Option(help="Configuration of the LLM, images and limits (default: nngpt's own)."),
    ] = None,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    seed: Seed = None,
    sandbox: Sandbox = None,
    as_json: AsJson = False,
) -> None:
    """Propose a network's hyperparameters, batch size and transform, as YAML."""
    from nngpt.prediction.hpo.proposal import EngineContext, HPOTask, SearchSpace
    from nngpt.prediction.network_files import read_tunable_network
    from nngpt.prediction.places import IMAGE_CLASSIFICATION, Place, lemur_name

    flags = {"surrogate": surrogate, "adapter": adapter, "budget": budget}
    known = getattr(plugins.options_model(KIND, engine), "model_fields", ())
    options = {name: flag for name, flag in flags.items() if flag is not None and name in known}
    code, supported = read_tunable_network(file)
    given = {"seed": seed, "sandbox": sandbox, "evaluation.epochs": epochs}
    load = partial(load_config, config, ["prompt.template=full", *overrides], **given)
    settings = load()
    space = SearchSpace.of(supported, max_batch, max_side)
    place = Place(IMAGE_CLASSIFICATION, lemur_name(dataset), "acc")
    task = HPOTask(code, space, place, epochs, target_accuracy, settings.seed)
    training = partial(_training, partial(load, **{"task.dataset": dataset}))
    with stoppable("Stopped."):
        context = EngineContext(settings, partial(training, "search"))
        with closing(plugins.create(KIND, engine, context, options=options)) as opened:
            proposals = opened.propose(task, top)
        if run:
            with training("run", task) as train:
                first = replace(proposals[0], trained=train(proposals[0]))
            proposals = [first, *proposals[1:]]
    if as_json:
        facts = [asdict(proposal) for proposal in proposals]
        print_json([{k: v for k, v in one.items() if (k, v) != ("trained", None)} for one in facts])
    else:
        _print(proposals, task)


@contextmanager
def _training(load: Callable[[], Config], purpose: str, task: HPOTask) -> Iterator[Train]:
    """Open a function that trains the network of a task in the sandbox, always with one seed.

    The purpose is "search", which prints a line for each training, or "run".
    """
    from nngpt.cycle.parts import open_evaluator
    from nngpt.generation.contract.answers import Answer, write
    from nngpt.records import Candidate, content_hash, derive_seed
    from nngpt.reports.attempts import outcome_line

    log = logger()
    seed = derive_seed(task.seed, purpose, content_hash(task.code))
    with open_evaluator(load(), log) as (reader, executor):
        candidate = reader.read(write(Answer(task.code, task.space.fixed()[0])))
        if not isinstance(candidate, Candidate):
            raise UserError(f"refused at {candidate.stage}: {candidate.reason}")

        def train(proposal: Proposal) -> Evaluation | Refusal:
            outcome = executor.evaluate(proposal.applied(candidate), seed)
            if purpose == "search":
                log(f"{proposal.settings}: {outcome_line(outcome)}")
            return outcome

        yield train


def _print(proposals: Sequence[Proposal], task: HPOTask) -> None:
    from yaml import safe_dump

    from nngpt.reports.attempts import outcome_line

    for number, proposal in enumerate(proposals, start=1):
        typer.echo(f"# {number}, by {proposal.engine}{_expected(proposal, task.target)}")
        if proposal.trained is not None:
            typer.echo(f"# trained: {outcome_line(proposal.trained)}")
        evaluation = {"epochs": task.epochs, **proposal.settings}
        typer.echo(safe_dump({"evaluation": evaluation}, sort_keys=False).rstrip())
    for note in dict.fromkeys(note for proposal in proposals for note in proposal.notes):
        typer.echo(f"note: {note}", err=True)


def _expected(proposal: Proposal, target: float | None) -> str:
    """Return the expected accuracy as the end of a line; "" if unknown."""
    from nngpt.prediction.targets import epoch_count

    if proposal.accuracy is None:
        return ""
    value, low, high = proposal.accuracy
    text = f": {value:.1%} expected after {epoch_count(proposal.epochs)}"
    text += f", 90% interval {low:.1%} to {high:.1%}"
    if target is not None and high < target:
        text += f"; {target:.1%} is out of reach"
    return text
