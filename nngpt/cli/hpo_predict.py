"""`nngpt hpo predict`: settings for one network, by one of four engines."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nngpt.cli.evaluate import outcome_line
from nngpt.cli.hpo_llm import answering, base_of
from nngpt.cli.options import AsJson, Overrides, Sandbox, Seed, console, load_config, print_json
from nngpt.cli.stopping import stoppable
from nngpt.errors import UserError, nearest

if TYPE_CHECKING:
    from nngpt.config import Config
    from nngpt.prediction.hpo.choice import Choice, Space
    from nngpt.prediction.hpo.searching import Train, Tried
    from nngpt.prediction.places import Place
    from nngpt.records import Evaluation, Refusal

ENGINES = ("surrogate", "llm", "optuna", "default")
_FIRST = 3
"""So many of the surrogate's choices are what a search begins with."""


@dataclass(frozen=True)
class _Asked:
    """What the user gave."""

    code: str
    space: Space
    place: Place
    epochs: int
    top: int
    target: float | None
    surrogate: Path | None
    settings: Config
    quiet: bool


@dataclass(frozen=True)
class _Found:
    """A choice, and what became of a training in it, if there was one."""

    choice: Choice
    outcome: Evaluation | Refusal | None = None


def predict(
    file: Annotated[Path, typer.Argument(help="Python file with a network.", metavar="FILE")],
    dataset: Annotated[str, typer.Option(help="Name of the data set, as here or in LEMUR.")],
    epochs: Annotated[int, typer.Option(min=1, help="How long it will be trained.")] = 1,
    top: Annotated[int, typer.Option(min=1, max=20, help="So many different choices.")] = 1,
    engine: Annotated[str, typer.Option(help="One of: " + ", ".join(ENGINES))] = "surrogate",
    target_accuracy: Annotated[
        float | None, typer.Option(min=0, max=1, help="What is wanted; says if it is out of reach.")
    ] = None,
    max_batch: Annotated[
        int, typer.Option(min=1, max=4096, help="Images that memory takes at once.")
    ] = 256,
    max_side: Annotated[
        int | None, typer.Option(min=8, help="Largest side of an image in pixels.")
    ] = None,
    surrogate: Annotated[
        Path | None, typer.Option(help="The surrogate's file (default: in the cache).")
    ] = None,
    adapter: Annotated[
        Path | None, typer.Option(help="For llm: the folder of an adapter of: nngpt hpo tune")
    ] = None,
    budget: Annotated[int, typer.Option(min=1, help="For optuna: how many trainings.")] = 8,
    run: Annotated[bool, typer.Option("--run", help="Train the network with the choice.")] = False,
    config: Annotated[
        str | None, typer.Option(help="Whose LLM, images and limits (default: nngpt's own).")
    ] = None,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    seed: Seed = None,
    sandbox: Sandbox = None,
    as_json: AsJson = False,
) -> None:
    """Choose hyperparameters, batch size and transform; prints YAML for a configuration."""
    from nngpt.prediction.hpo.choice import Space
    from nngpt.prediction.places import IMAGE_CLASSIFICATION, Place, lemur_name

    if engine not in ENGINES:
        raise UserError(f"unknown engine {engine!r}", hint=nearest(engine, ENGINES))
    code, supported = read_network(file)
    given: dict[str, Any] = {"seed": seed, "sandbox": sandbox, "evaluation.epochs": epochs}
    if run or engine == "optuna":
        given["task.dataset"] = dataset
    given["llm.model"] = base_of(adapter)
    asked = _Asked(
        code,
        Space.of(supported, max_batch, max_side),
        Place(IMAGE_CLASSIFICATION, lemur_name(dataset), "acc"),
        epochs,
        top,
        target_accuracy,
        surrogate,
        load_config(config, ["prompt.template=full", *overrides], **given),
        as_json,
    )
    with stoppable("Stopped."):
        found = _choose(asked, engine, budget, adapter)
        if run:
            found = [_run(asked, found[0]), *found[1:]]
    if as_json:
        print_json([_as_json(one) for one in found])
    else:
        _print(found, asked)


def _choose(asked: _Asked, engine: str, budget: int, adapter: Path | None) -> list[_Found]:
    if engine == "optuna":
        return _search(asked, budget)
    if engine == "llm":
        return [_Found(choice) for choice in _ask_llm(asked, adapter)]
    if engine == "default":
        from nngpt.prediction.hpo.choosing import by_default

        return [_Found(by_default(asked.space, asked.epochs))]
    return [_Found(choice) for choice in _by_surrogate(asked, asked.space, asked.top)]


def _by_surrogate(asked: _Asked, space: Space, top: int) -> list[Choice]:
    from nngpt.prediction.hpo import choosing, learned

    file = learned.SurrogateFile(asked.surrogate or learned.default_path())
    return choosing.by_surrogate(file, asked.code, space, asked.place, asked.epochs, top)


def _ask_llm(asked: _Asked, adapter: Path | None) -> list[Choice]:
    from nngpt.prediction.hpo.asking import by_llm

    with answering(asked.settings, adapter) as llm:
        choices = by_llm(
            llm,
            asked.code,
            asked.space,
            asked.place,
            asked.epochs,
            asked.top,
            asked.target,
            asked.settings.seed,
        )
    if adapter is None:
        note = "this LLM was not tuned for the question: nngpt hpo tune"
        return [replace(choice, notes=(*choice.notes, note)) for choice in choices]
    return choices


def _search(asked: _Asked, budget: int) -> list[_Found]:
    from nngpt.prediction.hpo import learned, searching

    note: tuple[str, ...] = ()
    proposed: list[Choice] = []
    if asked.surrogate or learned.default_path().exists():
        own_size = replace(asked.space, max_side=asked.space.max_side or 0)
        proposed = _by_surrogate(asked, own_size, min(_FIRST, budget))
    else:
        note = ("there is no surrogate to begin with (nngpt hpo train)",)
    log = partial(console(stderr=True).print, markup=False, soft_wrap=True)

    def watch(tried: Tried) -> None:
        log(f"{tried.choice.settings}: {outcome_line(tried.outcome)}")

    with _training(asked, "search") as train:
        done = searching.search(
            train,
            asked.space,
            asked.epochs,
            budget,
            asked.settings.seed,
            proposed=proposed,
            watch=watch,
        )
    notes = (*note, f"the best of {budget} trainings, chosen on these images: --run trains anew")
    return [
        _Found(replace(tried.choice, notes=(*tried.choice.notes, *notes)), tried.outcome)
        for tried in done[: asked.top]
    ]


def _run(asked: _Asked, found: _Found) -> _Found:
    with _training(asked, "run") as train:
        return _Found(found.choice, train(found.choice))


@contextmanager
def _training(asked: _Asked, purpose: str) -> Iterator[Train]:
    """Trains the network in given settings, in the sandbox, always with the same seed."""
    from nngpt.cycle.parts import evaluator
    from nngpt.generation.contract.answers import Answer, write
    from nngpt.records import Refusal, content_hash, derive_seed

    log = partial(console(stderr=True).print, markup=False, soft_wrap=True)
    seed = derive_seed(asked.settings.seed, purpose, content_hash(asked.code))
    with evaluator(asked.settings, log) as (reader, executor):
        candidate = reader.read(write(Answer(asked.code, asked.space.fixed()[0])))
        if isinstance(candidate, Refusal):
            raise UserError(f"refused at {candidate.stage}: {candidate.reason}")

        def train(choice: Choice) -> Evaluation | Refusal:
            return executor.evaluate(choice.applied(candidate), seed)

        yield train


def _print(found: Sequence[_Found], asked: _Asked) -> None:
    from yaml import safe_dump

    for number, one in enumerate(found, start=1):
        choice = one.choice
        said = f"# {number}, by {choice.engine}"
        if choice.accuracy is not None:
            value, low, high = choice.accuracy
            said += (
                f": {value:.1%} expected after {choice.epochs} epochs, "
                f"90% interval {low:.1%} to {high:.1%}"
            )
            if asked.target is not None and high < asked.target:
                said += f"; {asked.target:.1%} is out of reach"
        typer.echo(said)
        if one.outcome is not None:
            typer.echo(f"# trained: {outcome_line(one.outcome)}")
        evaluation = {"epochs": asked.epochs, **choice.settings}
        typer.echo(safe_dump({"evaluation": evaluation}, sort_keys=False).rstrip())
    for note in dict.fromkeys(note for one in found for note in one.choice.notes):
        typer.echo(f"note: {note}", err=True)


def _as_json(one: _Found) -> dict[str, Any]:
    trained = {} if one.outcome is None else {"trained": asdict(one.outcome)}
    return {**asdict(one.choice), **trained}


def read_network(file: Path) -> tuple[str, frozenset[str]]:
    """A network's code and the hyperparameters that it supports; nothing of it is run.

    Raises:
        UserError: the file cannot be read, is no Python, or does not say what it supports.
    """
    from nngpt.generation.contract.interface import read_supported
    from nngpt.records import Refusal

    try:
        code = file.read_text(encoding="utf-8-sig")
        supported = read_supported(ast.parse(code))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot be read ({error})", where=str(file)) from None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"is no Python ({error})", where=str(file)) from None
    if isinstance(supported, Refusal):
        raise UserError(supported.reason, where=str(file))
    return code, supported
